{{/* CEL over the pod that is being created. A map or a key that is not there makes an expression false, never an error. */}}

{{/* list MAP KEY: the map has the key. */}}
{{- define "outrigger.cel.has" -}}
{{- $map := index . 0 }}{{ $key := index . 1 -}}
(has({{ $map }}) && '{{ $key }}' in {{ $map }})
{{- end }}

{{/* list MAP KEY VALUES: the map has the key with one of the values. */}}
{{- define "outrigger.cel.in" -}}
{{- $map := index . 0 }}{{ $key := index . 1 }}{{ $values := index . 2 -}}
(has({{ $map }}) && '{{ $key }}' in {{ $map }} && {{ $map }}['{{ $key }}'] in ['{{ join "', '" $values }}'])
{{- end }}

{{/* A list of LabelSelectors: one of them matches the pod's labels. */}}
{{- define "outrigger.cel.selected" -}}
{{- $labels := "object.metadata.labels" }}
{{- $selectors := list }}
{{- range . }}
{{- $parts := list }}
{{- range $key, $value := .matchLabels }}
{{- $parts = append $parts (include "outrigger.cel.in" (list $labels $key (list $value))) }}
{{- end }}
{{- range .matchExpressions }}
{{- $not := ternary "!" "" (has .operator (list "NotIn" "DoesNotExist")) }}
{{- $part := include "outrigger.cel.has" (list $labels .key) }}
{{- if has .operator (list "In" "NotIn") }}
{{- $part = include "outrigger.cel.in" (list $labels .key .values) }}
{{- end }}
{{- $parts = append $parts (print $not $part) }}
{{- end }}
{{- $selectors = append $selectors (printf "(%s)" (join " && " $parts)) }}
{{- end }}
{{- join " || " $selectors }}
{{- end }}

{{/*
What keeps the API server from calling: pods that cannot get a proxy, as the injector's table has it. A pod that says
anything of injection itself is sent all the same, because its owner is told why it gets none.
*/}}
{{- define "outrigger.matchConditions" -}}
{{- $labels := "object.metadata.labels" }}{{ $annotations := "object.metadata.annotations" }}
{{- $label := include "outrigger.cel.has" (list $labels "sidecar.istio.io/inject") }}
{{- $says := printf "%s || %s || %s" $label
  (include "outrigger.cel.has" (list $annotations "sidecar.istio.io/inject"))
  (include "outrigger.cel.has" (list $labels "istio.io/rev")) }}
{{- $injection := .Values.injection -}}
- name: not-a-mirror-of-a-static-pod
  expression: "!{{ include "outrigger.cel.has" (list $annotations "kubernetes.io/config.mirror") }}"
# The label beats the annotation, whatever it says.
- name: not-opted-out-by-annotation
  expression: "{{ $label }} || !{{ include "outrigger.cel.in" (list $annotations "sidecar.istio.io/inject" (list "false")) }}"
- name: not-host-network
  expression: "{{ $says }} || !(has(object.spec.hostNetwork) && object.spec.hostNetwork)"
- name: not-windows
  expression: "{{ $says }} || !(has(object.spec.os) && object.spec.os.name == 'windows') && !{{ include "outrigger.cel.in" (list "object.spec.nodeSelector" "kubernetes.io/os" (list "windows")) }}"
{{- with $injection.neverInjectSelector }}
- name: not-never-selected
  expression: "{{ $says }} || !({{ include "outrigger.cel.selected" . }})"
{{- end }}
{{- if eq $injection.policy "disabled" }}
- name: asks-or-always-selected
  expression: "{{ $says }}{{ with $injection.alwaysInjectSelector }} || {{ include "outrigger.cel.selected" . }}{{ end }}"
{{- end }}
{{- end }}
