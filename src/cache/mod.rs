//! The layer, the service it makes, and the bodies that pass through.
//!
//! ```text
//! Request ─ gate ─ key ─ lookup ─ judge ─┬─ fresh ───► Response from the store; the inner service is never touched
//!             │                          └─ else ─ fetch ─ judge ─ keep ─► Response
//!             └─ bypass(reason) ─► inner service
//! ```
//!
//! [`serve`](self) walks this way for each request, `keep` reads a body along for the store. Stores are known only
//! through their trait, the rules only through the policy's decisions.

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
mod lookup;
mod place;
mod removal;
mod request;
mod serve;
mod service;
mod settings;
mod share;

pub(crate) use self::place::{Missed, Place};
pub use self::{
    body::{BodyError, ResponseBody},
    failure::{RefreshError, RefreshFailure},
    future::ResponseFuture,
    layer::CacheLayer,
    request::RequestBody,
    service::Cache,
};
