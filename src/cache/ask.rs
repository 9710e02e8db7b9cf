//! Asks the origin. If a response is stored, the question may have conditions for it (RFC 9111
//! §4.3.1), and it may be served if the origin fails (§4.2.4).
//!
//! The origin fails by an error, by a status that counts as a failure, or by a body that fails at
//! once.

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, request, response};
use http_body::{Body, SizeHint};

use super::{
    body::ResponseBody,
    context::{AnyBody, Origin, OriginBody, RequestContext, Upstream},
    lookup::Selected,
    peeked::Peeked,
};
use crate::{
    entry::ResponseHead,
    event::Event,
    key::Key,
    policy::{self, Conditions},
    status::{Miss, RefreshError},
    store::Store,
};

/// What is sent to the origin, and the stored response that it is about.
pub(super) struct Question {
    /// The head of the request as the origin receives it.
    pub(super) forwarded: request::Parts,
    pub(super) stored: Option<Selected>,
    /// The conditions for the stored response.
    pub(super) conditions: Option<Conditions>,
    /// The key and the reason for the event of a second call. `None` if there is no event.
    pub(super) observed: Option<(Key, Miss)>,
    pub(super) fallback: Fallback,
}

/// When the stored response is served instead of a failure.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fallback {
    /// If stale-if-error allows it.
    IfAllowed,
    /// Always: this is a refresh, and the caller has been answered.
    Always,
}

/// The result of asking the origin.
pub(super) enum Answer<ResBody: Body, E> {
    /// The stored response is still valid. These are the fields of the 304.
    NotModified(Selected, HeaderMap),
    Response(ResponseHead, ArrivedBody<ResBody>),
    /// The origin failed. The stored response is served instead, or goes on being served if this is
    /// a refresh.
    StaleIfError(Selected, RefreshError),
    /// The inner service failed, and no stored response may be served.
    Failed(E),
}

/// What the origin sends.
enum Reply<ResBody, E> {
    NotModified(Selected, HeaderMap),
    /// Anything else, and the stored response.
    Other(Result<Response<ResBody>, E>, Option<Selected>),
}

/// The body of a response. Its start may have been read to see whether it fails at once.
pub(super) enum ArrivedBody<ResBody: Body> {
    Unread(ResBody),
    Peeked(Peeked<ResBody>),
}

impl<ResBody: OriginBody> ArrivedBody<ResBody> {
    /// The body as the caller receives it.
    pub(super) fn into_body(self) -> ResponseBody<ResBody> {
        match self {
            Self::Unread(body) => ResponseBody::passthrough(body),
            Self::Peeked(peeked) => ResponseBody::peeked(peeked),
        }
    }

    /// The same body, after what is ready of it was read.
    pub(super) async fn peek_ready(self) -> Self {
        let mut peeked = match self {
            Self::Unread(body) => Peeked::unread(body),
            Self::Peeked(peeked) => peeked,
        };
        peeked.peek_ready().await;
        Self::Peeked(peeked)
    }

    /// The chunks of the body, if all of it has been read.
    pub(super) fn whole(&self) -> Option<impl Iterator<Item = &Bytes>> {
        match self {
            Self::Unread(_) => None,
            Self::Peeked(peeked) => peeked.whole(),
        }
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        match self {
            Self::Unread(body) => body.size_hint(),
            Self::Peeked(peeked) => peeked.size_hint(),
        }
    }
}

impl<B: Store> RequestContext<B> {
    /// Asks the origin, and chooses between its response and the stored one.
    pub(super) async fn answer_or_stale<S: Origin<ReqBody>, ReqBody: AnyBody>(
        &self,
        upstream: Upstream<S, ReqBody>,
        question: Box<Question>,
    ) -> Answer<S::Body, S::Error> {
        let fallback = question.fallback;
        let (reply, stored) = match self.ask(upstream, question).await {
            Reply::NotModified(selected, fields) => return Answer::NotModified(selected, fields),
            Reply::Other(reply, stored) => (reply, stored),
        };
        let stale = stored.filter(|selected| match fallback {
            Fallback::IfAllowed => self.may_serve_if_error(selected),
            Fallback::Always => true,
        });
        let response = match reply {
            Ok(response) => response,
            Err(error) => {
                return match stale {
                    Some(stale) => Answer::StaleIfError(stale, RefreshError::Call),
                    None => Answer::Failed(error),
                };
            }
        };
        let (parts, body) = response.into_parts();
        let response = ResponseHead::new(parts, self.cache.settings.clock.now());
        let Some(stale) = stale else {
            return Answer::Response(response, ArrivedBody::Unread(body));
        };
        match Box::pin(self.check_for_failure(&response, body)).await {
            Ok(body) => Answer::Response(response, body),
            Err(why) => Answer::StaleIfError(stale, why),
        }
    }

