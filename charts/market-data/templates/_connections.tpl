{{/* How pods reach PostgreSQL, Redis and Kafka. Each pair of templates gives the environment and the
     volumes; credentials are files, which the processes read again at each new connection, so that a
     rotated password needs no restart. A component gets only what it connects to. */}}

{{- define "market-data.postgres.env" -}}
{{- $mount := "/etc/market-data/postgres" -}}
{{- if .Values.postgresql.enabled }}
- {name: DB_HOST, value: {{ include "market-data.subchartName" (dict "root" . "subchart" "postgresql") }}}
- {name: DB_PORT, value: "5432"}
- {name: DB_NAME, value: {{ .Values.postgresql.auth.database | quote }}}
- {name: DB_USER, value: {{ .Values.postgresql.auth.username | quote }}}
- {name: DB_PASSWORD_FILE, value: {{ $mount }}/password}
{{- else }}
{{- with .Values.externalDatabase }}
- {name: DB_HOST, value: {{ .host | quote }}}
- {name: DB_PORT, value: {{ .port | quote }}}
- {name: DB_NAME, value: {{ .database | quote }}}
- {name: DB_USER, value: {{ .username | quote }}}
{{- if .existingSecret }}
- {name: DB_PASSWORD_FILE, value: {{ $mount }}/password}
{{- end }}
{{- if .sslmode }}
- {name: DB_SSLMODE, value: {{ .sslmode }}}
{{- end }}
{{- if .caSecret }}
- {name: DB_CA_FILE, value: {{ $mount }}-ca/ca.crt}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "market-data.postgres.files" -}}
{{- if .Values.postgresql.enabled }}
- {name: postgres, secret: {{ tpl .Values.postgresql.auth.existingSecret . }}, key: {{ .Values.postgresql.auth.secretKeys.userPasswordKey }}, file: password}
{{- else }}
{{- with .Values.externalDatabase }}
{{- if .existingSecret }}
- {name: postgres, secret: {{ .existingSecret }}, key: {{ .passwordKey }}, file: password}
{{- end }}
{{- if .caSecret }}
- {name: postgres-ca, secret: {{ .caSecret }}, key: {{ .caKey }}, file: ca.crt}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "market-data.redis.env" -}}
{{- $mount := "/etc/market-data/redis" -}}
{{- if .Values.redis.enabled }}
- {name: REDIS_HOST, value: {{ include "market-data.subchartName" (dict "root" . "subchart" "redis") }}-master}
- {name: REDIS_PORT, value: "6379"}
{{- if .Values.redis.auth.enabled }}
- {name: REDIS_PASSWORD_FILE, value: {{ $mount }}/password}
{{- end }}
{{- else }}
{{- with .Values.externalRedis }}
{{- if .tls }}
- {name: REDIS_URL, value: "rediss://{{ .host }}:{{ .port }}/{{ .database }}{{ if .caSecret }}?ssl_ca_certs={{ $mount }}-ca/ca.crt{{ end }}"}
{{- else }}
- {name: REDIS_HOST, value: {{ .host | quote }}}
- {name: REDIS_PORT, value: {{ .port | quote }}}
- {name: REDIS_DB, value: {{ .database | quote }}}
{{- end }}
{{- if .existingSecret }}
- {name: REDIS_PASSWORD_FILE, value: {{ $mount }}/password}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "market-data.redis.files" -}}
{{- if .Values.redis.enabled }}
{{- if .Values.redis.auth.enabled }}
- {name: redis, secret: {{ tpl .Values.redis.auth.existingSecret . }}, key: {{ .Values.redis.auth.existingSecretPasswordKey }}, file: password}
{{- end }}
{{- else }}
{{- with .Values.externalRedis }}
{{- if .existingSecret }}
- {name: redis, secret: {{ .existingSecret }}, key: {{ .passwordKey }}, file: password}
{{- end }}
{{- if and .tls .caSecret }}
- {name: redis-ca, secret: {{ .caSecret }}, key: {{ .caKey }}, file: ca.crt}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* How Kafka is reached by a role, as JSON: bootstrap, protocol, mechanism, user, password (secret and
     key) and authority (secret and key), the last three empty where there are none.
     Argument: dict root, role (poller, consumer or lagReader). */}}
{{- define "market-data.kafka.access" -}}
{{- $root := .root -}}
{{- $kafka := $root.Values.kafka -}}
{{- if eq $kafka.mode "strimzi" -}}
{{- $cluster := include "market-data.fullname" $root -}}
{{- if $kafka.strimzi.plain -}}
{{- dict "bootstrap" (printf "%s-kafka-bootstrap:9092" $cluster) "protocol" "PLAINTEXT" "mechanism" "" "user" "" "password" dict "authority" dict | toJson -}}
{{- else -}}
{{- $user := include "market-data.kafka.user" . -}}
{{- $given := include "market-data.kafka.passwords" $root -}}
{{- $password := ternary (dict "secret" $given "key" (include "market-data.kafka.role" .)) (dict "secret" $user "key" "password") (ne $given "") -}}
{{- dict "bootstrap" (printf "%s-kafka-bootstrap:9093" $cluster) "protocol" "SASL_SSL" "mechanism" "SCRAM-SHA-512" "user" $user
      "password" $password
      "authority" (dict "secret" (printf "%s-cluster-ca-cert" $cluster) "key" "ca.crt") | toJson -}}
{{- end -}}
{{- else -}}
{{- $external := $kafka.external -}}
{{- $who := get $external .role -}}
{{- $sasl := hasPrefix "SASL" $external.securityProtocol -}}
{{- $tls := hasSuffix "SSL" $external.securityProtocol -}}
{{- dict "bootstrap" $external.bootstrapServers "protocol" $external.securityProtocol
      "mechanism" (ternary $external.saslMechanism "" $sasl) "user" (ternary $who.username "" $sasl)
      "password" (ternary (dict "secret" $who.existingSecret "key" $who.passwordKey) dict (and $sasl (ne $who.existingSecret "")))
      "authority" (ternary (dict "secret" $external.caSecret "key" $external.caKey) dict (and $tls (ne $external.caSecret ""))) | toJson -}}
{{- end -}}
{{- end -}}

