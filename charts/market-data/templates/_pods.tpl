{{/* One pod for all: what the components and the Jobs share, so that none drifts. */}}

{{- define "market-data.podSecurityContext" -}}
runAsNonRoot: true
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "market-data.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* The files with secrets of a component, as YAML: name, secret, key and file of each. */}}
{{- define "market-data.files" -}}
{{- $root := .root -}}
{{- if ne .component "lag" }}
{{- include "market-data.postgres.files" $root }}
{{- end }}
{{- if has .component (list "api" "consumer") }}
{{- include "market-data.redis.files" $root }}
{{- end }}
{{- if has .component (list "poller" "consumer" "lag") }}
{{- include "market-data.kafka.files" (dict "root" $root "role" (ternary "lagReader" .component (eq .component "lag"))) }}
{{- end }}
{{- if and (eq .component "poller") $root.Values.alphaVantage.existingSecret }}
- {name: alpha-vantage, secret: {{ $root.Values.alphaVantage.existingSecret }}, key: {{ $root.Values.alphaVantage.key }}, file: api-key}
{{- end }}
{{- if eq .component "api" }}
{{- with $root.Values.api.keys }}
{{- if .existingSecret }}
- {name: api-keys, secret: {{ .existingSecret }}, key: {{ .key }}, file: keys}
{{- else if .hashes }}
- {name: api-keys, secret: {{ include "market-data.fullname" $root }}-api-keys, key: keys, file: keys}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "market-data.volumes" -}}
- {name: tmp, emptyDir: {sizeLimit: 256Mi}}
{{- range include "market-data.files" . | fromYamlArray }}
- name: {{ .name }}
  secret:
    secretName: {{ .secret }}
    items: [{key: {{ .key | quote }}, path: {{ .file }}}]
{{- end }}
{{- end -}}

{{- define "market-data.volumeMounts" -}}
- {name: tmp, mountPath: /tmp}
{{- range include "market-data.files" . | fromYamlArray }}
- {name: {{ .name }}, mountPath: /etc/market-data/{{ .name }}, readOnly: true}
{{- end }}
{{- end -}}

{{/* What a component is told. Argument: dict root, component. */}}
{{- define "market-data.env" -}}
{{- $root := .root -}}
{{- $values := get $root.Values .component -}}
- {name: MARKETDATA_LOG_LEVEL, value: {{ $root.Values.logging.level }}}
- {name: MARKETDATA_LOG_FORMAT, value: {{ $root.Values.logging.format }}}
- {name: MARKETDATA_METRICS_PORT, value: "9090"}
- {name: MARKETDATA_DEFAULT_PROVIDER, value: {{ $root.Values.defaultProvider | quote }}}
{{- with $root.Values.tracing }}
{{- if and .endpoint (ne $.component "lag") }}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- {name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ .endpoint | quote }}}
- {name: OTEL_SERVICE_NAME, value: {{ include "market-data.fullname" $root }}-{{ $.component }}}
- {name: OTEL_RESOURCE_ATTRIBUTES, value: "service.namespace={{ $root.Release.Namespace }},service.instance.id=$(POD_NAME)"}
- {name: OTEL_TRACES_SAMPLER, value: {{ .sampler }}}
{{- with .samplerArgument }}
- {name: OTEL_TRACES_SAMPLER_ARG, value: {{ . | quote }}}
{{- end }}
{{- end }}
{{- end }}
{{- if ne .component "lag" }}
{{- include "market-data.postgres.env" $root }}
{{- end }}
{{- if has .component (list "api" "consumer") }}
{{- include "market-data.redis.env" $root }}
{{- end }}
{{- if has .component (list "poller" "consumer" "lag") }}
{{- include "market-data.kafka.env" (dict "root" $root "role" (ternary "lagReader" .component (eq .component "lag"))) }}
{{- end }}
{{- if eq .component "api" }}
- {name: MARKETDATA_API_PORT, value: "8000"}
- {name: MARKETDATA_PROVIDERS, value: {{ join "," $root.Values.providers | quote }}}
{{- with $root.Values.api }}
{{- if or .keys.existingSecret .keys.hashes }}
- {name: MARKETDATA_API_KEYS_FILE, value: /etc/market-data/api-keys/keys}
{{- end }}
{{- if or .pageTokens.existingSecret $root.Values.quickstart.createSecrets }}
- name: MARKETDATA_API_PAGE_TOKEN_KEY
  valueFrom:
    secretKeyRef:
      name: {{ .pageTokens.existingSecret | default (printf "%s-api" (include "market-data.fullname" $root)) }}
      key: {{ .pageTokens.key }}
{{- end }}
{{- end }}
{{- end }}
{{- if eq .component "poller" }}
- {name: MARKETDATA_YFINANCE_CACHE_DIR, value: /tmp/yfinance}
{{- if $root.Values.alphaVantage.existingSecret }}
- {name: ALPHA_VANTAGE_API_KEY_FILE, value: /etc/market-data/alpha-vantage/api-key}
{{- end }}
{{- end }}
{{- if eq .component "operator" }}
{{- include "market-data.operator.env" $root }}
{{- end }}
{{- range $name, $value := $values.settings }}
- {name: {{ $name }}, value: {{ $value | toString | quote }}}
{{- end }}
{{- with $values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Health is answered beside the metrics; the API answers it where its requests go, so that a probe
     tells what a client would see. */}}
{{- define "market-data.probes" -}}
{{- $port := ternary "http" "metrics" (eq .component "api") -}}
startupProbe:
  httpGet: {path: /healthz, port: {{ $port }}}
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz, port: {{ $port }}}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: {{ $port }}}
  periodSeconds: 2
  timeoutSeconds: 3
  failureThreshold: 3
{{- end -}}

