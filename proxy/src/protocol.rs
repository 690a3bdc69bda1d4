//! What is spoken over gRPC, generated from `proto/`: between control plane and proxy the transport (`discovery`) and
//! what is published over it (`mesh`), and towards the application the question whether it is healthy (`health`).

/// The delta xDS transport, wire compatible with Envoy's.
pub mod discovery {
    #![allow(missing_docs, unreachable_pub, clippy::all)]
    tonic::include_proto!("envoy.service.discovery.v3");
}

/// gRPC's health checking, as the kubelet's probes ask for it.
pub mod health {
    #![allow(missing_docs, unreachable_pub, clippy::all)]
    tonic::include_proto!("grpc.health.v1");
}

/// What is published: see `proto/mesh.proto` for the meaning of each field.
pub mod mesh {
    #![allow(missing_docs, unreachable_pub, clippy::all)]
    tonic::include_proto!("outrigger.mesh.v1");
}

/// Type URL of [`mesh::Workload`] resources.
pub const WORKLOAD: &str = "type.googleapis.com/outrigger.mesh.v1.Workload";
/// Type URL of [`mesh::Service`] resources.
pub const SERVICE: &str = "type.googleapis.com/outrigger.mesh.v1.Service";
/// Type URL of [`mesh::Endpoints`] resources.
pub const ENDPOINTS: &str = "type.googleapis.com/outrigger.mesh.v1.Endpoints";

/// The name of the one [`mesh::Workload`] resource that a proxy subscribes to: its own pod.
pub const SELF: &str = "self";
