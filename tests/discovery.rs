//! Versions one apart: messages that older ones wrote, and such as a newer one may write.

use std::path::PathBuf;

use outrigger_proxy::mesh::Mesh;
use outrigger_proxy::protocol::discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Node, Resource};
use outrigger_proxy::protocol::mesh::string_match::Kind;
use outrigger_proxy::protocol::mesh::*;
use outrigger_proxy::protocol::{ENDPOINTS, SELF, SERVICE, WORKLOAD};
use prost::Message;
use prost_types::Any;

/// The messages of one version.
struct Version {
    name: &'static str,
    workload: Workload,
    service: Service,
    endpoints: Endpoints,
}

fn versions() -> [Version; 2] {
    [first(), traffic()]
}

fn exact(text: &str) -> Option<StringMatch> {
    Some(StringMatch {
        kind: Some(Kind::Exact(text.into())),
    })
}

fn backend(endpoints: &str) -> Backend {
    Backend {
        endpoints: endpoints.into(),
        weight: 3,
        load_balancer: LoadBalancer::RoundRobin.into(),
        ..Default::default()
    }
}

fn first() -> Version {
    let conditions = HttpMatch {
        uri: exact("/hello"),
        headers: vec![HeaderMatch {
            name: "x-user".into(),
            value: exact("jason"),
        }],
        ..Default::default()
    };
    Version {
        name: "first",
        workload: Workload {
            namespace: "default".into(),
            name: "curl-1".into(),
            labels: [("app".into(), "curl".into())].into(),
            inbound_ports: vec![InboundPort {
                port: 80,
                protocol: Protocol::Http.into(),
            }],
            mesh_ranges: vec!["10.96.0.0/12".into()],
            ..Default::default()
        },
        service: Service {
            host: "helloworld.default.svc.cluster.local".into(),
            port: 5000,
            http_routes: vec![
                HttpRoute {
                    name: "VirtualService default/helloworld http[0]".into(),
                    matches: vec![conditions],
                    backends: vec![backend("helloworld.default.svc.cluster.local:5000/version=v1")],
                    ..Default::default()
                },
                HttpRoute {
                    name: "default".into(),
                    backends: vec![Backend {
                        unavailable: "there is no service x".into(),
                        ..Default::default()
                    }],
                    ..Default::default()
                },
            ],
            tcp_backends: vec![backend("helloworld.default.svc.cluster.local:5000")],
            ..Default::default()
        },
        endpoints: Endpoints {
            endpoints: vec![Endpoint {
                address: "10.1.0.3".into(),
                port: 8080,
                ..Default::default()
            }],
        },
    }
}

fn traffic() -> Version {
    let locality = Locality {
        region: "eu".into(),
        zone: "eu-1".into(),
        subzone: "a".into(),
    };
    let mut version = first();
    version.name = "traffic";
    version.workload.outbound_policy = OutboundPolicy::RegistryOnly.into();
    version.workload.host_ports = vec![80, 443];
    version.workload.locality = Some(locality.clone());
    let service = &mut version.service;
    service.namespace = "default".into();
    service.hosts = [("api.example.com".into(), "api.example.com:80".into())].into();
    service.tls_routes = vec![TlsRoute {
        name: "VirtualService default/db tls[0]".into(),
        sni_hosts: vec!["*.example.com".into()],
        backends: vec![Backend {
            original_destination: true,
            cluster: "outbound|443||*.example.com".into(),
            ..Default::default()
        }],
    }];
    let route = &mut service.http_routes[0];
    route.matches[0].method = exact("GET");
    route.matches[0].without_headers = vec![HeaderMatch {
        name: "x-debug".into(),
        value: None,
    }];
    route.timeout_ms = 1500;
    route.fault = Some(Fault {
        delay_millionths: 10_000,
        delay_ms: 5,
        ..Default::default()
    });
    route.mirrors = vec![Mirror {
        backend: Some(backend("mirror.default.svc.cluster.local:80")),
        millionths: 1_000_000,
    }];
    route.backends[0].policy = Some(TrafficPolicy {
        warmup_seconds: 30,
        consistent_hash: Some(ConsistentHash {
            by: Some(consistent_hash::By::Header("x-user".into())),
            table: Some(consistent_hash::Table::RingSize(1024)),
        }),
        outlier_detection: Some(OutlierDetection {
            consecutive_5xx: 5,
            interval_ms: 10_000,
            base_ejection_ms: 30_000,
            max_ejection_percent: 10,
            ..Default::default()
        }),
        ..Default::default()
    });
    let endpoint = &mut version.endpoints.endpoints[0];
    endpoint.weight = 7;
    endpoint.locality = Some(locality);
    endpoint.node = "node-1".into();
    endpoint.terminating = true;
    version
}

