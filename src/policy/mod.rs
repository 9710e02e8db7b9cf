//! The decisions: whether the cache handles a request, whether a stored response satisfies it, and
//! whether a response may be stored.
//!
//! Each decision is a pure function of settings, heads and the time. It does no I/O and reads no
//! clock, and each refusal has a name. `rules` holds the decisions that both policies share, and
//! chooses between the policies: `fixed` (time alone) and `rfc9111` (the HTTP rules). `grpc` holds
//! what gRPC adds to either policy. Only `rules` knows which policy is at work and whether the
//! cache is for gRPC. The rest of the crate judges bodies by the `checks` that the rules return.

use http::HeaderName;

use crate::status::{Miss, Stale};

mod checks;
mod combine;
mod exchange;
mod expiration;
mod fixed;
mod grpc;
mod message;
mod range;
mod rfc9111;
mod rules;
mod stale;
mod tags;
mod validation;
mod vary;

pub(crate) use self::{
    checks::{Failure, RequestCheck, ResponseCheck},
    combine::{Combination, Union, all, combine, combined_head, is_of_another, is_outdated},
    exchange::{Exchange, Storable},
    expiration::ExpirationRules,
    grpc::{GrpcMethods, KEY_HEADERS as GRPC_KEY_HEADERS},
    message::{content_length, end_to_end, end_to_end_without, is_live, remove_fields},
    range::{Part, asks_for_part, part, part_headers, remove_range, unsatisfiable_headers},
    rfc9111::{HeadSays, NO_VARY_SEARCH, RequestDirectives},
    rules::Rules,
    tags::TagRules,
    validation::{
        Conditions, conditions, generated_etag, has_conditions, is_same_tag, is_unmodified,
        is_updated_by, not_modified_headers, remove_conditions, remove_generated_etags,
    },
    vary::{Vary, union, vary},
};
pub use self::{expiration::Expiration, stale::StaleLimit, tags::IntoTags};

/// Who uses the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scope {
    /// One client.
    Private,
    /// Many users.
    Shared,
}

/// The policy that decides.
#[derive(Clone, Debug)]
enum Policy {
    /// Time alone. Cache headers are ignored.
    Fixed,
    /// The HTTP rules (RFC 9111).
    Http {
        /// The targeted fields, in order of precedence. The first one that is present and valid
        /// replaces `Cache-Control` and `Expires` (RFC 9213).
        targets: Vec<HeaderName>,
        /// Whether a response may say, in `No-Vary-Search`, which parts of a query do not matter.
        no_vary_search: bool,
    },
}

/// Whether and how a stored response answers a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The response is fresh and answers the request.
    Fresh,
    /// The response is fresh and answers the request, but it is due for refresh: little of its
    /// lifetime is left.
    DueForRefresh,
    /// The response is stale and still answers the request. With [`Stale::WhileRevalidate`], it
    /// does so while it is refreshed.
    Stale(Stale),
    /// The response does not answer the request. A 304 may still freshen it
    /// ([`Rules::may_be_freshened`]), or it may be served if the origin fails
    /// ([`Rules::may_serve_if_error`]).
    Unsatisfying(Miss),
}
