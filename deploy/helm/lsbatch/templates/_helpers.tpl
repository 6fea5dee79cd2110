{{/* Names, at most 63 characters together with the longest suffix. */}}
{{- define "lsbatch.name" -}}
{{- if contains "lsbatch" .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-lsbatch" (.Release.Name | trunc 42 | trimSuffix "-") -}}
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

{{- define "lsbatch.address" -}}
{{- printf "tcp://%s-scheduler:8786" (include "lsbatch.name" .) -}}
{{- end -}}

{{/* Settings of the survey: the user's, with what the chart knows better. */}}
{{- define "lsbatch.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- $_ := set $config "output" "/survey" -}}
{{- $_ := set $config "cluster" (dict "kind" "address" "address" (include "lsbatch.address" .)) -}}
{{- $predict := $config.predict | default dict -}}
{{- if .Values.gpuWorkers.enabled -}}
{{- $_ := set $config "predict" (set $predict "device" "cuda") -}}
{{- else if eq ($predict.device | default "auto") "cuda" -}}
{{- fail "config.predict.device is cuda, but gpuWorkers.enabled is false: predictions would wait for ever" -}}
{{- end -}}
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

{{/* The root file system is read-only: what libraries cache goes to the pod's own scratch. */}}
{{- define "lsbatch.env" -}}
- name: HOME
  value: /tmp
- name: MPLCONFIGDIR
  value: /tmp/matplotlib
{{- end -}}

{{- define "lsbatch.envFrom" -}}
{{- with .Values.envFromSecret }}
envFrom:
  - secretRef:
      name: {{ . }}
{{- end }}
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
