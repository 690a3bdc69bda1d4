//! What a response says of the endpoint that gave it, for outlier detection. Belongs to `pool`.

use http::{HeaderName, StatusCode};

use crate::balance::Outcome;
use crate::http::NOT_DELIVERED;
use crate::message::Response;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// The status; for gRPC the one that stands for the code, where that comes with the head. An application that does not
/// listen is told by the proxy in front of it, and is as if no connection could be made.
pub(super) fn of(response: &Response) -> Outcome {
    let headers = &response.headers;
    if headers.contains(NOT_DELIVERED) {
        return Outcome::ConnectFailed;
    }
    let code = headers.text(GRPC_STATUS).and_then(|code| code.parse().ok());
    Outcome::Answered(code.and_then(grpc).unwrap_or(response.status))
}

/// The HTTP status of a gRPC code, as google.rpc.Code documents it.
fn grpc(code: u8) -> Option<StatusCode> {
    StatusCode::from_u16(match code {
        0 => 200,
        1 => 499,
        3 | 9 | 11 => 400,
        4 => 504,
        5 => 404,
        6 | 10 => 409,
        7 => 403,
        8 => 429,
        12 => 501,
        14 => 503,
        16 => 401,
        2 | 13 | 15 => 500,
        _ => return None,
    })
    .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::Body;

    #[test]
    fn outcomes() {
        for (status, header, expected) in [
            (200, None, Some(200)),
            (503, None, Some(503)),
            (200, Some(("grpc-status", "0")), Some(200)),
            (200, Some(("grpc-status", "14")), Some(503)),
            (200, Some(("grpc-status", "5")), Some(404)),
            (200, Some(("grpc-status", "77")), Some(200)),
            (200, Some(("grpc-status", "x")), Some(200)),
            (503, Some(("x-outrigger-not-delivered", "connect")), None),
        ] {
            let mut response = Response::of(StatusCode::from_u16(status).unwrap(), Body::default());
            if let Some((name, value)) = header {
                response.headers.add(&HeaderName::from_static(name), value);
            }
            let expected = expected.map_or(Outcome::ConnectFailed, |status| {
                Outcome::Answered(StatusCode::from_u16(status).unwrap())
            });
            assert_eq!(of(&response), expected, "{status} {header:?}");
        }
    }
}
