//! The reasons [`Miss`], [`Stale`], [`Bypass`] and [`Refusal`]. Each has a name for logs and
//! metrics. Users count and filter by these names: a new reason gets a new name, and no name
//! changes.

use std::fmt;

use crate::store::ErrorKind;

/// Why no stored response could answer a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Miss {
    /// Nothing is stored for the request.
    Absent,
    /// The stored response has expired.
    Expired,
    /// Responses are stored for the URL, but none for these request headers (`Vary`).
    Variant,
    /// The request asked for a call to the origin ([`refresh`](crate::CacheOptions::refresh),
    /// [`force_refresh`](crate::CacheOptions::force_refresh)), or its `Cache-Control` asked for a
    /// fresher response.
    Refresh,
    /// The stored entry is damaged. It is removed, unless the cache is read-only.
    Corrupt,
    /// Another layer stored the response, and the settings of this layer forbid serving it.
    NotAllowed,
    /// The store failed.
    StoreFailed(ErrorKind),
}

/// Why a response was served that is not fresh any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stale {
    /// It is refreshed in the background (`stale_while_revalidate`). If the last refresh failed,
    /// the next one begins after a pause.
    WhileRevalidate,
    /// The origin failed ([`stale_if_error`](crate::CacheOptions::stale_if_error)).
    IfError,
    /// The request forbade a call to the origin
    /// ([`only_if_cached`](crate::CacheOptions::only_if_cached)), and one of the two limits above
    /// allows the stale response.
    OnlyIfCached,
    /// The request accepts a stale response (`Cache-Control: max-stale`).
    MaxStale,
}

/// Why a request bypassed the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Bypass {
    /// The cache is [switched off](crate::CacheLayer::set_enabled).
    Disabled,
    /// The request [asked for it](crate::CacheOptions::bypass).
    Requested,
    /// The method is not one of those that are [cached](crate::CacheLayer::methods).
    Method,
    /// The request asks for one or more parts (`Range`), and no stored response answers it. A
    /// request with a `Range` and a method other than `GET` bypasses the cache too.
    Range,
    /// The request asks for another protocol (`Upgrade`).
    Upgrade,
    /// The request has a condition that only the origin can judge: `If-Match`,
    /// `If-Unmodified-Since`, or `If-None-Match` with a method other than `GET` and `HEAD`.
    Precondition,
    /// The request has credentials, and
    /// [`store_credentialed`](crate::CacheLayer::store_credentialed) is `false`. That is the
    /// default in a shared cache where time alone decides.
    Credentials,
    /// The request names no URL: its `Host` is invalid or occurs several times, or its target is
    /// neither a path nor an absolute URL.
    InvalidTarget,
    /// The request's body is larger than the limit up to which the cache
    /// [buffers](crate::CacheLayer::max_request_body) it for the key.
    RequestBodyTooLarge,
    /// With this request's body, all request bodies that are buffered for keys would exceed the
    /// [limit for the layer](crate::CacheLayer::max_request_bodies).
    RequestBodiesFull,
    /// The request's body failed before its end.
    RequestBodyFailed,
    /// The cache is for [gRPC](crate::CacheLayer::grpc), and the request is not gRPC: it is not a
    /// `POST`, or its content type is not `application/grpc`.
    NotGrpc,
    /// The gRPC method is not one of those that are [cached](crate::CacheLayer::grpc).
    GrpcMethod,
    /// The [gRPC](crate::CacheLayer::grpc) request is not one whole message: it has several
    /// messages or none, or pauses for a second before it ends, as a stream may.
    NotUnary,
}

