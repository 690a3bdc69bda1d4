//! Nodes that are written anew, and come back as they were. A part of the hard texts.

use super::*;

#[test]
fn parents_that_are_null_or_empty() {
    let parents = [
        "metadata:\n",
        "metadata: # none\n",
        "metadata: ~   # none\n",
        "metadata: null\n# after\n",
        "metadata:\n  labels:\n  annotations:   # none\n",
        "metadata:\n  annotations:\n    # only a comment\n  labels: null # none\n",
        "metadata:\n  labels: ~\n  name: a\n  annotations: ~\n",
        "metadata:\n  name: a\n  labels: &anchor\n  annotations: !!null\n",
    ];
    for metadata in parents {
        for lists in [
            "",
            "  initContainers:\n  volumes: # none\n",
            "  volumes: null   # none\n  initContainers: ~\n",
        ] {
            let spec = format!("spec:\n  dnsPolicy: Default\n{lists}  containers:\n  - name: a\n");
            check_all(&format!("apiVersion: v1\nkind: Pod\n{metadata}{spec}"), Anew);
            check_all(&format!("apiVersion: v1\nkind: Pod\n{spec}{metadata}"), Anew);
        }
    }
}

#[test]
fn aliases_and_merge_keys() {
    let table = [
        // The template's labels are an alias of the selector's.
        "
apiVersion: apps/v1
kind: Deployment
metadata: {name: a}
spec:
  selector:
    matchLabels: &labels
      app: a
      tier: b
  template:
    metadata:
      labels: *labels   # the same
    spec:
      containers:
      - name: a
",
        // The other way round: who refers to what changes keeps its value.
        "
apiVersion: apps/v1
kind: Deployment
metadata: {name: a}
spec:
  template:
    metadata:
      labels: &labels {app: a}
    spec:
      containers:
      - name: a
  selector: {matchLabels: *labels}
",
        "
apiVersion: apps/v1
kind: Deployment
metadata:
  name: a
  labels: &labels
    app: a
spec:
  selector:
    matchLabels:
      <<: *labels
  template:
    metadata: &metadata
      labels:
        <<: *labels
        tier: b
    spec:
      containers:
      - name: a
  other: *metadata
",
        "
apiVersion: v1
kind: List
shared: &metadata
  name: a
  labels: {app: a}
items:
- apiVersion: v1
  kind: Pod
  metadata:
    <<: *metadata
    namespace: x # of its own
  spec: &spec
    containers:
    - name: a
- apiVersion: v1
  kind: Pod
  metadata: *metadata
  spec: *spec
",
        "
apiVersion: v1
kind: Pod
metadata:
  labels: {<<: {app: a}, tier: b}
  ? annotations
  : a: b
spec:
  ? containers
  : - name: a
  volumes: !!seq
  - name: v
",
    ];
    for text in table {
        check_all(text, Anew);
    }
}

#[test]
fn what_is_replaced_comes_back_as_it_was() {
    let spec = [
        // Probes, with comments in them and beside them.
        "
  containers:
  - name: a
    ports: [{name: web, containerPort: 8080}]
    # how it is known to live
    livenessProbe:   # alive
      httpGet:
        path: /live # the path
        # the port
        port:   web
      periodSeconds: 3   # often
    readinessProbe: {httpGet: {path: \"/ready\", port: 0x1F90}, timeoutSeconds:  2}
    startupProbe:
      tcpSocket:
        port: 8080

    lifecycle:
      preStop: &stop {httpGet: {path: /stop, port: 8080}}
      postStart: *stop # the same
",
        "
  containers:
  - livenessProbe: &probe
      grpc: {port: 9000}
    name: a
    readinessProbe: *probe
  - name: b
    livenessProbe: *probe
",
        "
  containers:
  - name: a
    livenessProbe:
      <<: &defaults {periodSeconds: 3, timeoutSeconds: 2}
      httpGet:
        <<: {path: /a}
        port: 80
    startupProbe: {<<: *defaults, tcpSocket: {port: 1}}
",
        // A proxy of the author's own is merged into ours.
        "
  containers:
  - name: a

  # more memory
  - name: outrigger-proxy   # ours
    resources:
      limits: {memory:   1Gi}
    # the end of it
",
        "
  containers:
  # more memory
  - name: outrigger-proxy
    resources: {limits: {memory: 1Gi}}
  # the application
  - name: a
",
    ];
    let metadata = [
        "metadata: {name: a}",
        "metadata:
  annotations:
    # scraped
    prometheus.io/scrape: 'true'   # yes
    prometheus.io/port: \"8080\"
    prometheus.io/path: /m",
        "metadata:
  annotations: {prometheus.io/scrape: 'true', prometheus.io/port: '8080'}
  labels:",
        "metadata:
  annotations:
    outrigger.dev/status:   \"means nothing\"   # copied",
    ];
    for metadata in metadata {
        for spec in spec {
            check_all(
                &format!("apiVersion: v1\nkind: Pod\n{metadata}\nspec:{spec}"),
                Anew,
            );
        }
    }
    let flow = "{apiVersion: v1, kind: Pod, spec: {containers: [ {name: outrigger-proxy, env: []} ,  {name: a, livenessProbe: {httpGet: {port: 80}}}]}}\n";
    check_all(flow, Anew);
    let only = "{apiVersion: v1, kind: Pod, spec: {initContainers: [ {name: outrigger-proxy, restartPolicy: Always} , ], containers: [{name: a}]}}\n";
    check_all(only, Anew);
    let last = "{apiVersion: v1, kind: Pod, spec: {containers: [ {name: a} ,  {name: outrigger-proxy} ]}}\n";
    check_all(last, Anew);
}
