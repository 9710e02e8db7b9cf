//! What a response, or a request, means for others than the one who has asked: those who wait for it, what it makes stale,
//! what it says of what is stored, and what is kept beside its own place.

use http::{HeaderMap, Method, Response, StatusCode, Uri, header::AUTHORIZATION, response};

use super::Rules;
use crate::{
    entry::Head,
    options::CacheOptions,
    policy::{
        Policy, Scope,
        message::is_safe,
        range::ContentRange,
        rfc9111::{self, Fit, HeadSays, UrlVariation},
    },
    status::{Bypass, Refusal},
    time::Timestamp,
};

impl Rules {
    /// Whether what another request's call has brought may answer a request that waited for it. Time alone does not mind
    /// whose call it was. Under the HTTP rules it has to be reusable (RFC 9111 §4): what the origin wants to be asked about
    /// each time, it may answer differently for each who asks.
    pub(crate) fn may_follow(&self, options: &CacheOptions, head: &Head, now: Timestamp) -> bool {
        match self.policy {
            Policy::Fixed => true,
            Policy::Http { .. } => self.fits(options, head, now) == Ok(Fit::Fresh),
        }
    }

    /// Whether the response to this request says more of who asked than of what was asked for: it neither waits for others
    /// nor others for it, and what it says of what is stored does not count.
    pub(crate) fn is_personal(&self, request: &HeaderMap) -> bool {
        self.scope == Scope::Shared
            && matches!(self.policy, Policy::Http { .. })
            && request.contains_key(AUTHORIZATION)
    }

    /// What the response says of the queries that it answers beside its own, where the HTTP rules hold.
    pub(crate) fn url_variation(&self, response: &HeaderMap) -> Option<UrlVariation> {
        match self.policy {
            Policy::Fixed => None,
            Policy::Http { .. } => rfc9111::url_variation(response),
        }
    }

    /// Whether parts of responses are kept by themselves.
    pub(crate) fn keeps_parts(&self) -> bool {
        matches!(self.policy, Policy::Http { .. })
    }

    /// Whether the response to a request that goes past the cache may be of use to others: a part, and what a `POST` says
    /// that a `GET` would bring (RFC 9110 §9.3.3).
    pub(crate) fn may_keep_aside(
        &self,
        options: &CacheOptions,
        reason: Bypass,
        method: &Method,
    ) -> bool {
        let is_of_use = match reason {
            Bypass::Range => *method == Method::GET,
            Bypass::Method => *method == Method::POST && self.reuse_post_for_get,
            _ => false,
        };
        is_of_use && matches!(self.policy, Policy::Http { .. }) && self.may_keep(options)
    }

    /// Whether this response to such a request, for the URL `url`, is one.
    pub(crate) fn keeps_aside<Body>(
        &self,
        url: &str,
        method: &Method,
        response: &Response<Body>,
        now: Timestamp,
    ) -> bool {
        let Policy::Http { targets, .. } = &self.policy else { return false };
        let (status, headers) = (response.status(), response.headers());
        if *method == Method::POST {
            status == StatusCode::OK
                && url.parse().is_ok_and(|url| {
                    rfc9111::speaks_for_get(self.scope, targets, &url, headers, now)
                })
        } else {
            status == StatusCode::PARTIAL_CONTENT && ContentRange::of(headers).is_some()
        }
    }

    /// What the answer to a `HEAD` says of the stored response to a `GET` (RFC 9111 §4.3.5). To the
    /// fixed policy, it says nothing: there, only time ends a response, or what ends it for both.
    pub(crate) fn head_says(&self, stored: &Head, answer: &response::Parts) -> HeadSays {
        match self.policy {
            Policy::Fixed => HeadSays::Nothing,
            Policy::Http { .. } => rfc9111::head_says(stored, answer),
        }
    }

    /// The URLs beside its own, `url`, that the response to a successful unsafe request makes stale (RFC 9111 §4.4).
    pub(crate) fn named_urls(&self, url: &str, response: &HeaderMap) -> Vec<Uri> {
        match (&self.policy, url.parse()) {
            (Policy::Http { .. }, Ok(url)) => rfc9111::named_urls(&url, response),
            _ => Vec::new(),
        }
    }

    /// The tags of the groups that the response for `url` is in (RFC 9875 §2).
    pub(crate) fn group_tags(
        &self,
        url: &str,
        response: &HeaderMap,
    ) -> Result<Vec<Box<str>>, Refusal> {
        match (&self.policy, url.parse()) {
            (Policy::Http { .. }, Ok(url)) => rfc9111::group_tags(&url, response),
            _ => Ok(Vec::new()),
        }
    }

    /// The tags of a confirmed response for `url`: its groups are those that it names now.
    pub(crate) fn with_groups(
        &self,
        mut tags: Vec<Box<str>>,
        url: &str,
        response: &HeaderMap,
    ) -> Result<Vec<Box<str>>, Refusal> {
        if matches!(self.policy, Policy::Http { .. }) {
            tags.retain(|tag| !tag.starts_with(rfc9111::GROUP_TAG_PREFIX));
            tags.extend(self.group_tags(url, response)?);
        }
        Ok(tags)
    }

    /// The tags of the groups that the response to a successful unsafe request for `url` makes stale (RFC 9875 §3).
    pub(crate) fn named_groups(&self, url: &str, response: &HeaderMap) -> Vec<Box<str>> {
        match (&self.policy, url.parse()) {
            (Policy::Http { .. }, Ok(url)) => rfc9111::invalidated_group_tags(&url, response),
            _ => Vec::new(),
        }
    }

    /// Whether a request of `method` may make what is stored for its URL stale (RFC 9111 §4.4): an unsafe one. A method
    /// that is itself cached is taken for a query; and so is every gRPC call, since each method has a URL of its own, and
    /// what is stored there is answers to the same method.
    pub(crate) fn may_invalidate(&self, method: &Method) -> bool {
        self.grpc.is_none() && !self.methods.contains(method) && !is_safe(method)
    }

    /// Whether the response of `status` to such a request does: where it succeeded.
    pub(crate) fn invalidates(&self, method: &Method, status: StatusCode) -> bool {
        (status.is_success() || status.is_redirection()) && self.may_invalidate(method)
    }
}
