//! What the objects of one revision are called. Two revisions in one namespace share the CA and what proxies trust, whose
//! names are therefore constants beside their use; all else is each revision's own, as the chart names it.

/// The revision that a cluster has if nobody names one; its objects bear no revision in their names.
const DEFAULT: &str = "outrigger";

/// The names that a revision's control plane has to know of the chart's objects.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Names {
    /// The Service, the ClusterRole that owns what we create, and our field manager.
    pub installation: String,
    /// The MutatingWebhookConfiguration.
    pub webhook: String,
    /// The ValidatingWebhookConfiguration.
    pub validator: String,
}

impl Names {
    /// The names of `revision`, the setting `injection.revision`.
    pub fn of(revision: &str) -> Self {
        let suffix = match revision {
            DEFAULT => String::new(),
            named => format!("-{named}"),
        };
        Self {
            installation: format!("{DEFAULT}{suffix}"),
            webhook: format!("outrigger-sidecar-injector{suffix}"),
            validator: format!("outrigger-validator{suffix}"),
        }
    }

    /// Whether they are those of the revision that also serves who names none.
    pub fn is_default(&self) -> bool {
        self.installation == DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_named_revision_is_in_the_names() {
        for (revision, suffix) in [("outrigger", ""), ("canary", "-canary")] {
            let names = Names::of(revision);
            assert_eq!(names.installation, format!("outrigger{suffix}"));
            assert_eq!(names.webhook, format!("outrigger-sidecar-injector{suffix}"));
            assert_eq!(names.validator, format!("outrigger-validator{suffix}"));
        }
    }
}
