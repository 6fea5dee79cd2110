{{/*
A Deployment of Dask workers, one process a pod.
Given: root, component, values, image, gpu (resource name or empty).
*/}}
{{- define "lsbatch.worker" -}}
{{- $limits := deepCopy .values.resources.limits -}}
{{- if .gpu -}}
{{- $limits = set $limits .gpu 1 -}}
{{- end -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "lsbatch.name" .root }}-{{ .component }}
  labels:
    {{- include "lsbatch.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
spec:
  replicas: {{ .values.replicas }}
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
      {{- include "lsbatch.pod" .root | nindent 6 }}
      {{- include "lsbatch.placement" .values | nindent 6 }}
      containers:
        - name: worker
          image: {{ .image }}
          {{- include "lsbatch.container" .root | nindent 10 }}
          args:
            - dask
            - worker
            - {{ include "lsbatch.address" .root }}
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
            {{- if .gpu }}
            - --resources
            - GPU=1
            {{- end }}
          env:
            {{- include "lsbatch.env" .root | nindent 12 }}
          {{- include "lsbatch.envFrom" .root | nindent 10 }}
          resources:
            {{- with .values.resources.requests }}
            requests:
              {{- toYaml . | nindent 14 }}
            {{- end }}
            limits:
              {{- toYaml $limits | nindent 14 }}
          volumeMounts:
            - name: survey
              mountPath: /survey
            - name: scratch
              mountPath: /tmp
      volumes:
        - name: survey
          persistentVolumeClaim:
            claimName: {{ include "lsbatch.claim" .root }}
        - name: scratch
          emptyDir:
            sizeLimit: {{ .values.scratch }}
{{- end -}}
