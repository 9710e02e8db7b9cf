//! The client. It sends the requests of a case one after the other, as `fetch` does, and reads the
//! responses.

use std::{fmt, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use larder::time::{ManualClock, Timestamp};
use tower::{Service, ServiceExt};

use crate::{
    case::Case,
    exchange::Exchange,
    judge::{self, Fault},
    origin::{Disconnected, Origin},
    wire,
};

/// The time, by the real clock, after which a request counts as hanging. No case takes any time.
const HANGS: Duration = Duration::from_secs(60);

/// The response as the client received it.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        wire::joined(&self.headers, name)
    }

    /// The origin's time when it created the response.
    pub(crate) fn origin_time(&self) -> Option<Timestamp> {
        let millis = self.get("server-now")?.parse().ok()?;
        Some(Timestamp::from_millis(millis))
    }

    /// The origin's number of the request that it answered.
    pub(crate) fn count(&self) -> Option<usize> {
        self.get("server-request-count")?.parse().ok()
    }
}

/// Plays `case` against `service`, with `origin` behind it, and judges the result. `settled` waits
/// for the end of the service's work in the background.
pub(crate) async fn play<S, B>(
    case: &Case,
    token: &str,
    service: &S,
    origin: &Origin,
    clock: &ManualClock,
    settled: impl AsyncFn(),
) -> Result<(), Fault>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Disconnected> + Clone,
    B: Body<Data = Bytes, Error: fmt::Display>,
{
    origin.script(token, &case.exchanges);
    let mut replies: Vec<Reply> = Vec::new();
    for (at, exchange) in case.exchanges.iter().enumerate() {
        // Every step takes some time.
        clock.advance(Duration::from_millis(1));
        let request = request(case, at + 1, exchange, token, replies.last());
        let answered = tokio::time::timeout(HANGS, send(service.clone(), request));
        let Ok(reply) = answered.await else {
            return Err(Fault::Failed(format!("request {} hangs", at + 1)));
        };
        let reply = reply?;
        let judgement = judge::response(exchange, at + 1, token, &reply);
        replies.push(reply);
        settled().await;
        judgement?;
        if exchange.pauses {
            clock.advance(Duration::from_secs(3));
        }
    }
    judge::origin(&case.exchanges, &replies, &origin.received(token))
}

fn request(
    case: &Case,
    number: usize,
    exchange: &Exchange,
    token: &str,
    last: Option<&Reply>,
) -> Request<Full<Bytes>> {
    let file = exchange.file.map(|file| format!("/{file}")).unwrap_or_default();
    let query = exchange.query.map(|query| format!("?{query}")).unwrap_or_default();
    let uri = format!("http://origin.example/test/{token}{file}{query}");

    // These values keep `fetch` from adding a `no-cache` of its own. No cache knows them.
    let mut lines = Lines(vec![
        ("pragma", "foo".to_owned()),
        ("cache-control", "nothing-to-see-here".to_owned()),
    ]);
    let now = last.and_then(Reply::origin_time);
    for field in &exchange.sends {
        lines.add(field.name, &wire::text(&field.value, now, ""));
    }
    lines.add("test-id", &case.id);
    lines.add("req-num", &number.to_string());
    let coding = if lines.has("range") { "identity" } else { "gzip, deflate" };
    lines.add_missing("accept", "*/*");
    lines.add_missing("accept-language", "*");
    lines.add_missing("sec-fetch-mode", "cors");
    lines.add_missing("user-agent", "node");
    lines.add_missing("accept-encoding", coding);
    if exchange.sends_text.is_some() {
        lines.add_missing("content-type", "text/plain;charset=UTF-8");
    }

    let method = exchange.method.unwrap_or("GET").parse::<Method>().expect("a method");
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in &lines.0 {
        request = request.header(*name, wire::line(value));
    }
    request.body(Full::from(exchange.sends_text.unwrap_or_default())).expect("a request")
}

/// The header of a request. Like `fetch`, it joins all lines with the same name.
struct Lines(Vec<(&'static str, String)>);

impl Lines {
    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(have, _)| have.eq_ignore_ascii_case(name))
    }

    fn add(&mut self, name: &'static str, value: &str) {
        let value = value.trim();
        match self.0.iter_mut().find(|(have, _)| have.eq_ignore_ascii_case(name)) {
            Some((_, line)) => *line = format!("{line}, {value}"),
            None => self.0.push((name, value.to_owned())),
        }
    }

    fn add_missing(&mut self, name: &'static str, value: &str) {
        if !self.has(name) {
            self.add(name, value);
        }
    }
}

/// The reply to `request` from the service. If the service fails, it is that of a gateway around
/// it.
async fn send<S, B>(service: S, request: Request<Full<Bytes>>) -> Result<Reply, Fault>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Disconnected>,
    B: Body<Data = Bytes, Error: fmt::Display>,
{
    let is_head = request.method() == Method::HEAD;
    let response = match service.oneshot(request).await {
        Ok(response) => response,
        Err(Disconnected) => {
            let (status, headers) = (StatusCode::BAD_GATEWAY.as_u16(), HeaderMap::new());
            return Ok(Reply { status, headers, text: Disconnected.to_string() });
        }
    };
    let (head, body) = response.into_parts();
    let body = body.collect().await;
    let body = body.map_err(|error| Fault::Failed(format!("a body broke off: {error}")))?;
    let body = body.to_bytes();
    // On a connection, this response has no body.
    let has_body = !is_head && !matches!(head.status.as_u16(), 204 | 205 | 304);
    let text = String::from_utf8_lossy(if has_body { &body } else { b"" }).into_owned();
    Ok(Reply { status: head.status.as_u16(), headers: head.headers, text })
}
