{{- define "sealyard.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "sealyard.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains (include "sealyard.name" .) .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "sealyard.name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "sealyard.injector" -}}
{{- include "sealyard.fullname" . }}-injector
{{- end -}}

{{- define "sealyard.selectorLabels" -}}
app.kubernetes.io/name: {{ include "sealyard.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: injector
{{- end -}}

{{- define "sealyard.labels" -}}
{{ include "sealyard.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "sealyard.image" -}}
{{- $repository := required "image.repository is required: where the image of Sealyard is" .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "sealyard.serviceAccountName" -}}
{{- if .Values.injector.serviceAccount.create -}}
{{- default (include "sealyard.injector" .) .Values.injector.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.injector.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "sealyard.tlsSecret" -}}
{{- if eq .Values.tls.mode "existingSecret" -}}
{{- required "tls.existingSecret.name is required with tls.mode existingSecret" .Values.tls.existingSecret.name -}}
{{- else if eq .Values.tls.mode "injector" -}}
{{/* Not the name of the other modes: the type of a Secret cannot change. */}}
{{- include "sealyard.injector" . }}-certificate
{{- else -}}
{{- include "sealyard.injector" . }}-tls
{{- end -}}
{{- end -}}

{{/* The certificate of mode `helm`, once for a rendering: {"ca", "cert", "key"}. */}}
{{- define "sealyard.certificate" -}}
{{- $name := include "sealyard.injector" . -}}
{{- $standing := lookup "v1" "Secret" .Release.Namespace (include "sealyard.tlsSecret" .) -}}
{{- $held := dict -}}
{{- if $standing -}}{{- $held = default dict $standing.data -}}{{- end -}}
{{- $whole := and (hasKey $held "ca.crt") (hasKey $held "tls.crt") (hasKey $held "tls.key") -}}
{{- if and $whole (not .Values.tls.helm.renew) -}}
{{- dict "ca" (index $held "ca.crt" | b64dec) "cert" (index $held "tls.crt" | b64dec) "key" (index $held "tls.key" | b64dec) | toJson -}}
{{- else -}}
{{- $days := int .Values.tls.helm.validityDays -}}
{{- $ca := genCA (printf "%s-ca" $name) $days -}}
{{- $host := printf "%s.%s.svc" $name .Release.Namespace -}}
{{- $leaf := genSignedCert $host nil (list $host (printf "%s.%s" $name .Release.Namespace) (printf "%s.cluster.local" $host)) $days $ca -}}
{{- $bundle := $ca.Cert -}}
{{- if $whole -}}{{- $bundle = printf "%s\n%s" (trimSuffix "\n" $ca.Cert) (index $held "ca.crt" | b64dec) -}}{{- end -}}
{{- dict "ca" $bundle "cert" $leaf.Cert "key" $leaf.Key | toJson -}}
{{- end -}}
{{- end -}}

{{- define "sealyard.clientConfig" -}}
service:
  name: {{ include "sealyard.injector" .root }}
  namespace: {{ .root.Release.Namespace }}
  path: {{ .path }}
  port: 443
{{- if .ca }}
caBundle: {{ .ca | b64enc }}
{{- end }}
{{- end -}}
