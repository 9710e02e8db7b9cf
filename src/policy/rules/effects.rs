//! The effects of a request or response on others: on requests that wait for it, on stored
//! responses, and on further URLs and groups.

use http::{HeaderMap, Method, StatusCode, Uri, header::AUTHORIZATION, response};

use super::Rules;
use crate::{
    entry::{Head, ResponseHead},
    options::CacheOptions,
    policy::{
        Policy, Scope,
        message::is_safe,
        range::ContentRange,
        rfc9111::{self, HeadSays, Satisfied, UrlVariation},
    },
    status::{Bypass, Refusal},
    time::Timestamp,
};

impl Rules {
    /// Whether the response to another request's call may answer a request that waited for it. The
    /// fixed policy always allows it. Under the HTTP rules, the response must be reusable (RFC 9111
    /// §4): if the origin demands revalidation before each use, it may answer each requester
    /// differently.
    pub(crate) fn may_follow(&self, options: &CacheOptions, head: &Head, now: Timestamp) -> bool {
        match self.policy {
            Policy::Fixed => true,
            Policy::Http { .. } => {
                let directives = self.directives(head.fields());
                self.satisfies(options, &directives, head, now) == Ok(Satisfied::Fresh)
            }
        }
    }

    /// Whether a request with these fields is authenticated, as far as that matters: in a shared
    /// cache under the HTTP rules (RFC 9111 §3.5). Its response may depend on who asked. Such a
    /// request does not wait for others, and others do not wait for it. Its response does not
    /// affect stored responses.
    pub(crate) fn is_authenticated(&self, request: &HeaderMap) -> bool {
        self.scope == Scope::Shared
            && matches!(self.policy, Policy::Http { .. })
            && request.contains_key(AUTHORIZATION)
    }

    /// The other queries that the response also answers (`No-Vary-Search`). Always `None` under the
    /// fixed policy.
    pub(crate) fn url_variation(&self, response: &HeaderMap) -> Option<UrlVariation> {
        match self.policy {
            Policy::Fixed => None,
            Policy::Http { .. } => rfc9111::url_variation(response),
        }
    }

    /// Whether partial responses are stored. Only the HTTP rules do so.
    pub(crate) fn keeps_parts(&self) -> bool {
        matches!(self.policy, Policy::Http { .. })
    }

    /// Whether the response to a request that bypasses the cache for `reason` may be worth storing.
    /// Two kinds are: a part, and a response to a `POST` that says a `GET` would return the same
    /// (RFC 9110 §9.3.3).
    pub(crate) fn may_store_detached(
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

    /// Whether this response, for the URL `url`, is of one of the two kinds that
    /// [`may_store_detached`](Self::may_store_detached) describes.
    pub(crate) fn stores_detached(
        &self,
        url: &str,
        method: &Method,
        response: &ResponseHead,
    ) -> bool {
        let Policy::Http { targets, .. } = &self.policy else { return false };
        if *method == Method::POST {
            response.status == StatusCode::OK
                && url
                    .parse()
                    .is_ok_and(|url| rfc9111::speaks_for_get(self.scope, targets, &url, response))
        } else {
            response.status == StatusCode::PARTIAL_CONTENT
                && ContentRange::of(&response.headers).is_some()
        }
    }

    /// The effect of the response to a `HEAD` on the stored response to a `GET` (RFC 9111 §4.3.5).
    /// Under the fixed policy, it has none.
    pub(crate) fn head_says(&self, stored: &Head, answer: &response::Parts) -> HeadSays {
        match self.policy {
            Policy::Fixed => HeadSays::Nothing,
            Policy::Http { .. } => rfc9111::head_says(stored, answer),
        }
    }

    /// The URLs, besides `url` itself, that the response to a successful unsafe request for `url`
    /// invalidates (RFC 9111 §4.4).
    pub(crate) fn named_urls(&self, url: &str, response: &HeaderMap) -> Vec<Uri> {
        match self.policy {
            Policy::Fixed => Vec::new(),
            Policy::Http { .. } => {
                url.parse().map_or_else(|_| Vec::new(), |url| rfc9111::named_urls(&url, response))
            }
        }
    }

    /// The tags of the groups of the response for `url` (RFC 9875 §2).
    pub(crate) fn group_tags(
        &self,
        url: &str,
        response: &HeaderMap,
    ) -> Result<Vec<Box<str>>, Refusal> {
        match self.policy {
            Policy::Fixed => Ok(Vec::new()),
            Policy::Http { .. } => rfc9111::group_tags(url, response),
        }
    }

    /// The tags of a freshened response for `url`. Its groups are the ones that its current fields
    /// name.
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

    /// The tags of the groups that the response to a successful unsafe request for `url`
    /// invalidates (RFC 9875 §3).
    pub(crate) fn named_groups(&self, url: &str, response: &HeaderMap) -> Vec<Box<str>> {
        match self.policy {
            Policy::Fixed => Vec::new(),
            Policy::Http { .. } => rfc9111::invalidated_group_tags(url, response),
        }
    }

    /// Whether a request of `method` may invalidate the stored responses for its URL (RFC 9111
    /// §4.4). Only unsafe methods do. Methods that are cached count as queries. A gRPC call never
    /// invalidates: each gRPC method has its own URL, and only responses to the same method are
    /// stored there.
    pub(crate) fn may_invalidate(&self, method: &Method) -> bool {
        self.grpc.is_none() && !self.methods.contains(method) && !is_safe(method)
    }

    /// Whether a response with `status` to a request of `method` invalidates: the method must allow
    /// it, and the request must have succeeded.
    pub(crate) fn invalidates(&self, method: &Method, status: StatusCode) -> bool {
        (status.is_success() || status.is_redirection()) && self.may_invalidate(method)
    }
}
