//! Why: [`Miss`], [`Stale`], [`Bypass`] and [`Refusal`], each reason with its name for logs and metrics. The names are
//! relied on by whoever counts or filters by them: a new reason gets a new one, and none changes.

use std::fmt;

use crate::store::ErrorKind;

/// Why the store had nothing to answer with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Miss {
    /// Nothing is stored for the request.
    Absent,
    /// What is stored has expired.
    Expired,
    /// There are responses for the URL, but none for these request headers (`Vary`).
    Variant,
    /// The request asked for the origin's word ([`refresh`](crate::CacheOptions::refresh),
    /// [`force_refresh`](crate::CacheOptions::force_refresh)), or its `Cache-Control` for a fresher response.
    Refresh,
    /// What is stored is damaged. It is removed, unless the cache is read-only.
    Corrupt,
    /// What is stored was kept by another layer, and the rules of this one forbid to answer with it.
    NotAllowed,
    /// The store failed.
    StoreFailed(ErrorKind),
}

/// Why a response was answered with that is no longer fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stale {
    /// It is refreshed in the background (`stale_while_revalidate`); where the last refresh has failed, after a pause.
    WhileRevalidate,
    /// The origin failed ([`stale_if_error`](crate::CacheOptions::stale_if_error)).
    IfError,
    /// The request forbade to ask the origin ([`only_if_cached`](crate::CacheOptions::only_if_cached)), and one of the
    /// two limits above lets the response stand.
    OnlyIfCached,
    /// The request said that a stale response will do (`Cache-Control: max-stale`).
    MaxStale,
}

/// Why a request went past the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Bypass {
    /// The cache is [switched off](crate::CacheLayer::set_enabled).
    Disabled,
    /// The request [asked for it](crate::CacheOptions::bypass).
    Requested,
    /// The method is none of those that are [cached](crate::CacheLayer::methods).
    Method,
    /// The request asks for a part or several (`Range`), and no stored response answers it. A
    /// method other than `GET` with a `Range` goes past the cache as well.
    Range,
    /// The request asks for another protocol (`Upgrade`).
    Upgrade,
    /// The request makes a condition that only the origin can judge: `If-Match`, `If-Unmodified-Since`, and
    /// `If-None-Match` of a method other than `GET` and `HEAD`.
    Precondition,
    /// The request carries credentials, and
    /// [`store_credentialed`](crate::CacheLayer::store_credentialed) is off, as it is by default in
    /// a shared cache that goes by time alone.
    Credentials,
    /// The request names no URL: an invalid `Host` or several, or a target that is neither a path nor an absolute URL.
    InvalidTarget,
    /// The request's body is larger than what is [buffered](crate::CacheLayer::max_request_body) for the key.
    RequestBodyTooLarge,
    /// With this request's body, all request bodies that are buffered for keys would exceed the
    /// [limit for the layer](crate::CacheLayer::max_request_bodies).
    RequestBodiesFull,
    /// The request's body broke off.
    RequestBodyFailed,
    /// The cache is for [gRPC](crate::CacheLayer::grpc), and the request is none: it is no `POST`, or its content type is
    /// not `application/grpc`.
    NotGrpc,
    /// The gRPC method is none of those that are [cached](crate::CacheLayer::grpc).
    GrpcMethod,
    /// The [gRPC](crate::CacheLayer::grpc) request is not one whole message: it has several, or none, or pauses for a second
    /// before it ends. So do streams.
    NotUnary,
}

