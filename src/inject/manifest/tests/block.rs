//! Pods in block style: every line stays. A part of the hard texts.

use super::*;

#[test]
fn pods_in_block_style() {
    let table = [
        "
apiVersion: v1
kind: Pod
metadata:
  name: a
spec:
  containers:
  - name: a
",
        "
# at the top

apiVersion: v1   # of the core
kind: Pod
# before metadata
metadata: # at metadata
  # before name
  name: a   # at name
  # after name
# before spec

spec: # at spec
  # before containers
  containers: # at containers
  # before the item
  - name: a # at the name
    # after the name
  # after the item

# at the end
",
        "
kind: Pod
apiVersion: v1
spec:
    initContainers:
        # the migration
        - name: migrate   # first
          image: \"migrate\"

        - name: 'seed'
    containers:
        - name: a
          command:
              - sh
              - -c
              - |
                echo a

                echo b
    volumes:
        - name: v
          emptyDir: {}
metadata:
    annotations:
        b: \"1\"
        # between
        a: '2'
    labels:
        app: a
    name: x
",
        "
apiVersion: v1
kind: Pod
spec:
  containers:
  - name: a
    args: [a,   b,
      c]
    env: [{name: A,  value: \"1\"}]
  volumes:
  - name: v
    configMap: {name: v}
",
        "
\"apiVersion\": 'v1'
\"kind\": \"Pod\"
'metadata':
  \"labels\":
    'app': a
  \"annotations\":
    \"a/b~c\": >-
      folded
      text

'spec':
  \"containers\":
  - \"name\": a
",
        "
apiVersion: v1
kind: Pod
metadata:
  name: a
  annotations:
    script: |
      # not a comment

      a: b
      - c


  labels:
    text: >+
      kept


spec:
  containers:
  - name: a
",
        "
apiVersion: v1
kind: Pod
metadata:
  annotations:
    keep: |+
      lines

    last: |2-
        indented
      text
spec:
  containers:
  - name: a
    args:
    - >
      folded
       more

    - plain
      in two lines
    - \"quoted
      in two lines\"
",
        "
apiVersion: v1
kind: Pod
metadata:
  name: a\t# a tab
  labels:\x20\x20
    app: a\x20\x20
spec:
  containers:\t
  - name: a
    image: b\x20
",
        "
apiVersion: v1
kind: Pod
spec:
  containers:
  -
    name: a
  -   name: b
      image: b
  - # the third
    name: c
  initContainers:
  -
    # the first
    name: d
",
        "
apiVersion: v1
kind: Pod
metadata:
  name:
    a
  labels:

    # far away

    app: a
spec:

  containers:

  - name: a


  - name: b


  volumes:

  - name: v
    emptyDir: {}

",
        "
apiVersion: v1
kind: Pod
metadata: !!map
  name: !!str a
  labels: &labels
    app: &app a
  annotations:
    app: *app
spec:
  containers:
  - &first
    name: a
    env: &env
    - name: A
      value: 'it''s'
  - name: b
    env: *env
",
        "
apiVersion: v1
kind: Pod
metadata:
  name: \"\\u00e9\\x41 \\
    b\"
  annotations:
    日本語: 🚣
    é: \"ü\" # ö
spec:
  containers:
  - name: a
  unknown: [1, 2.50, 0x1F, 0o17, 1_000, ~, null, yes, \"no\", 2024-01-01]
",
        "
apiVersion: v1
kind: Pod
metadata:
  annotations:
    a: |
    lit: x
spec:
  containers:
  - name: a
    env:
    - name: EMPTY
      value:
    - name: B
      value: \"\"
",
    ];
    for text in table {
        check_all(text, Lines);
    }
}
