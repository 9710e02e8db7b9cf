//! The way of a client's request, and of its response.

use std::{convert::Infallible, net::IpAddr};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Version, header::CONNECTION};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use larder::{BoxError, ResponseBody};
use tower::{ServiceExt, util::BoxCloneSyncService};

use crate::{
    access::Line,
    allowance::Allowance,
    body::{ClientBody, Outgoing, Unread},
    failure::{bad_upload, failure},
    hop::{self, Hops},
    interim,
};

pub(crate) type Body = Outgoing<UnsyncBoxBody<Bytes, BoxError>>;

/// The client of one connection.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) ip: IpAddr,
    pub(crate) interim: interim::Shared,
    pub(crate) allowance: Allowance,
    pub(crate) unread: Unread,
}

#[derive(Clone)]
pub(crate) struct Gateway {
    pub(crate) cache:
        BoxCloneSyncService<Request<ClientBody>, Response<ResponseBody<Incoming>>, BoxError>,
    pub(crate) hops: Hops,
}

impl Gateway {
    /// Answers a request: from the cache, from the upstream through the cache, or with the reason
    /// why not.
    pub(crate) async fn answer(
        self,
        client: Client,
        mut request: Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
        let in_flight = client.allowance.request();
        let mut line = Line::new(client.ip, &request);
        let (turn, version) = (client.interim.begin(&mut request), request.version());
        let (mut parts, body) = request.into_parts();
        let body = ClientBody::new(body, client.allowance, client.unread);
        let upload = body.upload();
        let answer = match hop::prepare(&mut parts, client.ip, &self.hops) {
            Ok(()) => {
                let answer = self.cache.oneshot(Request::from_parts(parts, body)).await;
                match (answer, upload.fault()) {
                    // The cache may have served a stale response instead of the error.
                    (Ok(_), Some(fault)) => Err(bad_upload(&fault, client.ip)),
                    // The cache has seen the error, and has had its chance to serve a stale
                    // response.
                    (answer, _) => answer.map_err(|error| failure(&*error, client.ip, &upload)),
                }
            }
            Err(refusal) => Err(refusal),
        };
        let mut response = match answer {
            Ok(response) => response.map(|body| body.map_err(BoxError::from).boxed_unsync()),
            Err((status, text)) => {
                let text = Full::from(format!("{status}: {text}\n"));
                let mut response = Response::new(text.map_err(BoxError::from).boxed_unsync());
                *response.status_mut() = status;
                response
            }
        };
        turn.end().await;
        hop::finish(&mut response, version, &self.hops.name);
        if upload.fault().is_some() && version == Version::HTTP_11 {
            // Nobody can tell where the next request would begin.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        line.status = Some(response.status());
        line.cache = response.extensions_mut().remove();
        Ok(response.map(|body| Outgoing::new(body, line, in_flight)))
    }
}
