//! [`Player`]: the service that a cassette makes, and the way of a request through it.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, Response, StatusCode, request};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    cassette::{Cassette, Settings},
    exchange::Exchange,
    mode::Mode,
    redact::{URLS, recorded_fields},
    tape::Tape,
    unrecorded::{self, Unrecorded},
};
use crate::{
    cache::{AnyBody, Origin, OriginBody, RequestBody, ResponseBody},
    error::BoxError,
    key::Recipe,
    store::{Error, ErrorKind, Hit, StoredBody},
};

/// The service that a [`Cassette`] makes: replays what is recorded, and records what it sends
/// through the inner service, by the mode of the cassette.
///
/// It is always ready. A request that is sent waits for a clone of the inner service within its own
/// future. The body of each request is read whole first, since the key depends on it. The body of a
/// response is recorded while the caller reads it. Only a response whose body was read to its end
/// is recorded.
///
/// # Errors
///
/// [`Unrecorded`] if a request has no recorded response and must not be sent, a
/// [`store::Error`](crate::store::Error) if the recording cannot be read or written, and the error
/// of the inner service, which is not recorded.
#[derive(Clone, Debug)]
pub struct Player<S> {
    inner: S,
    cassette: Cassette,
}

impl<S> Player<S> {
    /// The cassette that made this service.
    pub fn cassette(&self) -> &Cassette {
        &self.cassette
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service, without the cassette.
    pub fn into_inner(self) -> S {
        self.inner
    }

    /// Sends or replays one request, as [`call`](Service::call) does, by `&self`.
    pub fn request<ReqBody, ResBody, E>(&self, request: Request<ReqBody>) -> PlayerFuture<ResBody>
    where
        S: crate::InnerService<ReqBody, ResBody, E>,
        ReqBody: Body<Data = Bytes> + Send + 'static,
        ReqBody::Error: Into<BoxError> + Send,
        ResBody: Body,
        E: Into<BoxError>,
    {
        PlayerFuture::new(play(self.inner.clone(), self.cassette.clone(), request))
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for Player<S>
where
    S: Service<Request<RequestBody<ReqBody>>, Response = Response<ResBody>>,
    S: Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError> + Send,
    ReqBody: Body<Data = Bytes> + Send + 'static,
    ReqBody::Error: Into<BoxError> + Send,
    ResBody: Body<Data = Bytes> + Send + 'static,
    ResBody::Error: Into<BoxError> + Send,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = BoxError;
    type Future = PlayerFuture<ResBody>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        self.request(request)
    }
}

impl<S> Layer<S> for Cassette {
    type Service = Player<S>;

    fn layer(&self, inner: S) -> Player<S> {
        Player { inner, cassette: self.clone() }
    }
}

type Played<B> = Result<Response<ResponseBody<B>>, BoxError>;

/// The future of a response, recorded or replayed.
#[must_use = "futures do nothing unless polled"]
pub struct PlayerFuture<B: Body> {
    inner: Pin<Box<dyn Future<Output = Played<B>> + Send>>,
}

impl<B: Body> PlayerFuture<B> {
    fn new(played: impl Future<Output = Played<B>> + Send + 'static) -> Self {
        Self { inner: Box::pin(played) }
    }
}

impl<B: Body> Future for PlayerFuture<B> {
    type Output = Played<B>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.inner.as_mut().poll(cx)
    }
}

impl<B: Body> fmt::Debug for PlayerFuture<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlayerFuture").finish_non_exhaustive()
    }
}

