//! The layer, the service it makes, and the bodies that pass through.
//!
//! ```text
//! Request ─ gate ─ key ─ lookup ─ judge ─┬─ fresh ──────────► Response from the store; the inner service is never touched
//!             │                          ├─ stale, allowed ─► Response from the store, and a call in the background
//!             │                          └─ else ─ flight ─┬─ leader: fetch ─ judge ─ keep ─► Response
//!             └─ bypass(reason) ─► inner service           └─ follower: reads along ────────► Response
//! ```
//!
//! `serve` walks this way for each request, up to the fresh answer; an `errand` walks the rest of it.
//!
//! - What is there: `lookup` reads it, `search` what other URLs' responses answer it, `answer` makes a response of it, `heal`
//!   removes what is found damaged.
//! - Calls: `flight` says who makes one and who waits for it, `fetch` makes it, `begun` reads ahead in its body, `background`
//!   has those that nobody waits for, `pass` those that go past the cache.
//! - Parts: `part` asks the origin for one.
//! - What is kept: `place` says where it belongs, `list` the list of variants that leads to it, `share` has the body that
//!   several read and the store with them, `parts` puts parts together.
//! - What a 304 says of what was asked about: `confirm`.
//! - What is removed: `removal`.
//!
//! Stores are known only through their trait, the rules only through the policy's decisions.

mod answer;
mod background;
mod begun;
mod body;
mod confirm;
mod errand;
mod failure;
mod fetch;
mod flight;
mod future;
mod heal;
mod layer;
mod list;
mod lookup;
mod part;
mod parts;
mod pass;
mod place;
mod removal;
mod request;
pub(crate) mod search;
mod serve;
mod service;
mod settings;
mod share;

pub use self::{
    body::{BodyError, CoalescedError, ResponseBody},
    failure::{RefreshError, RefreshFailure},
    future::ResponseFuture,
    layer::CacheLayer,
    request::RequestBody,
    service::Cache,
};
pub(crate) use self::{
    place::{Missed, Place},
    removal::both,
};
