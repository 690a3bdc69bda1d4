//! A gRPC server for any method: what comes in goes out, and the status is OK.

use std::net::SocketAddr;

use anyhow::Context;
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;

/// Serves for ever.
///
/// # Errors
/// The address that cannot be listened on, and what accepting ends with.
pub(crate) async fn run(listen: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| listen.to_string())?;
    loop {
        let (stream, _) = listener.accept().await?;
        spawn_local(serve(stream));
    }
}

async fn serve(stream: TcpStream) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut connection = h2::server::handshake(stream).await?;
    while let Some(request) = connection.accept().await {
        let (request, respond) = request?;
        spawn_local(answer(request, respond));
    }
    Ok(())
}

async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) -> anyhow::Result<()> {
    let mut body = request.into_body();
    let head = Response::builder()
        .header("content-type", "application/grpc")
        .body(())?;
    let mut out = respond.send_response(head, false)?;
    while let Some(data) = body.data().await {
        let Ok(data) = data else {
            out.send_reset(Reason::CANCEL);
            return Ok(());
        };
        body.flow_control().release_capacity(data.len())?;
        out.send_data(data, false)?;
    }
    let status = HeaderMap::from_iter([("grpc-status".parse()?, HeaderValue::from_static("0"))]);
    Ok(out.send_trailers(status)?)
}
