//! What the control plane keeps for others, so that they trust it: taken away or spoilt, it comes back.

use std::time::Duration;

use anyhow::Result;

use crate::install::{WEBHOOK, ca_bundles, outrigger};
use crate::kubectl::{Namespace, eventually, kubectl};

/// The proxies' CA in a namespace, and the API server's in the webhook configuration.
pub(crate) fn repaired() -> Result<()> {
    outrigger()?;
    let namespace = Namespace::create("trust")?;
    let appears = [
        "wait",
        "--for=create",
        "configmap/outrigger-ca-root",
        "--timeout=20s",
    ];
    namespace.kubectl(&appears)?;
    namespace.kubectl(&["delete", "configmap", "outrigger-ca-root", "--wait=false"])?;
    namespace.kubectl(&appears)?;

    let right = ca_bundles()?;
    let spoil = r#"[{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]"#;
    kubectl(&["patch", WEBHOOK, "--type=json", "-p", spoil])?;
    eventually("the caBundle is back", Duration::from_secs(20), || {
        Ok(ca_bundles()? == right)
    })?;
    namespace.delete()
}
