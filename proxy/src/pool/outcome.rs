//! What a response says of the endpoint that gave it, for outlier detection. Belongs to `pool`.

use http::{HeaderName, Response, StatusCode};

use crate::balance::Outcome;
use crate::http::NOT_DELIVERED;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// The status; for gRPC the one that stands for the code, where that comes with the head. An application that does not
/// listen is told by the proxy in front of it, and is as if no connection could be made.
pub(super) fn of<B>(response: &Response<B>) -> Outcome {
    let headers = response.headers();
    if headers.contains_key(&NOT_DELIVERED) {
        return Outcome::ConnectFailed;
    }
    let code = headers
        .get(GRPC_STATUS)
        .and_then(|code| code.to_str().ok()?.parse().ok());
    Outcome::Answered(code.and_then(grpc).unwrap_or(response.status()))
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
            let mut response = Response::builder().status(status);
            if let Some((name, value)) = header {
                response = response.header(name, value);
            }
            let expected = expected.map_or(Outcome::ConnectFailed, |status| {
                Outcome::Answered(StatusCode::from_u16(status).unwrap())
            });
            assert_eq!(of(&response.body(()).unwrap()), expected, "{status} {header:?}");
        }
    }
}
