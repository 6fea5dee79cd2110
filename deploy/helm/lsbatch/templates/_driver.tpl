{{/* The driver's pod. In parts it does a worker's work, and takes what a worker takes. */}}
{{- define "lsbatch.driverPod" -}}
{{- $values := ternary .Values.workers .Values.driver (gt (int .Values.driver.parts) 0) -}}
restartPolicy: Never
{{ include "lsbatch.pod" . }}
{{- include "lsbatch.placement" $values }}
# time to call back what was not begun, and to hand back the survey's lease
terminationGracePeriodSeconds: 60
containers:
  - name: driver
    image: {{ include "lsbatch.image" . }}
    {{- include "lsbatch.container" . | nindent 4 }}
    args:
      - python
      - /config/driver.py
      - /config/config.yaml
      {{- if .Values.schedule }}
      - --annual
      {{- end }}
      {{- with .Values.driver.parts }}
      - --parts
      - {{ . | quote }}
      {{- end }}
      {{- with .Values.driver.args }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    env:
      {{- include "lsbatch.env" (ternary .Values.workers.threads 1 (gt (int .Values.driver.parts) 0)) | nindent 6 }}
    {{- include "lsbatch.envFrom" . | nindent 4 }}
    {{- if .Values.serviceMonitor.enabled }}
    ports:
      - name: http-metrics
        containerPort: 9464
    {{- end }}
    {{- include "lsbatch.resources" (dict "values" $values "gpu" "") | nindent 4 }}
    volumeMounts:
      - name: config
        mountPath: /config
        readOnly: true
      {{- include "lsbatch.surveyMount" . | nindent 6 }}
      {{- include "lsbatch.tlsMount" . | nindent 6 }}
      - name: scratch
        mountPath: /tmp
volumes:
  - name: config
    configMap:
      name: {{ include "lsbatch.name" . }}-config
  {{- include "lsbatch.surveyVolume" . | nindent 2 }}
  {{- include "lsbatch.tlsVolume" . | nindent 2 }}
  - name: scratch
    emptyDir: {}
{{- end -}}

{{/* A Job of such pods: new tries go on where the last stopped. */}}
{{- define "lsbatch.driverJob" -}}
{{- with .Values.driver.parts }}
completionMode: Indexed
# twelve stages of every part, and the end (files/driver.py)
completions: {{ add (mul 12 .) 1 }}
parallelism: {{ . }}
{{- end }}
backoffLimit: {{ .Values.driver.backoffLimit }}
{{- if not (kindIs "invalid" .Values.driver.ttlSecondsAfterFinished) }}
ttlSecondsAfterFinished: {{ .Values.driver.ttlSecondsAfterFinished }}
{{- end }}
podFailurePolicy:
  rules:
    # a drained or reclaimed node is nobody's failure
    - action: Ignore
      onPodConditions:
        - type: DisruptionTarget
          status: "True"
    # nor is being asked to stop (143), or giving the place up (75, files/driver.py)
    - action: Ignore
      onExitCodes:
        containerName: driver
        operator: In
        values: [75, 143]
      # Kubernetes 1.28 wants it named
      onPodConditions: []
template:
  metadata:
    labels:
      {{- include "lsbatch.labels" . | nindent 6 }}
      app.kubernetes.io/component: driver
    annotations:
      # changed settings change the Job, which Kubernetes refuses aloud until the old one is deleted (NOTES.txt)
      checksum/config: {{ include "lsbatch.config" . | sha256sum }}
  spec:
    {{- include "lsbatch.driverPod" . | nindent 4 }}
{{- end -}}
