{{- define "lsbatch.schedulerService" -}}
type: ClusterIP
selector:
  {{- include "lsbatch.selector" . | nindent 2 }}
  app.kubernetes.io/component: scheduler
ports:
  # names by which the Dask operator looks for them
  - name: tcp-comm
    port: 8786
    targetPort: tcp-comm
  - name: http-dashboard
    port: 8787
    targetPort: http-dashboard
{{- end -}}

{{- define "lsbatch.schedulerPod" -}}
{{ include "lsbatch.pod" . }}
{{- include "lsbatch.placement" .Values.scheduler }}
containers:
  - name: scheduler
    image: {{ include "lsbatch.image" . }}
    {{- include "lsbatch.container" . | nindent 4 }}
    args:
      - dask
      - scheduler
      - --host
      - 0.0.0.0
      - --port
      - "8786"
      - --dashboard-address
      - :8787
      {{- include "lsbatch.tlsArgs" . | nindent 6 }}
    env:
      {{- include "lsbatch.env" 1 | nindent 6 }}
    ports:
      - name: tcp-comm
        containerPort: 8786
      - name: http-dashboard
        containerPort: 8787
    readinessProbe:
      httpGet: {path: /health, port: http-dashboard}
      periodSeconds: 5
      timeoutSeconds: 5
    livenessProbe:
      httpGet: {path: /health, port: http-dashboard}
      periodSeconds: 20
      timeoutSeconds: 10
      # a scheduler with 100,000 tiles may be busy for a while
      failureThreshold: 6
    {{- include "lsbatch.resources" (dict "values" .Values.scheduler "gpu" "") | nindent 4 }}
    volumeMounts:
      - name: scratch
        mountPath: /tmp
      {{- include "lsbatch.tlsMount" . | nindent 6 }}
volumes:
  - name: scratch
    emptyDir: {}
  {{- include "lsbatch.tlsVolume" . | nindent 2 }}
{{- end -}}
