//! The access log: [`Line`].

use std::{
    fmt::{self, Display},
    net::IpAddr,
    time::Instant,
};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body::Frame;
use larder::{CacheStatus, Outcome, Stored};

use crate::log;

/// A line of the access log. It is written when it is dropped: after the last byte of the response,
/// or when the client is gone.
pub(crate) struct Line {
    began: Instant,
    client: IpAddr,
    method: Method,
    /// The path without its query, which may have secrets.
    path: String,
    pub(crate) status: Option<StatusCode>,
    bytes: usize,
    pub(crate) cache: Option<CacheStatus>,
}

impl Line {
    pub(crate) fn new<B>(client: IpAddr, request: &Request<B>) -> Self {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        Self { began: Instant::now(), client, method, path, status: None, bytes: 0, cache: None }
    }

    pub(crate) fn count(&mut self, frame: &Frame<Bytes>) {
        self.bytes += frame.data_ref().map_or(0, Bytes::len);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let Self { client, method, path, bytes, .. } = self;
        let status = self.status.as_ref().map_or("-", StatusCode::as_str);
        let micros = self.began.elapsed().as_micros();
        let (ms, micros) = (micros / 1000, micros % 1000);
        let cache = Cache(self.cache.as_ref());
        let line =
            format_args!("{client} {method} {path} {status} {bytes}B {ms}.{micros:03}ms {cache}");
        log::access(&line);
    }
}

/// What the cache did for a request.
struct Cache<'a>(Option<&'a CacheStatus>);

impl Display for Cache<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.map(|cache| (cache.outcome(), cache.stored())) {
            None => f.write_str("-"),
            Some((outcome @ (Outcome::Miss(_) | Outcome::Coalesced(_)), Stored::No(refusal))) => {
                write!(f, "{outcome}, not stored ({refusal})")
            }
            Some((outcome, _)) => write!(f, "{outcome}"),
        }
    }
}
