//! The CA of a table's control planes, and the files that a proxy has in its pod. Used by `town`.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use outrigger_certs::{Authority, Request, ServingCertificate};
use tempfile::TempDir;

const VALIDITY: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) struct Trust {
    files: TempDir,
    pub(super) server: Arc<rustls::ServerConfig>,
    /// Of a pod that speaks TLS.
    pub(super) client: Arc<rustls::ClientConfig>,
}

impl Trust {
    pub(super) fn new() -> Self {
        let now = SystemTime::now();
        let authority = Authority::generate("tables", VALIDITY, now).expect("a CA");
        let names = Request {
            dns_names: Vec::new(),
            ips: vec![Ipv4Addr::LOCALHOST.into()],
        };
        let serving = Arc::new(ServingCertificate::default());
        let identity = authority.issue(&names, VALIDITY, now).expect("a certificate");
        serving.replace(identity).expect("its key fits");
        let files = tempfile::tempdir().expect("a directory");
        let bundle = authority.certificate_pem();
        std::fs::write(files.path().join("ca.pem"), bundle).expect("written");
        Self {
            files,
            server: Arc::new(outrigger_certs::server_config(serving).expect("a configuration")),
            client: Arc::new(outrigger_certs::client_config(bundle).expect("a configuration")),
        }
    }

    pub(super) fn ca_file(&self) -> PathBuf {
        self.files.path().join("ca.pem")
    }

    /// A file with this token.
    pub(super) fn token_file(&self, token: &str) -> PathBuf {
        let file = self.files.path().join(token);
        std::fs::write(&file, token).expect("written");
        file
    }
}
