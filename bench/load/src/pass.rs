//! The floor under any proxy that is made with hyper: a request comes in, the same goes out on a connection of its client's
//! own, and nothing else. Names of headers keep their case, as Outrigger's do.

use std::net::SocketAddr;
use std::rc::Rc;

use hyper::service::service_fn;
use hyper::{client, server};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

/// Passes HTTP/1.1 from one address to another for ever.
///
/// # Errors
/// The address that cannot be listened on, and what accepting ends with.
pub(crate) async fn run(listen: SocketAddr, to: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (client, _) = listener.accept().await?;
        tokio::task::spawn_local(pass(client, to));
    }
}

async fn pass(client: TcpStream, to: SocketAddr) -> anyhow::Result<()> {
    client.set_nodelay(true)?;
    let server = TcpStream::connect(to).await?;
    server.set_nodelay(true)?;
    let (sender, connection) = client::conn::http1::Builder::new()
        .preserve_header_case(true)
        .handshake(TokioIo::new(server))
        .await?;
    tokio::task::spawn_local(connection);
    // Requests of one connection come one after another: nobody ever waits for it.
    let sender = Rc::new(Mutex::new(sender));
    let service = service_fn(move |request| {
        let sender = sender.clone();
        async move {
            let mut sender = sender.lock().await;
            sender.ready().await?;
            sender.send_request(request).await
        }
    });
    let served = server::conn::http1::Builder::new()
        .preserve_header_case(true)
        .serve_connection(TokioIo::new(client), service);
    Ok(served.await?)
}
