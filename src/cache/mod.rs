//! The layer, the service it makes, and the bodies that pass through.
//!
//! ```text
//! Request ─ gate ─ key ─ lookup ─ judge ─┬─ fresh ──────────► Response from the store; the inner service is never touched
//!             │                          ├─ stale, allowed ─► Response from the store, and a call in the background
//!             │                          └─ else ─ flight ─┬─ leader: fetch ─ judge ─ keep ─► Response
//!             └─ bypass(reason) ─► inner service           └─ follower: reads along ────────► Response
//! ```
//!
//! `serve` walks this way for each request, up to the fresh answer; an `errand` walks the rest of it. `flight` says who
//! makes a call and who waits for it, `fetch` makes it, `confirm` sees to its 304, `variants` to what that says of other
//! variants, `share` has the body that several read
//! and the store with them, `parts` puts parts together, `background` has the calls that nobody waits for. Stores are known only through their trait, the
//! rules only through the policy's decisions.

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
mod parts;
mod pass;
mod place;
mod removal;
mod request;
mod search;
mod serve;
mod service;
mod settings;
mod share;
mod variants;

pub(crate) use self::place::{Missed, Place};
pub use self::{
    body::{BodyError, CoalescedError, ResponseBody},
    failure::{RefreshError, RefreshFailure},
    future::ResponseFuture,
    layer::CacheLayer,
    request::RequestBody,
    service::Cache,
};
