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

mod body;
mod failure;
mod future;
mod heal;
mod keep;
mod layer;
mod place;
mod request;
mod serve;
mod service;
mod settings;
mod store_entry;

pub(crate) use self::place::{Missed, Place, remove_url};
pub use self::{
    body::{BodyError, ResponseBody},
    failure::{RefreshError, RefreshFailure},
    future::ResponseFuture,
    layer::CacheLayer,
    request::RequestBody,
    service::Cache,
};
