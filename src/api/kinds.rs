//! Istio's kinds that are honoured, for whoever goes through all of them: what is said of one is said of each.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use kube::api::ApiResource;

use super::{DestinationRule, ServiceEntry, Sidecar, VirtualService, WorkloadEntry};

/// A kind of `networking.istio.io`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum IstioKind {
    VirtualService,
    DestinationRule,
    ServiceEntry,
    WorkloadEntry,
    Sidecar,
}

impl IstioKind {
    pub(crate) const GROUP: &str = "networking.istio.io";

    /// The versions, the newest first. All have the same fields. Istio's own definitions have `v1` since 1.22.
    pub(crate) const VERSIONS: [&str; 3] = ["v1", "v1beta1", "v1alpha3"];

    pub(crate) const ALL: [Self; 5] = [
        Self::VirtualService,
        Self::DestinationRule,
        Self::ServiceEntry,
        Self::WorkloadEntry,
        Self::Sidecar,
    ];

    /// As an object says what it is.
    pub(crate) fn named(kind: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == kind)
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::VirtualService => "VirtualService",
            Self::DestinationRule => "DestinationRule",
            Self::ServiceEntry => "ServiceEntry",
            Self::WorkloadEntry => "WorkloadEntry",
            Self::Sidecar => "Sidecar",
        }
    }

    /// How an API server that serves this version is asked for objects of it.
    pub(crate) fn resource(self, version: &str) -> ApiResource {
        let mut resource = self.newest();
        version.clone_into(&mut resource.version);
        resource.api_version = format!("{}/{version}", Self::GROUP);
        resource
    }

    /// In the newest version.
    fn newest(self) -> ApiResource {
        match self {
            Self::VirtualService => ApiResource::erase::<VirtualService>(&()),
            Self::DestinationRule => ApiResource::erase::<DestinationRule>(&()),
            Self::ServiceEntry => ApiResource::erase::<ServiceEntry>(&()),
            Self::WorkloadEntry => ApiResource::erase::<WorkloadEntry>(&()),
            Self::Sidecar => ApiResource::erase::<Sidecar>(&()),
        }
    }

    /// The name of its CustomResourceDefinition.
    pub(crate) fn custom_resource(self) -> String {
        format!("{}.{}", self.newest().plural, Self::GROUP)
    }

    /// As its type has it.
    pub(super) fn definition(self) -> CustomResourceDefinition {
        match self {
            Self::VirtualService => VirtualService::crd(),
            Self::DestinationRule => DestinationRule::crd(),
            Self::ServiceEntry => ServiceEntry::crd(),
            Self::WorkloadEntry => WorkloadEntry::crd(),
            Self::Sidecar => Sidecar::crd(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::IstioKind;

    #[test]
    fn kinds_are_called_what_their_types_say() {
        for kind in IstioKind::ALL {
            assert_eq!(kind.newest().kind, kind.name());
            assert_eq!(kind.resource(IstioKind::VERSIONS[0]), kind.newest());
            for version in IstioKind::VERSIONS {
                let resource = kind.resource(version);
                assert_eq!(
                    (resource.group.as_str(), resource.version.as_str()),
                    (IstioKind::GROUP, version)
                );
                assert_eq!(resource.api_version, format!("networking.istio.io/{version}"));
            }
            assert_eq!(IstioKind::named(kind.name()), Some(kind));
            assert_eq!(
                kind.definition().metadata.name.as_deref(),
                Some(kind.custom_resource().as_str())
            );
        }
        assert_eq!(IstioKind::named("Gateway"), None);
    }
}
