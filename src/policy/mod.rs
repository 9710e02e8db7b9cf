//! The decisions: may this request be answered, is this entry good, may this response be kept.
//!
//! Each is a pure function of settings, heads and the time: no I/O, no clock, and a name for every refusal. Nothing
//! else in the crate knows which policy is at work: `fixed`, time alone, or `rfc9111`, the HTTP rules. What both have in
//! common, and which of the two is asked, is in `rules`. What gRPC says beside HTTP, under either, is in `grpc`; nor does
//! anything else know whether that is heard: bodies are judged by the `checks` that the rules give for them.

use http::HeaderName;

use crate::status::{Miss, Stale};

mod checks;
mod exchange;
mod expiration;
mod fixed;
mod grpc;
mod joining;
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
    exchange::{Admission, Exchange},
    expiration::ExpirationRules,
    grpc::{GrpcMethods, KEY_HEADERS as GRPC_KEY_HEADERS},
    joining::{Joined, Union, all, is_of_another, is_outdated, join, joined_head},
    message::{content_length, end_to_end, is_live, remove_fields},
    range::{Part, asks_for_part, part, part_headers, remove_range, unsatisfiable_headers},
    rfc9111::{Demands, HeadSays, NO_VARY_SEARCH},
    rules::Rules,
    tags::TagRules,
    validation::{
        Conditions, conditions, confirms, has_conditions, is_same_tag, is_unmodified,
        not_modified_headers, remove_conditions,
    },
    vary::{Vary, union, vary},
};
pub use self::{expiration::Expiration, stale::StaleLimit};

/// Who shares the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scope {
    /// One client.
    Private,
    /// Many users.
    Shared,
}

/// Which rules decide.
#[derive(Clone, Debug)]
enum Policy {
    /// Time alone: cache headers are ignored.
    Fixed,
    /// The HTTP rules (RFC 9111).
    Http {
        /// The fields, in their order, of which the first that is there and valid speaks in place of `Cache-Control` and
        /// `Expires` (RFC 9213).
        targets: Vec<HeaderName>,
        /// Whether responses may say what of a query does not matter (`No-Vary-Search`).
        no_vary_search: bool,
    },
}

/// What a stored response is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It answers the request.
    Fresh,
    /// It answers the request; but what is left of its lifetime is so short that it is time to refresh it.
    Ending,
    /// It has expired and answers the request all the same; with [`Stale::WhileRevalidate`], while it is refreshed.
    Stale(Stale),
    /// It does not answer the request. The origin may still confirm it ([`Rules::may_be_confirmed`]), or fail and leave
    /// it to stand in ([`Rules::may_stand_in`]).
    Unfit(Miss),
}
