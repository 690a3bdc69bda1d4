//! One request to a server and its response, on a connection that is used for nothing else meanwhile. Before it: `pool`.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{StatusCode, Version};
use http_body::Body as _;
use tokio::io::{AsyncRead, AsyncWrite};

use super::framing::{self, Framing};
use super::head::{self, Answered};
use super::output::{Framed, Sending, Unsent};
use super::remaining::Remaining;
use super::{Error, Interims, MAX_RESPONSE_HEAD, arriving, write};
use crate::body::{self, Body};
use crate::http::strip;
use crate::message::{Request, Response};
use crate::scratch;

/// A connection to a server.
#[derive(Debug)]
pub(crate) struct Wire<S> {
    pub(crate) stream: S,
    /// What has been read, and belongs to nothing yet.
    pub(crate) rest: BytesMut,
}

/// A response whose body is still to come.
#[derive(Debug)]
pub(crate) struct Exchanged {
    /// Without its body.
    pub(crate) response: Response,
    pub(crate) remaining: Remaining,
    /// Of the request, if the server has answered before all of it was sent.
    pub(crate) upload: Option<Upload>,
    /// Whether the connection may be used again after both.
    pub(crate) keep: bool,
}

/// The rest of a request on its way to a server.
#[derive(Debug)]
pub(crate) struct Upload(Sending);

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    /// The connection was closed before there was one.
    #[error("it was closed: {0}")]
    Closed(io::Error),
    /// The server says something else.
    #[error(transparent)]
    Malformed(Error),
    /// The request's body broke off.
    #[error("the request's body broke off: {0}")]
    Body(body::Error),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            rest: BytesMut::new(),
        }
    }

    /// Whether the other side has neither closed it nor said anything since its last response.
    pub(crate) fn is_quiet(&mut self) -> bool {
        self.rest.is_empty() && scratch::is_quiet(&mut self.stream)
    }
}

/// Sends a request, and waits for the head of its response. What the server says before that is told to `interims`.
///
/// # Errors
/// See [`NoAnswer`]; the connection is of no more use then.
pub(crate) async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<S>,
    request: &Request,
    body: Body,
    interims: Option<&Interims>,
) -> Result<Exchanged, NoAnswer> {
    let (head, framed) = head(request, &body);
    let mut upload = Some(Upload(Sending::new(head, body, framed)));
    let (mut seen, mut deaf) = (0, false);
    let answered = poll_fn(|context| {
        if let Some(uploading) = &mut upload
            && let Poll::Ready(sent) = uploading.poll(wire, context)
        {
            upload = None;
            match sent {
                Ok(()) => {}
                // A server that refuses an upload answers and closes, and what it said is what the client is to hear.
                Err(Unsent::Io(_)) => deaf = true,
                Err(Unsent::Body(error)) => return Poll::Ready(Err(NoAnswer::Body(error))),
            }
        }
        loop {
            let mut answered = ready!(poll_head(wire, &mut seen, context))?;
            let status = answered.status;
            if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
                return Poll::Ready(Ok(answered));
            }
            // The proxy itself asks the client to continue, when it reads the body.
            if status != StatusCode::CONTINUE
                && let Some(interims) = interims
            {
                strip(&mut answered.headers, false);
                interims.push(status, answered.reason.as_deref(), &mut answered.headers);
            }
        }
    });
    let mut answered = answered.await?;
    let (method, status, version) = (&request.method, answered.status, answered.version);
    let framing = Framing::of_response(method, status, version, &mut answered.headers);
    let framing = framing.map_err(NoAnswer::Malformed)?;
    Ok(Exchanged {
        keep: answered.keeps() && !deaf && framing != Framing::UntilClose,
        remaining: Remaining::new(framing),
        upload,
        response: Response {
            status,
            reason: answered.reason,
            headers: answered.headers,
            body: Body::default(),
        },
    })
}

fn poll_head<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<S>,
    seen: &mut usize,
    context: &mut Context<'_>,
) -> Poll<Result<Answered, NoAnswer>> {
    let Wire { stream, rest } = wire;
    let head = arriving::poll_head(stream, rest, seen, MAX_RESPONSE_HEAD, context, head::response);
    Poll::Ready(match ready!(head) {
        Ok(Some(answered)) => Ok(answered),
        Ok(None) => Err(NoAnswer::Closed(io::ErrorKind::UnexpectedEof.into())),
        Err(Error::Io(error)) => Err(NoAnswer::Closed(error)),
        Err(error) => Err(NoAnswer::Malformed(error)),
    })
}

/// The head as it is written, and how the body is framed.
fn head(request: &Request, body: &Body) -> (Vec<u8>, Framed) {
    let mut head = Vec::with_capacity(512);
    write::request_line(&mut head, request);
    write::fields(&mut head, &request.headers);
    let framed = match framing::said(&request.headers) {
        Some(said) => Framed::Length(said),
        None if body.is_end_stream() => Framed::Length(0),
        None => match (body.size_hint().exact(), request.version) {
            (Some(known), _) => {
                write::field(
                    &mut head,
                    CONTENT_LENGTH.as_str().as_bytes(),
                    known.to_string().as_bytes(),
                );
                Framed::Length(known)
            }
            (None, Version::HTTP_10) => Framed::Length(0),
            (None, _) => {
                write::field(&mut head, TRANSFER_ENCODING.as_str().as_bytes(), b"chunked");
                Framed::Chunked
            }
        },
    };
    head.extend_from_slice(b"\r\n");
    (head, framed)
}

impl Upload {
    /// Sends what there is. Ready when all has been sent.
    fn poll<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        wire: &mut Wire<S>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Unsent>> {
        self.0.poll(&mut wire.stream, context)
    }

    /// The same, where it no longer matters why it was not sent to its end. Gives whether it was.
    pub(crate) fn poll_rest<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        wire: &mut Wire<S>,
        context: &mut Context<'_>,
    ) -> Poll<bool> {
        self.poll(wire, context).map(|sent| sent.is_ok())
    }
}
