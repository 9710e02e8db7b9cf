//! The access log: [`Line`].

use std::{net::IpAddr, time::Instant};

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
        let status = self.status.map_or("-".into(), |status| status.as_u16().to_string());
        let ms = self.began.elapsed().as_secs_f64() * 1000.0;
        let cache = match self.cache.as_ref().map(|cache| (cache.outcome(), cache.stored())) {
            None => "-".into(),
            Some((outcome @ (Outcome::Miss(_) | Outcome::Coalesced(_)), Stored::No(refusal))) => {
                format!("{outcome}, not stored ({refusal})")
            }
            Some((outcome, _)) => outcome.to_string(),
        };
        log::access(&format_args!("{client} {method} {path} {status} {bytes}B {ms:.3}ms {cache}"));
    }
}