/// Why a response was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// The request bypassed the cache.
    Bypassed,
    /// The request [forbade a call](crate::CacheOptions::only_if_cached) to the inner service.
    NotFetched,
    /// The request [asked for it](crate::CacheOptions::no_store), or has `Cache-Control: no-store`.
    NoStore,
    /// The cache is [read-only](crate::CacheLayer::read_only).
    ReadOnly,
    /// The status is not one of those that are [stored](crate::CacheLayer::statuses).
    Status,
    /// The predicate of [`store_if`](crate::CacheLayer::store_if) returned `false`.
    Predicate,
    /// The expiration of the response is [`Expiration::DoNotStore`](crate::Expiration::DoNotStore).
    Expiration,
    /// The cache is [shared](crate::CacheLayer::shared), and no expiration is set.
    NoExpiration,
    /// The response says `Cache-Control: no-store`.
    NoStoreDirective,
    /// The response says `Cache-Control: no-cache`, and has no validator to revalidate it with.
    NoCache,
    /// The response is for one user (`Cache-Control: private`), and the cache is
    /// [shared](crate::CacheLayer::shared).
    Private,
    /// The response says `Cache-Control: must-understand`, and this cache does not know its status.
    MustUnderstand,
    /// The request has `Authorization`, or user information in its URL, the cache is
    /// [shared](crate::CacheLayer::shared), and the response does not allow storing it for others.
    /// An origin allows it by `Cache-Control: public`, `must-revalidate` or `s-maxage` (RFC 9111
    /// §3.5).
    Authorization,
    /// The request has a `Cookie`, and the cache is [shared](crate::CacheLayer::shared) under the
    /// [HTTP rules](crate::CacheLayer::http_rules). The response says neither how long it is fresh
    /// nor that it is `public`, so it may be meant only for the user who sent the cookie. An origin
    /// allows storing by `Cache-Control: max-age`, `s-maxage` or `public`, or by `Expires`. If the
    /// cookies do not affect the response, a layer in front of the cache can remove them from the
    /// request.
    Cookie,
    /// The response does not say how long it is fresh. The cache cannot estimate it from the status
    /// and `Last-Modified`, and the response has no validator to revalidate it with.
    NoFreshness,
    /// The response sets a cookie, and [`store_set_cookie`](crate::CacheLayer::store_set_cookie) is
    /// `false`. That is the default in a shared cache.
    SetCookie,
    /// The response varies by more than request headers (`Vary: *`), its `Vary` is malformed, or a
    /// 304 has changed its `Vary`.
    Vary,
    /// The `Location` or `Content-Location` of the response has a parameter that the cache
    /// [ignores](crate::CacheLayer::add_ignored_parameters), also in a URL within the URL. It is
    /// the one that this request has sent, or one that the origin has made for it, and not meant
    /// for others.
    IgnoredParameter,
    /// The response has more or longer tags than an [entry can have](crate::CacheLayer#tags), or
    /// tags that are not text. Without all of its tags, it would still be served after a removal by
    /// one of them.
    Tags,
    /// The body is larger than the [largest that is stored](crate::CacheLayer::max_body), or than
    /// the store accepts.
    TooLarge,
    /// The response is a part that adds too little to the larger part that is stored. Storing it
    /// would copy that part for few new bytes.
    PartTooSmall,
    /// The body is shorter or longer than its `Content-Length`.
    Length,
    /// The body ended in an error.
    BodyFailed,
    /// The response to a `GET` is a stream of events or pictures (`text/event-stream`,
    /// `multipart/x-mixed-replace`). Such a stream lasts as long as its listener, and is meant for
    /// that listener alone.
    EventStream,
    /// The [gRPC](crate::CacheLayer::grpc) call failed, or its response ended without a status:
    /// `grpc-status` is not 0, or is neither in the head nor in the trailers.
    GrpcStatus,
    /// The response to the [gRPC](crate::CacheLayer::grpc) call is not one whole message: it has
    /// several messages, or none.
    NotUnary,
    /// Every reader dropped the body before its end.
    Dropped,
    /// It was removed, cleared or invalidated while its call was in flight.
    Removed,
    /// A response that was requested later is stored in its place.
    Superseded,
    /// A later answer of the origin has ended it, and is not stored in its place: a 304 or a 2xx
    /// that may not be stored, a 3xx, 401, 403, 404, 410 or 451, or the response to a `HEAD` that
    /// shows another representation.
    Ended,
    /// What is stored was changed meanwhile, by another request or another process. The entry that
    /// the response was to freshen or to complete was replaced or removed. Or the response is a
    /// variant, and the variant that leads to it was removed, evicted or not stored after all.
    Conflict,
    /// The store failed.
    StoreFailed(ErrorKind),
}

impl Miss {
    /// The name of the reason in logs and metrics. It does not change.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Expired => "expired",
            Self::Variant => "variant",
            Self::Refresh => "refresh",
            Self::Corrupt => "corrupt",
            Self::NotAllowed => "not-allowed",
            Self::StoreFailed(_) => "store-failed",
        }
    }
}

impl Stale {
    /// The name of the reason in logs and metrics. It does not change.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::WhileRevalidate => "while-revalidate",
            Self::IfError => "if-error",
            Self::OnlyIfCached => "only-if-cached",
            Self::MaxStale => "max-stale",
        }
    }
}

impl Bypass {
    /// The name of the reason in logs and metrics. It does not change.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Requested => "requested",
            Self::Method => "method",
            Self::Range => "range",
            Self::Upgrade => "upgrade",
            Self::Precondition => "precondition",
            Self::Credentials => "credentials",
            Self::InvalidTarget => "invalid-target",
            Self::RequestBodyTooLarge => "request-body-too-large",
            Self::RequestBodiesFull => "request-bodies-full",
            Self::RequestBodyFailed => "request-body-failed",
            Self::NotGrpc => "not-grpc",
            Self::GrpcMethod => "grpc-method",
            Self::NotUnary => "not-unary",
        }
    }
}