    /// Sends the request, with the conditions if there are any. A 304 about another response than
    /// the stored one is followed by a second call without conditions (RFC 9111 §4.3.4).
    async fn ask<S: Origin<ReqBody>, ReqBody: AnyBody>(
        &self,
        upstream: Upstream<S, ReqBody>,
        question: Box<Question>,
    ) -> Reply<S::Body, S::Error> {
        let Question { forwarded, stored, conditions, observed, .. } = *question;
        match conditions {
            None => {
                let Upstream { inner, body } = upstream;
                let reply = inner.send(Request::from_parts(forwarded, body)).await;
                Reply::Other(reply, stored)
            }
            // Boxed: most questions have no conditions.
            Some(conditions) => {
                Box::pin(self.ask_if(upstream, forwarded, conditions, stored, observed)).await
            }
        }
    }

    async fn ask_if<S: Origin<ReqBody>, ReqBody: AnyBody>(
        &self,
        upstream: Upstream<S, ReqBody>,
        mut forwarded: request::Parts,
        conditions: Conditions,
        mut stored: Option<Selected>,
        observed: Option<(Key, Miss)>,
    ) -> Reply<S::Body, S::Error> {
        let Upstream { inner, body } = upstream;
        let mut unconditional = forwarded.clone();
        policy::remove_conditions(&mut unconditional.headers);
        let body_again = body.for_another_call();
        conditions.apply(&mut forwarded.headers);
        let reply = inner.clone().send(Request::from_parts(forwarded, body)).await;
        let not_modified = match reply {
            Ok(response) if response.status() == StatusCode::NOT_MODIFIED => response,
            reply => return Reply::Other(reply, stored),
        };
        let fields = not_modified.headers();
        if let Some(selected) = stored.take_if(|it| policy::is_updated_by(&it.hit.head, fields)) {
            return Reply::NotModified(selected, fields.clone());
        }
        // A 304 has no body. It goes before the second call begins.
        drop(not_modified);
        if let Some((key, reason)) = &observed {
            self.report_call(key, *reason);
        }
        let reply = inner.send(Request::from_parts(unconditional, body_again)).await;
        Reply::Other(reply, stored)
    }

    /// The body of the response, whose start may have been read, unless the response is a failure.
    async fn check_for_failure<ResBody: OriginBody>(
        &self,
        response: &response::Parts,
        body: ResBody,
    ) -> Result<ArrivedBody<ResBody>, RefreshError> {
        let rules = &self.cache.settings.rules;
        if let Some(failure) = rules.failure(response) {
            return Err(failure.into());
        }
        // The first event of a stream of events may take long.
        if policy::is_live(&response.headers) {
            return Ok(ArrivedBody::Unread(body));
        }
        let mut peeked = Peeked::unread(body);
        if peeked.peek().await.is_err() {
            return Err(RefreshError::Body);
        }
        match peeked.trailers().and_then(|fields| rules.failure_behind(fields)) {
            Some(failure) => Err(failure.into()),
            None => Ok(ArrivedBody::Peeked(peeked)),
        }
    }

    /// Whether this stale response may be served if the origin fails.
    pub(super) fn may_serve_if_error(&self, selected: &Selected) -> bool {
        let now = self.cache.settings.clock.now();
        let rules = &self.cache.settings.rules;
        rules.may_serve_if_error(&self.options, &self.parts.method, &selected.hit.head, now)
    }

    /// Tells the observer of a call to the origin.
    pub(super) fn report_call(&self, key: &Key, reason: Miss) {
        self.cache.observer().tell(&Event::Called {
            request: self.line(),
            key,
            reason,
            is_refresh: false,
        });
    }
}