{{- define "market-data.topologySpread" -}}
{{- $context := . -}}
{{- range (get .root.Values .component).topologySpreadConstraints }}
{{- $constraint := deepCopy . }}
{{- if not (hasKey $constraint "labelSelector") }}
{{- $_ := set $constraint "labelSelector" (dict "matchLabels" (include "market-data.selectorLabels" $context | fromYaml)) }}
{{- end }}
- {{ toYaml $constraint | nindent 2 | trim }}
{{- end }}
{{- end -}}

{{/* The Deployment of a component. Argument: dict root, component. */}}
{{- define "market-data.deployment" -}}
{{- $root := .root -}}
{{- $component := .component -}}
{{- $values := get $root.Values $component -}}
{{- $alone := has $component (list "operator" "lag") -}}
{{- $scaled := and (not $alone) (ne (dig "autoscaling" "mode" "none" $values) "none") -}}
{{- /* The lag exporter is a role of the consumer's image. */ -}}
{{- $image := ternary $root.Values.consumer.image $values.image (eq $component "lag") -}}
{{- $module := ternary (list "marketdata_consumer" "lag-exporter") (list (printf "marketdata_%s" $component)) (eq $component "lag") -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "market-data.fullname" $root }}-{{ $component }}
  namespace: {{ $root.Release.Namespace }}
  labels: {{- include "market-data.labels" . | nindent 4 }}
