//! The way of a client's request, and of its response.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Version, header::CONNECTION};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use larder::{BoxError, ResponseBody, ResponseFuture};

use crate::{
    access::Line,
    allowance::Allowance,
    body::{ClientBody, Outgoing, Unread},
    failure::{bad_upload, failure},
    forwarded,
    hop::{self, Hops},
    interim,
};

/// The body of a response: of the cache, or a text of the gateway itself.
pub(crate) type Body = Outgoing<Either<ResponseBody<Incoming>, Full<Bytes>>>;

/// The client of one connection.
pub(crate) struct Client {
    pub(crate) hop: forwarded::Client,
    pub(crate) interim: interim::Shared,
    pub(crate) allowance: Allowance,
    pub(crate) unread: Unread,
}

pub(crate) struct Gateway {
    pub(crate) cache: Box<Cached>,
    pub(crate) hops: Hops,
}

/// The cache in front of the upstream.
type Cached = dyn Fn(Request<ClientBody>) -> ResponseFuture<Incoming, BoxError> + Send + Sync;

impl Gateway {
    /// Answers a request: from the cache, from the upstream through the cache, or with the reason
    /// why not.
    pub(crate) async fn answer(
        &self,
        client: &Client,
        mut request: Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
        let ip = client.hop.ip();
        let in_flight = client.allowance.request();
        let mut line = Line::new(ip, &request);
        let (turn, version) = (client.interim.begin(&mut request), request.version());
        let (mut parts, body) = request.into_parts();
        let body = ClientBody::new(body, client.allowance.clone(), client.unread.clone());
        let upload = body.upload();
        let answer = match hop::prepare(&mut parts, &client.hop, &self.hops) {
            Ok(()) => {
                let answer = (self.cache)(Request::from_parts(parts, body)).await;
                match (answer, upload.fault()) {
                    // The cache may have served a stale response instead of the error.
                    (Ok(_), Some(fault)) => Err(bad_upload(&fault, ip)),
                    // The cache has seen the error, and has had its chance to serve a stale
                    // response.
                    (answer, _) => answer.map_err(|error| failure(&*error, ip, &upload)),
                }
            }
            Err(refusal) => Err(refusal),
        };
        let mut response = match answer {
            Ok(response) => response.map(Either::Left),
            Err((status, text)) => {
                let text = Full::from(format!("{status}: {text}\n"));
                let mut response = Response::new(Either::Right(text));
                *response.status_mut() = status;
                response
            }
        };
        turn.end().await;
        hop::finish(&mut response, version, &self.hops.via);
        if upload.fault().is_some() && version == Version::HTTP_11 {
            // Nobody can tell where the next request would begin.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        line.status = Some(response.status());
        line.cache = response.extensions_mut().remove();
        Ok(response.map(|body| Outgoing::new(body, line, in_flight)))
    }
}