{{- define "market-data.kafka.role" -}}
{{- get (dict "poller" "poller" "consumer" "consumer" "lagReader" "lag-reader") .role -}}
{{- end -}}

{{- define "market-data.kafka.user" -}}
{{- printf "%s-%s" (include "market-data.fullname" .root) (include "market-data.kafka.role" .) -}}
{{- end -}}

{{/* The Secret that gives Strimzi's users their passwords; empty where Strimzi makes them. Its own come
     only when Kafka is up, and a pod that waits for a Secret is looked at again after up to two minutes. */}}
{{- define "market-data.kafka.passwords" -}}
{{- $own := .Values.kafka.strimzi -}}
{{- if and (eq .Values.kafka.mode "strimzi") (not $own.plain) -}}
{{- $own.passwordsSecret | default (ternary (printf "%s-kafka" (include "market-data.fullname" .)) "" .Values.quickstart.createSecrets) -}}
{{- end -}}
{{- end -}}

{{- define "market-data.kafka.env" -}}
{{- $access := include "market-data.kafka.access" . | fromJson -}}
{{- $mount := "/etc/market-data/kafka" -}}
{{- with .root.Values.kafka }}
- {name: KAFKA_BOOTSTRAP_SERVERS, value: {{ $access.bootstrap | quote }}}
- {name: KAFKA_TOPIC, value: {{ .topic.name | quote }}}
- {name: KAFKA_DEAD_LETTER_TOPIC, value: {{ .deadLetterTopic.name | quote }}}
- {name: KAFKA_GROUP, value: {{ .group | quote }}}
- {name: MARKETDATA_KAFKA_GROUP_PROTOCOL, value: {{ .groupProtocol }}}
- {name: KAFKA_SECURITY_PROTOCOL, value: {{ $access.protocol }}}
{{- end }}
{{- if $access.mechanism }}
- {name: KAFKA_SASL_MECHANISM, value: {{ $access.mechanism }}}
- {name: KAFKA_SASL_USERNAME, value: {{ $access.user | quote }}}
{{- end }}
{{- if $access.password }}
- {name: KAFKA_SASL_PASSWORD_FILE, value: {{ $mount }}/password}
{{- end }}
{{- if $access.authority }}
- {name: KAFKA_CA_FILE, value: {{ $mount }}-ca/ca.crt}
{{- end }}
{{- end -}}

{{- define "market-data.kafka.files" -}}
{{- $access := include "market-data.kafka.access" . | fromJson -}}
{{- with $access.password }}
- {name: kafka, secret: {{ .secret }}, key: {{ .key }}, file: password}
{{- end }}
{{- with $access.authority }}
- {name: kafka-ca, secret: {{ .secret }}, key: {{ .key }}, file: ca.crt}
{{- end }}
{{- end -}}