/// Replays or sends one request.
fn play<S, ReqBody>(
    inner: S,
    cassette: Cassette,
    request: Request<ReqBody>,
) -> impl Future<Output = Played<S::Body>> + Send
where
    S: Origin<ReqBody, Error: Into<BoxError>>,
    ReqBody: AnyBody<Error: Into<BoxError>>,
{
    // Not in the future, which would have room for the request and its parts.
    let (parts, body) = request.into_parts();
    async move {
        let Cassette { settings, mode, tape } = cassette;
        let Some(tape) = tape else {
            let request = Request::from_parts(parts, RequestBody::untouched(body));
            let response = inner.send(request).await.map_err(Into::into)?;
            return Ok(response.map(ResponseBody::passthrough));
        };

        let (body, exchange) = read_exchange(&settings, &parts, body).await?;
        let number = if settings.in_order { tape.number(&exchange).await } else { 1 };
        let key = exchange.key(number);
        // What this run has recorded is sent again, to see whether a replay would be right.
        if mode.replays() && !tape.recorder.has_recorded(&key) {
            if let Some(hit) = tape.recorder.get(&key).await? {
                return Ok(replayed(hit, &exchange.method));
            }
            if mode == Mode::Replay {
                return Err(Unrecorded::new(exchange, number, &tape.recorder).await.into());
            }
        }

        check_earlier(&tape)?;
        let requested_at = settings.clock.now();
        let response = inner.send(Request::from_parts(parts, body)).await.map_err(Into::into)?;
        if is_tunnel(&exchange.method, response.status()) {
            return Ok(response.map(ResponseBody::passthrough));
        }
        if tape.recorder.has_recorded(&key)
            && let Some(recorded) = tape.recorder.get(&key).await?
        {
            return sent_again(&settings.recipe, &exchange, recorded, response).await;
        }
        if mode == Mode::Record && settings.in_order {
            tape.remove_earlier(&exchange, number).await?;
        }
        let (parts, body) = response.into_parts();
        let fields = recorded_fields(&settings.recipe, &parts.headers);
        let head = exchange.head(number, &parts, fields, (requested_at, settings.clock.now()));
        let expected = exchange.expected_len(&parts);
        let redact = move |trailers: HeaderMap| recorded_fields(&settings.recipe, &trailers);
        let body = tape.recorder.record(key, head, body, expected, redact).await;
        Ok(Response::from_parts(parts, body))
    }
}

/// Reads the body of a request, and makes the key of it.
async fn read_exchange<ReqBody: AnyBody<Error: Into<BoxError>>>(
    settings: &Settings,
    parts: &request::Parts,
    body: ReqBody,
) -> Result<(RequestBody<ReqBody>, Exchange), Error> {
    let read = RequestBody::whole(body).await;
    let body = read.map_err(|error| unrecorded::unreadable(&parts.method, error.into()))?;
    let exchange = Exchange::new(&settings.recipe, parts, body.read())
        .map_err(|_| unrecorded::no_url(&parts.method))?;
    Ok((body, exchange))
}

/// The recorded response.
fn replayed<B: Body>(hit: Hit, method: &Method) -> Response<ResponseBody<B>> {
    answer(method, hit.into_response())
}

/// The response to a request that this run has recorded already. Fails unless both responses have
/// the same status, body and URLs of what they describe, since a replay would give the recorded one
/// to both requests.
async fn sent_again<B: OriginBody>(
    recipe: &Recipe,
    exchange: &Exchange,
    recorded: Hit,
    sent: Response<B>,
) -> Played<B> {
    let (parts, body) = sent.into_parts();
    let fields = recorded_fields(recipe, &parts.headers);
    let old = recorded.head.headers();
    let is_elsewhere =
        URLS.iter().any(|name| !old.get_all(name).iter().eq(fields.get_all(name).iter()));
    if recorded.head.status() != parts.status || is_elsewhere {
        return Err(unrecorded::differs(&exchange.method, &exchange.url).into());
    }
    let (mut bytes, mut trailers) = (BytesMut::new(), None);
    let mut body = pin!(body);
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        match frame.map_err(Into::into)?.into_data() {
            Ok(chunk) => bytes.extend_from_slice(&chunk),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    if recorded.body.bytes().await? != bytes {
        return Err(unrecorded::differs(&exchange.method, &exchange.url).into());
    }
    let body = StoredBody::from(bytes.freeze()).with_trailers(trailers);
    Ok(answer(&exchange.method, Response::from_parts(parts, body)))
}

/// A response that is in memory or in the folder.
fn answer<B: Body>(method: &Method, response: Response<StoredBody>) -> Response<ResponseBody<B>> {
    let has_no_body = *method == Method::HEAD
        || [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&response.status());
    if has_no_body {
        response.map(|_empty| ResponseBody::absent(None))
    } else {
        response.map(ResponseBody::stored)
    }
}

/// Whether the response opens a tunnel, which cannot be recorded.
fn is_tunnel(method: &Method, status: StatusCode) -> bool {
    status == StatusCode::SWITCHING_PROTOCOLS || (*method == Method::CONNECT && status.is_success())
}

/// Fails if an earlier response could not be recorded: the test would find out when it is replayed.
fn check_earlier(tape: &Tape) -> Result<(), Error> {
    tape.recorder.failure().map_or(Ok(()), |failure| {
        let message = format!("an earlier response could not be recorded: {failure}");
        Err(Error::new(ErrorKind::Unavailable, super::NAME, message))
    })
}
