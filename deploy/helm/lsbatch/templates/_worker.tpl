{{/*
The pod of a Dask worker, one process a pod.
Given: root, values, image, gpu (resource name or empty).
*/}}
{{- define "lsbatch.workerPod" -}}
{{ include "lsbatch.pod" .root }}
{{- include "lsbatch.placement" .values }}
# a tile that is cut off is done again elsewhere, so there is nothing to wait for
terminationGracePeriodSeconds: 30
containers:
  - name: worker
    image: {{ .image }}
    {{- include "lsbatch.container" .root | nindent 4 }}
    args:
      - dask
      - worker
      - {{ include "lsbatch.address" .root }}
      {{- include "lsbatch.tlsArgs" .root | nindent 6 }}
      {{- if eq .root.Values.mode "operator" }}
      # set by the operator, which takes workers away by this name
      - --name
      - $(DASK_WORKER_NAME)
      {{- end }}
      - --nworkers
      - "1"
      - --nthreads
      - {{ .values.threads | quote }}
      # of the container's limit; the rest is for the nanny
      - --memory-limit
      - "0.9"
      - --local-directory
      - /tmp/dask
      # a pod without a scheduler ends, and is started again
      - --death-timeout
      - "120"
      - --no-dashboard
      # the pages of the probes
      - --dashboard-address
      - :8788
      {{- if .gpu }}
      - --resources
      - GPU=1
      {{- end }}
    env:
      {{- include "lsbatch.env" 1 | nindent 6 }}
      # a worker must never stand still (WORKER_CONFIG in lsbatch/engine/cluster/network.py says what would make it)
      - name: DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE
        value: "False"
      - name: DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED
        value: "False"
      - name: DASK_DISTRIBUTED__WORKER__HTTP__ROUTES
        value: '["distributed.http.health", "lsbatch.engine.cluster.readiness"]'
    {{- include "lsbatch.envFrom" .root | nindent 4 }}
    ports:
      - name: http-probes
        containerPort: 8788
    # connected to the scheduler: a rolling update waits for it
    readinessProbe:
      httpGet: {path: /ready, port: http-probes}
      periodSeconds: 5
      timeoutSeconds: 5
    # five minutes: a worker may be busy in native code, and waits for a scheduler for two minutes
    livenessProbe:
      httpGet: {path: /health, port: http-probes}
      periodSeconds: 30
      timeoutSeconds: 10
      failureThreshold: 10
    {{- include "lsbatch.resources" (dict "values" .values "gpu" .gpu) | nindent 4 }}
    volumeMounts:
      {{- include "lsbatch.surveyMount" .root | nindent 6 }}
      {{- include "lsbatch.tlsMount" .root | nindent 6 }}
      - name: scratch
        mountPath: /tmp
volumes:
  {{- include "lsbatch.surveyVolume" .root | nindent 2 }}
  {{- include "lsbatch.tlsVolume" .root | nindent 2 }}
  - name: scratch
    emptyDir:
      sizeLimit: {{ .values.scratch }}
{{- end -}}

{{/* A Deployment of such pods. Given besides: component, and autoscaled where replicas are not ours to set. */}}
{{- define "lsbatch.workerDeployment" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "lsbatch.name" .root }}-{{ .component }}
  labels:
    {{- include "lsbatch.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
spec:
  {{- if not .autoscaled }}
  replicas: {{ .values.replicas }}
  {{- end }}
  selector:
    matchLabels:
      {{- include "lsbatch.selector" .root | nindent 6 }}
      app.kubernetes.io/component: {{ .component }}
  template:
    metadata:
      labels:
        {{- include "lsbatch.labels" .root | nindent 8 }}
        app.kubernetes.io/component: {{ .component }}
    spec:
      {{- include "lsbatch.workerPod" . | nindent 6 }}
{{- end -}}
