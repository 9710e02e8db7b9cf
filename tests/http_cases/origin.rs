//! The origin. It answers each exchange of a case by its script, and records the requests.
//!
//! Like the original's server, it behaves as if it ran on Node.js and behind a connection, because
//! the cases include that. It adds a `Date` if the script has none. A body ends at its
//! `Content-Length`. The dates of a script are the same when it is played again.

use std::{
    collections::HashMap,
    fmt,
    future::{Ready, ready},
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, request};
use http_body_util::Full;
use larder::time::{Clock, ManualClock, Timestamp};
use tower::Service;

use crate::{
    exchange::{Exchange, Source},
    wire,
};

#[derive(Clone, Debug)]
pub(crate) struct Origin {
    clock: ManualClock,
    scripts: Arc<Mutex<HashMap<String, Script>>>,
}

/// The connection was closed without a response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Disconnected;

impl fmt::Display for Disconnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the origin closed the connection")
    }
}

impl std::error::Error for Disconnected {}

/// A request that the origin received, and its answer.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// The number of its exchange in the case, from 1.
    pub(crate) number: usize,
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    /// The fields that the client must receive unchanged.
    pub(crate) checked: Vec<(&'static str, String)>,
}

#[derive(Debug)]
struct Script {
    exchanges: Vec<Exchange>,
    /// The header lines of each exchange that has been played.
    lines: Vec<Option<Vec<HeaderValue>>>,
    received: Vec<Received>,
}

impl Origin {
    pub(crate) fn new(clock: ManualClock) -> Self {
        Self { clock, scripts: Arc::default() }
    }

    /// Answers requests below `/test/{token}` with these exchanges.
    pub(crate) fn script(&self, token: &str, exchanges: &[Exchange]) {
        let (exchanges, lines) = (exchanges.to_vec(), vec![None; exchanges.len()]);
        let script = Script { exchanges, lines, received: Vec::new() };
        self.lock().insert(token.to_owned(), script);
    }

    /// The requests for `token`, in order.
    pub(crate) fn received(&self, token: &str) -> Vec<Received> {
        self.lock().get(token).map(|script| script.received.clone()).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Script>> {
        self.scripts.lock().unwrap()
    }

    fn answer(&self, request: &request::Parts) -> Result<Response<Full<Bytes>>, Disconnected> {
        let token = request.uri.path().split('/').nth(2).unwrap_or_default();
        let mut scripts = self.lock();
        let script = scripts.get_mut(token).expect("a request for no case that is played");
        let number = request.headers.get("req-num").and_then(|number| number.to_str().ok());
        let number = number.and_then(|number| number.parse().ok());
        let number = number.unwrap_or(script.received.len() + 1);
        if let Some(exchange) = number.checked_sub(1).and_then(|at| script.exchanges.get(at)) {
            self.clock.advance(Duration::from_secs(exchange.delay));
            script.play(number, token, request, self.clock.now())
        } else {
            let mut response = Response::new(Full::from("there is no such exchange"));
            *response.status_mut() = StatusCode::CONFLICT;
            Ok(response)
        }
    }
}

impl Script {
    fn play(
        &mut self,
        number: usize,
        token: &str,
        request: &request::Parts,
        now: Timestamp,
    ) -> Result<Response<Full<Bytes>>, Disconnected> {
        let path = request.uri.path_and_query().map_or("/", |path| path.as_str());
        let status = self.status(number, &request.headers);
        let at = number - 1;
        let (exchange, lines) = (&self.exchanges[at], &mut self.lines[at]);
        let lines = lines.get_or_insert_with(|| {
            let fields = exchange.answers.iter();
            fields.map(|field| wire::line(&wire::text(&field.value, Some(now), path))).collect()
        });

        let mut headers = HeaderMap::new();
        headers.insert("server-base-url", wire::line(path));
        headers.insert("server-request-count", (self.received.len() + 1).into());
        headers.insert("client-request-count", number.into());
        headers.insert("server-now", now.as_millis().into());
        let mut checked: Vec<(&'static str, String)> = Vec::new();
        for (field, line) in exchange.answers.iter().zip(lines) {
            headers.append(name(field.name), line.clone());
            if field.is_checked {
                let value = wire::joined(&headers, field.name).unwrap_or_default();
                checked.retain(|(have, _)| *have != field.name);
                checked.push((field.name, value));
            }
        }
        headers.entry("content-type").or_insert(HeaderValue::from_static("text/plain"));
        headers.entry("date").or_insert_with(|| wire::line(&wire::imf_date(now, 0)));

        let (method, received) = (request.method.clone(), request.headers.clone());
        self.received.push(Received { number, method, headers: received, checked });
        let numbers: Vec<_> = self.received.iter().map(|one| one.number.to_string()).collect();
        headers.insert("request-numbers", wire::line(&numbers.join(" ")));
        if exchange.disconnects {
            return Err(Disconnected);
        }

        let has_body = request.method != Method::HEAD && !matches!(status.as_u16(), 204 | 304);
        let text = exchange.answers_text.as_deref().unwrap_or(token);
        let mut body = Bytes::copy_from_slice(if has_body { text.as_bytes() } else { b"" });
        if has_body && !headers.contains_key("transfer-encoding") {
            let length = headers.entry("content-length").or_insert(body.len().into());
            let length = length.to_str().ok().and_then(|length| length.parse().ok());
            body.truncate(length.unwrap_or(body.len()));
        }
        let mut response = Response::new(Full::new(body));
        (*response.status_mut(), *response.headers_mut()) = (status, headers);
        Ok(response)
    }

    /// The status of the exchange's script. If a condition is expected, it is 304 if the condition
    /// came, and 999 otherwise.
    fn status(&self, number: usize, asked: &HeaderMap) -> StatusCode {
        let exchange = &self.exchanges[number - 1];
        let conditional =
            matches!(exchange.source, Some(Source::EtagValidated | Source::LastModifiedValidated));
        let status = match conditional {
            false => exchange.status.unwrap_or(200),
            true if self.holds(number, asked, "if-none-match", "etag") => 304,
            true if self.holds(number, asked, "if-modified-since", "last-modified") => 304,
            true => 999,
        };
        StatusCode::from_u16(status).expect("a status")
    }

    /// Whether the request has the validator of the previous exchange.
    fn holds(&self, number: usize, asked: &HeaderMap, condition: &str, validator: &str) -> bool {
        let Some(before) = number.checked_sub(2) else { return false };
        let (exchange, lines) = (&self.exchanges[before], self.lines[before].as_deref());
        let mut fields = exchange.answers.iter().enumerate();
        fields.rfind(|(_, field)| field.name.eq_ignore_ascii_case(validator)).is_some_and(
            |(at, field)| {
                // An exchange that the cache answered alone counts too. It has no dates.
                let unplayed = wire::line(&wire::text(&field.value, None, ""));
                asked.get(condition) == Some(lines.map_or(&unplayed, |lines| &lines[at]))
            },
        )
    }
}

fn name(name: &'static str) -> HeaderName {
    HeaderName::from_bytes(name.as_bytes()).expect("a header name")
}

impl<B> Service<Request<B>> for Origin {
    type Response = Response<Full<Bytes>>;
    type Error = Disconnected;
    type Future = Ready<Result<Self::Response, Disconnected>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Disconnected>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(self.answer(&request.into_parts().0))
    }
}
