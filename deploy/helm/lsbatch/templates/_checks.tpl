{{/* Values that make sense alone and not together: each refused by one sentence. */}}
{{- define "lsbatch.checks" -}}
{{- if .Values.driver.parts -}}
{{- range $name, $given := dict "mode operator" (eq .Values.mode "operator") "gpuWorkers" .Values.gpuWorkers.enabled "workers.autoscaling" .Values.workers.autoscaling.enabled "tls" (ne .Values.tls.secret "") "podDisruptionBudget" .Values.podDisruptionBudget.enabled "driver.args" (gt (len .Values.driver.args) 0) -}}
{{- if $given -}}
{{- fail (printf "driver.parts runs without a scheduler and workers, so %s has nothing to do: leave it out" $name) -}}
{{- end -}}
{{- end -}}
{{- else if and (eq (dig "predict" "device" "auto" .Values.config) "cuda") (not .Values.gpuWorkers.enabled) -}}
{{- fail "config.predict.device is cuda, but gpuWorkers.enabled is false: predictions would wait for ever" -}}
{{- end -}}
{{- if .Values.storage -}}
{{- if not .Values.envFromSecret -}}
{{- fail "storage in a bucket needs envFromSecret, a Secret with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION or AWS_ENDPOINT_URL" -}}
{{- end -}}
{{- if .Values.persistence.existingClaim -}}
{{- fail "storage and persistence.existingClaim: a survey is either in a bucket or on a volume" -}}
{{- end -}}
{{- end -}}
{{- if .Values.schedule -}}
{{- if ne (dig "survey" "kind" "annual" .Values.config) "annual" -}}
{{- fail "schedule is for config.survey.kind annual" -}}
{{- end -}}
{{- if dig "survey" "year" "" .Values.config -}}
{{- fail "config.survey.year: with schedule every run takes the newest season that has ended, so leave it out" -}}
{{- end -}}
{{- end -}}
{{- with .Values.workers.autoscaling -}}
{{- if gt (int .minimum) (int .maximum) -}}
{{- fail "workers.autoscaling.minimum is more than maximum" -}}
{{- end -}}
{{- if and .enabled (eq $.Values.mode "plain") (not (dig "requests" "cpu" "" $.Values.workers.resources)) -}}
{{- fail "workers.autoscaling needs workers.resources.requests.cpu: it keeps to a share of it" -}}
{{- end -}}
{{- if and .enabled (eq $.Values.mode "operator") $.Values.tls.secret -}}
{{- fail "workers.autoscaling in mode operator: the operator asks the scheduler without TLS, and would get no answer" -}}
{{- end -}}
{{- end -}}
{{- end -}}
