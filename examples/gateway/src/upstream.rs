//! The way of a request to the upstream, and of its response back to the cache.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, Uri,
    header::{CONNECTION, CONTENT_LENGTH, TE, TRAILER, TRANSFER_ENCODING},
    uri::Authority,
};
use http_body::Body as _;
use http_body_util::{Either, Empty};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{
        Builder, Client, Error,
        connect::{Connect, HttpConnector},
    },
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use larder::{BoxError, RequestBody};
use tokio::net::TcpStream;
use tower::ServiceExt;

use crate::{
    body::ClientBody,
    failure::causes,
    hop,
    last_word::LastWord,
    patience::{History, Patience},
};

/// Shorter than what common servers keep an idle connection for.
const IDLE: Duration = Duration::from_secs(4);

/// The body of a request, or none where the request is sent once more.
type Body = Either<RequestBody<ClientBody>, Empty<Bytes>>;

/// The upstream, and the connections to it.
pub(crate) struct Upstream<C> {
    to: Authority,
    client: Client<C, Body>,
    /// Takes a new connection for each request.
    fresh: Client<C, Body>,
}

/// An upstream that may keep silent for `silence`, with heads of `max_head` bytes.
pub(crate) fn upstream(
    to: Authority,
    silence: Duration,
    max_head: usize,
) -> Upstream<impl Connect + Clone + Send + Sync + 'static> {
    let mut tcp = HttpConnector::new();
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(silence));
    let tcp = tcp.map_response(move |io: TokioIo<TcpStream>| {
        TokioIo::new(LastWord::new(Patience::new(io.into_inner(), silence)))
    });
    let mut builder: Builder = Client::builder(TokioExecutor::new());
    builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE);
    builder.http1_max_buf_size(max_head).http1_max_headers(hop::max_lines(max_head));
    let client = builder.build(tcp.clone());
    let fresh = builder.pool_max_idle_per_host(0).build(tcp);
    Upstream { to, client, fresh }
}

impl<C: Connect + Clone + Send + Sync + 'static> Upstream<C> {
    /// Sends a request of the cache to the upstream.
    pub(crate) async fn forward(
        self: Arc<Self>,
        mut request: Request<RequestBody<ClientBody>>,
    ) -> Result<Response<Incoming>, BoxError> {
        let mut uri = request.uri().clone().into_parts();
        uri.authority = Some(self.to.clone());
        *request.uri_mut() = Uri::from_parts(uri)?;
        if request.headers().contains_key(TE) {
            request.headers_mut().insert(CONNECTION, HeaderValue::from_static("te"));
        }
        frame(&mut request);
        let mut response = self.send(request).await?;
        if response.status().is_informational() {
            return Err("the upstream switched protocols without being asked".into());
        }
        if hop::is_compressed(response.headers()) {
            return Err("the upstream compressed the transfer without being asked".into());
        }
        hop::end_to_end(response.headers_mut());
        Ok(response)
    }

    /// Sends a request, and a safe one without a body once more if the pooled connection that it
    /// was sent on turns out to be closed.
    async fn send(
        &self,
        request: Request<RequestBody<ClientBody>>,
    ) -> Result<Response<Incoming>, Error> {
        let is_safe = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
        let again = (is_safe && request.body().is_end_stream()).then(|| {
            let mut again = Request::new(Either::Right(Empty::new()));
            again.method_mut().clone_from(request.method());
            again.uri_mut().clone_from(request.uri());
            again.headers_mut().clone_from(request.headers());
            again.extensions_mut().clone_from(request.extensions());
            again
        });
        let sent = match (self.client.request(request.map(Either::Left)).await, again) {
            (Err(error), Some(again)) if was_closed(&error) => self.fresh.request(again).await,
            (sent, _) => sent,
        };
        sent.inspect(|response| {
            if let Some(history) = response.extensions().get::<History>() {
                history.note_response();
            }
        })
    }
}

/// Whether a connection failed because the upstream had closed it after an earlier response.
fn was_closed(error: &Error) -> bool {
    let mut extras = http::Extensions::new();
    if let Some(connected) = error.connect_info() {
        connected.get_extras(&mut extras);
    }
    let is_reused = extras.get::<History>().is_some_and(History::has_response);
    is_reused
        && causes(error).any(|cause| {
            let io = cause.downcast_ref::<io::Error>().map(io::Error::kind);
            let hyper = cause.downcast_ref::<hyper::Error>();
            hyper.is_some_and(|error| error.is_incomplete_message() || error.is_closed())
                || io.is_some_and(|kind| {
                    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
                    [BrokenPipe, ConnectionAborted, ConnectionReset].contains(&kind)
                })
        })
}

/// Puts back the framing that the hop before has removed, where hyper would send a body without
/// any.
fn frame(request: &mut Request<RequestBody<ClientBody>>) {
    if request.headers().contains_key(CONTENT_LENGTH) {
        return;
    }
    let (is_empty, hint) = (request.body().is_end_stream(), request.body().size_hint());
    let expects_body = [Method::PATCH, Method::POST, Method::PUT].contains(request.method());
    // Trailers have no place behind a body with a length.
    let is_chunked = hint.exact().is_none() || request.headers().contains_key(TRAILER);
    match (is_empty, expects_body, is_chunked) {
        (true, true, _) => {
            request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        (false, _, true) => {
            let chunked = HeaderValue::from_static("chunked");
            request.headers_mut().insert(TRANSFER_ENCODING, chunked);
        }
        _ => {}
    }
}
