//! `POST /quitquitquit`, Istio's word: the application, whose work is done, ends a proxy that would outlive it. Before
//! it on the path: `admin`.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use http::header::{ALLOW, CONNECTION};
use http::{Method, StatusCode};

use super::text;
use crate::message::Response;

/// One connection, over which the end may be asked for.
#[derive(Debug)]
pub(super) struct Quit {
    peer: IpAddr,
    asked: AtomicBool,
}

impl Quit {
    pub(super) fn new(peer: IpAddr) -> Self {
        Self {
            peer,
            asked: AtomicBool::new(false),
        }
    }

    /// Takes it from within the pod only, which is to say over loopback.
    pub(super) fn answer(&self, method: &Method) -> Response {
        if method != Method::POST {
            let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "only POST\n".into());
            refusal.headers.set(&ALLOW, "POST");
            return refusal;
        }
        if !self.peer.is_loopback() {
            return text(StatusCode::FORBIDDEN, "only over loopback\n".into());
        }
        tracing::info!("asked to quit");
        self.asked.store(true, Ordering::Relaxed);
        let mut accepted = text(StatusCode::OK, "quitting\n".into());
        // The connection ends with this answer, and the proxy after it.
        accepted.headers.set(&CONNECTION, "close");
        accepted
    }

    /// Whether the end has been asked for.
    pub(super) fn asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may() {
        for (peer, method, status, asked) in [
            ("127.0.0.1", Method::POST, 200, true),
            ("::1", Method::POST, 200, true),
            ("10.1.2.3", Method::POST, 403, false),
            ("fd00::1", Method::POST, 403, false),
            ("127.0.0.1", Method::GET, 405, false),
            ("10.1.2.3", Method::HEAD, 405, false),
        ] {
            let quit = Quit::new(peer.parse().unwrap());
            assert_eq!(
                quit.answer(&method).status.as_u16(),
                status,
                "{method} from {peer}"
            );
            assert_eq!(quit.asked(), asked, "{method} from {peer}");
        }
    }
}