impl Version {
    fn resources(&self) -> [(&'static str, &'static str, Vec<u8>); 3] {
        [
            ("workload.bin", WORKLOAD, self.workload.encode_to_vec()),
            ("service.bin", SERVICE, self.service.encode_to_vec()),
            ("endpoints.bin", ENDPOINTS, self.endpoints.encode_to_vec()),
        ]
    }

    fn files(&self) -> Vec<(&'static str, Vec<u8>)> {
        let request = DeltaDiscoveryRequest {
            node: Some(Node {
                id: "default/curl-1".into(),
                ..Default::default()
            }),
            type_url: SERVICE.into(),
            resource_names_subscribe: vec!["10.96.0.7:5000".into()],
            initial_resource_versions: [("10.96.0.7:5000".into(), "0123456789abcdef".into())].into(),
            ..Default::default()
        };
        let response = response(SERVICE, "10.96.0.7:5000", self.service.encode_to_vec());
        let resources = self.resources().into_iter().map(|(file, _, bytes)| (file, bytes));
        resources
            .chain([
                ("request.bin", request.encode_to_vec()),
                ("response.bin", response.encode_to_vec()),
            ])
            .collect()
    }
}

fn response(kind: &str, name: &str, value: Vec<u8>) -> DeltaDiscoveryResponse {
    DeltaDiscoveryResponse {
        type_url: kind.into(),
        resources: vec![Resource {
            name: name.into(),
            version: "0123456789abcdef".into(),
            resource: Some(Any {
                type_url: kind.into(),
                value,
            }),
        }],
        nonce: "1".into(),
        ..Default::default()
    }
}

/// What was written then.
fn golden(version: &Version, file: &str, today: &[u8]) -> Vec<u8> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/testdata/discovery");
    let path = directory.join(version.name).join(file);
    if std::env::var_os("BLESS").is_some() && !path.exists() {
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        std::fs::write(&path, today).expect("written");
    }
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn check<M: Message + Default + PartialEq + std::fmt::Debug>(what: &str, bytes: &[u8], expected: &M) {
    let decoded = M::decode(bytes).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(&decoded, expected, "{what}");
}

#[test]
fn what_older_versions_said_means_what_it_meant() {
    for version in versions() {
        for (file, today) in version.files() {
            let bytes = golden(&version, file, &today);
            let what = format!("{}/{file}", version.name);
            match file {
                "workload.bin" => check(&what, &bytes, &version.workload),
                "service.bin" => check(&what, &bytes, &version.service),
                "endpoints.bin" => check(&what, &bytes, &version.endpoints),
                "request.bin" => check(&what, &bytes, &DeltaDiscoveryRequest::decode(&today[..]).unwrap()),
                _ => check(
                    &what,
                    &bytes,
                    &DeltaDiscoveryResponse::decode(&today[..]).unwrap(),
                ),
            }
        }
    }
}

#[test]
fn a_proxy_takes_what_older_and_newer_control_planes_say() {
    for version in versions() {
        for (file, kind, today) in version.resources() {
            let old = golden(&version, file, &today);
            // Fields of numbers that are not given yet: a number, a text, eight bytes and four.
            let newer = [
                &old[..],
                &[0x80, 0xfa, 0x01, 5],
                &[0x8a, 0xfa, 0x01, 3, b'n', b'e', b'w'],
                &[0x91, 0xfa, 0x01, 1, 2, 3, 4, 5, 6, 7, 8],
                &[0x9d, 0xfa, 0x01, 1, 2, 3, 4],
            ]
            .concat();
            for bytes in [old, newer] {
                let name = if kind == WORKLOAD { SELF } else { "10.96.0.7:5000" };
                let (mesh, _wanted) = Mesh::new();
                let (_, refused) = mesh.apply(response(kind, name, bytes.clone()));
                assert!(refused.is_empty(), "{}/{file}: {refused:?}", version.name);
                match kind {
                    WORKLOAD => check(file, &bytes, &version.workload),
                    SERVICE => check(file, &bytes, &version.service),
                    _ => check(file, &bytes, &version.endpoints),
                }
            }
        }
    }
}

#[test]
fn a_value_that_an_older_version_does_not_know_is_its_default() {
    let newer = [&[0x18, 99][..], &first().service.encode_to_vec()].concat();
    let service = Service::decode(&newer[..]).expect("a service");
    assert_eq!(service.protocol(), Protocol::Unspecified);
}