spec:
  {{- if $alone }}
  replicas: 1
  {{- else if not $scaled }}
  replicas: {{ $values.replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  strategy:
    {{- if eq $component "operator" }}
    # Two would both write status; polling goes on without it.
    type: Recreate
    {{- else if has $component (list "api" "lag") }}
    type: RollingUpdate
    rollingUpdate: {maxSurge: 1, maxUnavailable: 0}
    {{- else }}
    type: RollingUpdate
    rollingUpdate: {maxSurge: 1, maxUnavailable: 1}
    {{- end }}
  selector:
    matchLabels: {{- include "market-data.selectorLabels" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "market-data.labels" . | nindent 8 }}
        {{- with $values.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- $annotations := deepCopy $values.podAnnotations }}
      {{- if $root.Values.development.hotReload }}
      {{- $_ := set $annotations "checksum/reload" ($root.Files.Get "files/reload.py" | sha256sum) }}
      {{- end }}
      {{- with $annotations }}
      annotations: {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      serviceAccountName: {{ include "market-data.serviceAccountName" . }}
      automountServiceAccountToken: {{ eq $component "operator" }}
      # A Service called marketdata-… would put MARKETDATA_…_PORT into the environment, where an
      # unknown setting stops the start.
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ $values.terminationGracePeriodSeconds }}
      securityContext: {{- include "market-data.podSecurityContext" $root | nindent 8 }}
      {{- with include "market-data.pullSecrets" $root }}
      {{- . | trim | nindent 6 }}
      {{- end }}
      {{- with $values.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      {{- with $values.nodeSelector }}
      nodeSelector: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.affinity }}
      affinity: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.tolerations }}
      tolerations: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- if $values.topologySpreadConstraints }}
      topologySpreadConstraints: {{- include "market-data.topologySpread" . | trim | nindent 8 }}
      {{- end }}
      {{- if $root.Values.development.hotReload }}
      initContainers:
        # The code goes into a volume, so that it can be changed while the root filesystem stays as it is.
        - name: code
          image: {{ include "market-data.image" (dict "root" $root "image" $image) }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          command: [python, -c, "import shutil; shutil.copytree('/opt/app', '/code', dirs_exist_ok=True, copy_function=shutil.copyfile)"]
          resources: {{- toYaml $values.resources | nindent 12 }}
          securityContext: {{- include "market-data.containerSecurityContext" $root | nindent 12 }}
          volumeMounts: [{name: code, mountPath: /code}]
      {{- end }}
      containers:
        - name: {{ $component }}
          image: {{ include "market-data.image" (dict "root" $root "image" $image) }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          {{- if $root.Values.development.hotReload }}
          command: [python, /etc/market-data/reload/reload.py, /opt/app, python, -m, {{ join ", " $module }}]
          {{- else if eq $component "lag" }}
          args: [{{ join ", " $module }}]
          {{- end }}
          env: {{- include "market-data.env" . | trim | nindent 12 }}
          ports:
            {{- if eq $component "api" }}
            - {name: http, containerPort: 8000}
            {{- end }}
            - {name: metrics, containerPort: 9090}
          {{- include "market-data.probes" . | nindent 10 }}
          {{- if eq $component "api" }}
          lifecycle:
            # Endpoints learn of the end later than the process does: requests still come for a while.
            preStop:
              sleep: {seconds: 5}
          {{- end }}
          resources: {{- toYaml $values.resources | nindent 12 }}
          securityContext: {{- include "market-data.containerSecurityContext" $root | nindent 12 }}
          volumeMounts:
            {{- include "market-data.volumeMounts" . | nindent 12 }}
            {{- if $root.Values.development.hotReload }}
            - {name: code, mountPath: /opt/app}
            - {name: reload, mountPath: /etc/market-data/reload, readOnly: true}
            {{- end }}
            {{- with $values.extraVolumeMounts }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
      volumes:
        {{- include "market-data.volumes" . | nindent 8 }}
        {{- if $root.Values.development.hotReload }}
        - {name: code, emptyDir: {}}
        - name: reload
          configMap: {name: {{ include "market-data.fullname" $root }}-reload}
        {{- end }}
        {{- with $values.extraVolumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
{{- end -}}

{{- define "market-data.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{- range . }}
  - {name: {{ . }}}
{{- end }}
{{- end }}
{{- end -}}

{{/* A Job whose name ends in a hash of all that it runs: an unchanged one stays as it is, a changed one
     is a new one, for a Job cannot be changed. Argument: dict root, component, suffix, spec (YAML). */}}
{{- define "market-data.hashedJob" -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ include "market-data.fullname" .root }}-{{ .suffix }}-{{ sha256sum .spec | trunc 10 }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "market-data.labels" . | nindent 4 }}
spec: {{- .spec | nindent 2 }}
{{- end -}}
