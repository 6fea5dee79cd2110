{{/* Names, at most 63 characters with the longest suffix, and 52 with a CronJob's, which adds 11 of its own. */}}
{{- define "lsbatch.name" -}}
{{- if contains "lsbatch" .Release.Name -}}
{{- .Release.Name | trunc 48 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-lsbatch" (.Release.Name | trunc 40 | trimSuffix "-") -}}
{{- end -}}
{{- end -}}

{{- define "lsbatch.selector" -}}
app.kubernetes.io/name: lsbatch
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "lsbatch.labels" -}}
{{ include "lsbatch.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "lsbatch.image" -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}

{{- define "lsbatch.gpuImage" -}}
{{- $tag := .Values.gpuWorkers.tag | default (printf "%s-gpu" (.Values.image.tag | default .Chart.AppVersion)) -}}
{{- printf "%s:%s" .Values.image.repository $tag -}}
{{- end -}}

{{- define "lsbatch.claim" -}}
{{- .Values.persistence.existingClaim | default (printf "%s-survey" (include "lsbatch.name" .)) -}}
{{- end -}}

{{/* Not empty where there are a scheduler and workers. */}}
{{- define "lsbatch.hasCluster" -}}
{{- if not .Values.driver.parts -}}yes{{- end -}}
{{- end -}}

{{- define "lsbatch.address" -}}
{{- printf "%s://%s-scheduler:8786" (ternary "tls" "tcp" (ne .Values.tls.secret "")) (include "lsbatch.name" .) -}}
{{- end -}}

{{/* Settings of the survey: the user's, with what the chart knows better. */}}
{{- define "lsbatch.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- $_ := set $config "output" (.Values.storage | default "/survey") -}}
{{- $cluster := dict "kind" "serial" -}}
{{- if include "lsbatch.hasCluster" . -}}
{{- $cluster = dict "kind" "address" "address" (include "lsbatch.address" .) -}}
{{- if .Values.tls.secret -}}
{{- $_ := set $cluster "tls" (dict "ca_file" "/tls/ca.crt" "cert_file" "/tls/tls.crt" "key_file" "/tls/tls.key") -}}
{{- end -}}
{{- if .Values.gpuWorkers.enabled -}}
{{- $_ := set $config "predict" (set ($config.predict | default dict) "device" "cuda") -}}
{{- end -}}
{{- end -}}
{{- if .Values.serviceMonitor.enabled -}}
{{- $_ := set $cluster "metrics" "0.0.0.0:9464" -}}
{{- end -}}
{{- $_ := set $config "cluster" $cluster -}}
{{- toYaml $config -}}
{{- end -}}

{{/* What every pod has: no token, no root, no variables of other services, and its user. */}}
{{- define "lsbatch.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .Values.securityContext.runAsUser }}
  runAsGroup: {{ .Values.securityContext.runAsGroup }}
  fsGroup: {{ .Values.securityContext.fsGroup }}
  # not the whole survey at every start
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- end -}}

{{- define "lsbatch.container" -}}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end -}}

{{/*
The root file system is read-only: what libraries cache goes to the pod's own scratch. Given: threads inside a tile. One for
workers, whose cores have as many tiles at once (two with one torch thread each did twice the tiles of two with two each).
*/}}
{{- define "lsbatch.env" -}}
- name: HOME
  value: /tmp
- name: MPLCONFIGDIR
  value: /tmp/matplotlib
- name: OMP_NUM_THREADS
  value: {{ . | quote }}
- name: OPENBLAS_NUM_THREADS
  value: {{ . | quote }}
- name: MKL_NUM_THREADS
  value: {{ . | quote }}
- name: NUMBA_NUM_THREADS
  value: "1"
- name: MALLOC_ARENA_MAX
  value: "1"
# SAFE_CONFIG in lsbatch/engine/cluster/network.py: no lock that a stopped process could hold, and connections that outlast a network
# that is broken for up to three minutes
- name: DASK_DISTRIBUTED__WORKER__USE_FILE_LOCKING
  value: "False"
- name: DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP
  value: 180s
{{- end -}}

{{- define "lsbatch.envFrom" -}}
{{- with .Values.envFromSecret }}
envFrom:
  - secretRef:
      name: {{ . }}
{{- end }}
{{- end -}}

{{/* Resources as strings, which all kinds take; given: values of a part, and gpu (a resource's name, or empty). */}}
{{- define "lsbatch.resources" -}}
{{- $made := dict -}}
{{- range $kind, $amounts := .values.resources -}}
{{- $texts := dict -}}
{{- range $name, $amount := $amounts -}}
{{- $_ := set $texts $name (toString $amount) -}}
{{- end -}}
{{- $_ := set $made $kind $texts -}}
{{- end -}}
{{- if .gpu -}}
{{- $_ := set $made.limits .gpu "1" -}}
{{- end -}}
resources:
  {{- toYaml $made | nindent 2 }}
{{- end -}}

{{/* Node selector and tolerations of a part, given as its values. */}}
{{- define "lsbatch.placement" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Where things are; driver and workers see the survey, the scheduler does not. */}}
{{- define "lsbatch.tlsMount" -}}
{{- if and .Values.tls.secret (include "lsbatch.hasCluster" .) }}
- name: tls
  mountPath: /tls
  readOnly: true
{{- end }}
{{- end -}}

{{- define "lsbatch.tlsVolume" -}}
{{- if and .Values.tls.secret (include "lsbatch.hasCluster" .) }}
- name: tls
  secret:
    secretName: {{ .Values.tls.secret }}
    # the group too: files of a Secret belong to root
    defaultMode: 0440
{{- end }}
{{- end -}}

{{- define "lsbatch.surveyMount" -}}
{{- if not .Values.storage }}
- name: survey
  mountPath: /survey
{{- end }}
{{- end -}}

{{- define "lsbatch.surveyVolume" -}}
{{- if not .Values.storage }}
- name: survey
  persistentVolumeClaim:
    claimName: {{ include "lsbatch.claim" . }}
{{- end }}
{{- end -}}

{{- define "lsbatch.tlsArgs" -}}
{{- if .Values.tls.secret }}
- --protocol
- tls
- --tls-ca-file
- /tls/ca.crt
- --tls-cert
- /tls/tls.crt
- --tls-key
- /tls/tls.key
{{- end }}
{{- end -}}
