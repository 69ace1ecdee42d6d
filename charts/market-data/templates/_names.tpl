{{/* Names, labels and images: what every object is called. */}}

{{- define "market-data.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* The release's name where it says what it is already, else with the chart's. 40 characters leave
     room for the longest suffix within the 63 of a label. */}}
{{- define "market-data.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "market-data.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "market-data.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels that never change, for selectors. Argument: dict root, component. */}}
{{- define "market-data.selectorLabels" -}}
app.kubernetes.io/name: {{ include "market-data.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "market-data.labels" -}}
{{ include "market-data.selectorLabels" . }}
app.kubernetes.io/part-of: market-data
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Argument: dict root, image. */}}
{{- define "market-data.image" -}}
{{- $registry := .root.Values.image.registry | trimSuffix "/" -}}
{{- $name := ternary (printf "%s/%s" $registry .image.repository) .image.repository (ne $registry "") -}}
{{- if .image.digest -}}
{{ printf "%s@%s" $name .image.digest }}
{{- else -}}
{{ printf "%s:%s" $name (.image.tag | default .root.Values.image.tag | default .root.Chart.AppVersion) }}
{{- end -}}
{{- end -}}

{{/* Argument: dict root, component. */}}
{{- define "market-data.serviceAccountName" -}}
{{- $account := (get .root.Values .component).serviceAccount -}}
{{- if $account.create -}}
{{- $account.name | default (printf "%s-%s" (include "market-data.fullname" .root) .component) -}}
{{- else -}}
{{- required (printf "%s.serviceAccount.name is empty and create is off: name an account that exists, or let the chart make one" .component) $account.name -}}
{{- end -}}
{{- end -}}

{{/* Names that the subcharts give their objects, by the rule that both follow. Argument: dict root, subchart. */}}
{{- define "market-data.subchartName" -}}
{{- $values := get .root.Values .subchart -}}
{{- if $values.fullnameOverride -}}
{{- $values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- $name := $values.nameOverride | default .subchart -}}
{{- ternary .root.Release.Name (printf "%s-%s" .root.Release.Name $name) (contains $name .root.Release.Name) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The components that run, as a list in JSON. */}}
{{- define "market-data.components" -}}
{{- $all := list "api" "poller" "consumer" -}}
{{- if .Values.lag.enabled }}{{ $all = append $all "lag" }}{{ end -}}
{{- if .Values.operator.enabled }}{{ $all = append $all "operator" }}{{ end -}}
{{- toJson $all -}}
{{- end -}}

{{/* Fewest pods that a component may have, to know whether a disruption budget makes sense. */}}
{{- define "market-data.fewestPods" -}}
{{- $values := get .root.Values .component -}}
{{- if has .component (list "operator" "lag") -}}1
{{- else if ne $values.autoscaling.mode "none" -}}{{ $values.autoscaling.minReplicas }}
{{- else -}}{{ $values.replicas }}
{{- end -}}
{{- end -}}
