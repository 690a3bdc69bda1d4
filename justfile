# The few commands of a contributor; `just` lists them. Each can be typed without it.

_default:
    @just --list --unsorted

# The whole mesh on loopback: no root, no cluster
demo *ARGS:
    cargo run --release -- demo {{ARGS}}

# All tests that need neither root nor a network
test *ARGS:
    cargo test {{ARGS}}

# Formatting and lints, as they are checked
lint:
    cargo fmt --all --check
    cargo clippy --all-targets -- -D warnings

# Licences and advisories of the dependencies
deny:
    cargo deny check

# The suite on a real Kubernetes of its own, which needs root; see tests/cluster/README.md
cluster *ARGS:
    tests/cluster/run {{ARGS}}

# The custom resource definitions
crds:
    cargo run -- crds

# Write what tests expect anew: injected manifests and the chart's CRDs. Read the difference before you commit it
bless:
    BLESS=1 cargo test --package outrigger --test tests

# The image of the control plane and the proxies
image TAG="outrigger":
    docker build --tag {{TAG}} .