impl Refusal {
    /// The name of the refusal in logs and metrics. It does not change.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bypassed => "bypassed",
            Self::NotFetched => "not-fetched",
            Self::NoStore => "no-store",
            Self::ReadOnly => "read-only",
            Self::Status => "status",
            Self::Predicate => "predicate",
            Self::Expiration => "expiration",
            Self::NoExpiration => "no-expiration",
            Self::NoStoreDirective => "no-store-directive",
            Self::NoCache => "no-cache",
            Self::Private => "private",
            Self::MustUnderstand => "must-understand",
            Self::Authorization => "authorization",
            Self::Cookie => "cookie",
            Self::NoFreshness => "no-freshness",
            Self::SetCookie => "set-cookie",
            Self::Vary => "vary",
            Self::IgnoredParameter => "ignored-parameter",
            Self::Tags => "tags",
            Self::TooLarge => "too-large",
            Self::PartTooSmall => "part-too-small",
            Self::Length => "length",
            Self::BodyFailed => "body-failed",
            Self::GrpcStatus => "grpc-status",
            Self::NotUnary => "not-unary",
            Self::Dropped => "dropped",
            Self::EventStream => "event-stream",
            Self::Removed => "removed",
            Self::Superseded => "superseded",
            Self::Ended => "ended",
            Self::Conflict => "conflict",
            Self::StoreFailed(_) => "store-failed",
        }
    }

    /// Whether the origin's own response says that it must not be stored. That also applies to the
    /// response that is already stored.
    pub(crate) const fn is_by_origin(self) -> bool {
        match self {
            Self::NoStoreDirective
            | Self::NoCache
            | Self::Private
            | Self::MustUnderstand
            | Self::NoFreshness
            | Self::SetCookie
            | Self::Vary => true,
            Self::Bypassed
            | Self::NotFetched
            | Self::NoStore
            | Self::ReadOnly
            | Self::Status
            | Self::Predicate
            | Self::Expiration
            | Self::NoExpiration
            | Self::Authorization
            | Self::Cookie
            | Self::IgnoredParameter
            | Self::Tags
            | Self::TooLarge
            | Self::PartTooSmall
            | Self::Length
            | Self::BodyFailed
            | Self::EventStream
            | Self::GrpcStatus
            | Self::NotUnary
            | Self::Dropped
            | Self::Removed
            | Self::Superseded
            | Self::Ended
            | Self::Conflict
            | Self::StoreFailed(_) => false,
        }
    }

    /// Whether something happened to the stored response while this one was on its way: there is a
    /// newer one, or none any more.
    pub(crate) const fn is_overtaken(self) -> bool {
        matches!(self, Self::Removed | Self::Superseded | Self::Ended | Self::Conflict)
    }

    /// Whether the next response for the same key is likely to be refused for the same reason. Then
    /// requests for the key need not wait for each other. The caller handles one exception: a
    /// status that counts as a failure of the origin.
    pub(crate) const fn is_persistent(self) -> bool {
        match self {
            Self::Status
            | Self::Predicate
            | Self::Expiration
            | Self::NoExpiration
            | Self::NoStoreDirective
            | Self::NoCache
            | Self::Private
            | Self::MustUnderstand
            | Self::NoFreshness
            | Self::SetCookie
            | Self::Vary
            | Self::IgnoredParameter
            | Self::Tags
            | Self::NotUnary
            | Self::TooLarge => true,
            Self::Bypassed
            | Self::NotFetched
            | Self::NoStore
            | Self::ReadOnly
            | Self::Authorization
            | Self::Cookie
            | Self::PartTooSmall
            | Self::Length
            | Self::BodyFailed
            | Self::EventStream
            | Self::GrpcStatus
            | Self::Dropped
            | Self::Removed
            | Self::Superseded
            | Self::Ended
            | Self::Conflict
            | Self::StoreFailed(_) => false,
        }
    }
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Bypass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    /// `guide::troubleshooting`.
    const PAGE: &str = include_str!("../guide/troubleshooting.rs");

    /// The names that `name` returns for this enum. Its `match` has an arm for each variant.
    fn names(of: &str) -> Vec<&'static str> {
        let (_, code) = include_str!("reason.rs").split_once(&format!("impl {of} {{\n")).unwrap();
        let code = code.split("\n    }\n").next().unwrap();
        let arms = code.lines().filter_map(|line| line.split_once(" => \""));
        arms.map(|(_, name)| name.trim_end_matches("\",")).collect()
    }

    /// The first cells of the table under `heading`.
    fn rows(heading: &str) -> Vec<&'static str> {
        let (_, section) = PAGE.split_once(&format!("//! # {heading}\n")).unwrap();
        let section = section.split("//! # ").next().unwrap();
        let rows = section.lines().filter_map(|line| line.strip_prefix("//! | `"));
        rows.map(|row| row.split('`').next().unwrap()).collect()
    }

    #[test]
    fn the_page_on_troubleshooting_has_a_row_for_each_reason() {
        for (of, heading, some) in [
            ("Miss", "Misses", super::Miss::Absent.name()),
            ("Stale", "Stale responses", super::Stale::IfError.name()),
            ("Bypass", "Bypasses", super::Bypass::NotUnary.name()),
            ("Refusal", "Refusals", super::Refusal::Conflict.name()),
        ] {
            let (mut names, mut rows) = (names(of), rows(heading));
            assert!(names.contains(&some), "{of}: {names:?}");
            names.sort_unstable();
            rows.sort_unstable();
            assert_eq!(names, rows, "{of}");
        }
    }
}