/// Why a response was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// The request went past the cache.
    Bypassed,
    /// The request [forbade to ask](crate::CacheOptions::only_if_cached) the inner service.
    NotFetched,
    /// The request [asked for it](crate::CacheOptions::no_store), or its `Cache-Control: no-store` did.
    NoStore,
    /// The cache is [read-only](crate::CacheLayer::read_only).
    ReadOnly,
    /// The status is none of those that are [kept](crate::CacheLayer::statuses).
    Status,
    /// [`store_if`](crate::CacheLayer::store_if) said no.
    Predicate,
    /// The expiration chosen for the response is [`Expiration::DoNotStore`](crate::Expiration::DoNotStore).
    Expiration,
    /// The cache is [shared](crate::CacheLayer::shared), and no expiration has been chosen.
    NoExpiration,
    /// The response says `Cache-Control: no-store`.
    NoStoreDirective,
    /// The response says `Cache-Control: no-cache`, and has no validator by which the origin could confirm it.
    NoCache,
    /// The response is for one user (`Cache-Control: private`), and the cache is [shared](crate::CacheLayer::shared).
    Private,
    /// The response says `Cache-Control: must-understand`, and its status is none that this cache knows.
    MustUnderstand,
    /// The request has `Authorization`, or user information in its URL, the cache is
    /// [shared](crate::CacheLayer::shared), and the response does not allow storing it for others.
    /// An origin allows it by `Cache-Control: public`, `must-revalidate` or `s-maxage` (RFC 9111
    /// §3.5).
    Authorization,
    /// The request has a `Cookie`, the cache is [shared](crate::CacheLayer::shared) by the
    /// [HTTP rules](crate::CacheLayer::http_rules), and the response says neither for how long it is fresh nor that it is
    /// `public`: it may be for the user whose cookie was sent. An origin allows it by `Cache-Control: max-age`, `s-maxage`
    /// or `public`, or by `Expires`. Where the cookies make no difference to the response, a layer
    /// in front of the cache can remove them from the request.
    Cookie,
    /// The response does not say for how long it is fresh, and neither its status and its `Last-Modified` let that be
    /// guessed, nor has it a validator by which the origin could confirm it.
    NoFreshness,
    /// The response sets a cookie, and [`store_set_cookie`](crate::CacheLayer::store_set_cookie) is
    /// off, as it is by default in a shared cache.
    SetCookie,
    /// The response varies by more than request headers (`Vary: *`), its `Vary` is malformed, or a
    /// 304 has changed its `Vary`.
    Vary,
    /// It has more or longer tags than an [entry can have](crate::CacheLayer#tags), or some that are no text. Without all
    /// of its tags it would be served on after a removal by one of them.
    Tags,
    /// The body is larger than the [largest that is kept](crate::CacheLayer::max_body), or than the store takes.
    TooLarge,
    /// The body ended before, or after, the length that its `Content-Length` says.
    Length,
    /// The body ended in an error.
    BodyFailed,
    /// The response is a stream of events or of pictures (`text/event-stream`, `multipart/x-mixed-replace`) in answer to
    /// a `GET`: it goes on for as long as anybody listens, and is no one's but the listener's.
    EventStream,
    /// The [gRPC](crate::CacheLayer::grpc) call failed, or its response ended without a status: no `grpc-status` in its
    /// head or trailers, or another than 0.
    GrpcStatus,
    /// The response to the [gRPC](crate::CacheLayer::grpc) call is not one whole message: it is a stream of several, or has
    /// none.
    NotUnary,
    /// The body was dropped before its end, by everybody who read it.
    Dropped,
    /// It was removed, cleared or invalidated while it was on its way.
    Removed,
    /// A response that was asked for later has taken its place; or, of one that was being confirmed, a removal.
    Superseded,
    /// The store failed.
    StoreFailed(ErrorKind),
}

impl Miss {
    /// The reason in a word, as logs and metrics have it: a name that stays.
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
    /// The reason in a word, as logs and metrics have it: a name that stays.
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
    /// The reason in a word, as logs and metrics have it: a name that stays.
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
    /// The refusal in a word, as logs and metrics have it: a name that stays.
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
            Self::Tags => "tags",
            Self::TooLarge => "too-large",
            Self::Length => "length",
            Self::BodyFailed => "body-failed",
            Self::GrpcStatus => "grpc-status",
            Self::NotUnary => "not-unary",
            Self::Dropped => "dropped",
            Self::EventStream => "event-stream",
            Self::Removed => "removed",
            Self::Superseded => "superseded",
            Self::StoreFailed(_) => "store-failed",
        }
    }

    /// Whether the origin's own words keep the response from being stored. They also count for
    /// what is stored already.
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
            | Self::Tags
            | Self::TooLarge
            | Self::Length
            | Self::BodyFailed
            | Self::EventStream
            | Self::GrpcStatus
            | Self::NotUnary
            | Self::Dropped
            | Self::Removed
            | Self::Superseded
            | Self::StoreFailed(_) => false,
        }
    }

    /// Whether the next response for the same key is likely to be refused for the same reason, so
    /// that requests for it need not wait for each other. A status that is a failure of the origin
    /// is an exception, which the caller knows.
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
            | Self::Tags
            | Self::NotUnary
            | Self::TooLarge => true,
            Self::Bypassed
            | Self::NotFetched
            | Self::NoStore
            | Self::ReadOnly
            | Self::Authorization
            | Self::Cookie
            | Self::Length
            | Self::BodyFailed
            | Self::EventStream
            | Self::GrpcStatus
            | Self::Dropped
            | Self::Removed
            | Self::Superseded
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
