//! The layer, the service it makes, and the bodies that pass through.
//!
//! ```text
//! request ─ gate ─ key ─ lookup ─ judge ─┬─ fresh ──────────► stored response
//!             │                          ├─ stale, allowed ─► stored response, and a refresh
//!             │                          └─ else ─ join ─┬─ leader: fetch ─ judge ─ store ─► response
//!             └─ bypass ─► origin                        └─ follower: shares it ──► response
//! ```
//!
//! `pipeline` has these steps in this order. Each step is a call into one file below it:
//!
//! - `bypass` sends a request past the cache, `range` fetches a part, `refresh` works in the
//!   background.
//! - `follow` joins a call in flight. `fetch` calls the origin, judges its answer and stores it.
//! - `revalidate` freshens a stored response. `partial` combines parts. `invalidate` removes.
//! - `lookup` reads the store, `no_vary_search` finds responses to other queries, `respond` makes
//!   responses, `store` decides what may be stored and as what.
//! - `context` is the request on its way. `layer` is what its clones share. `config` has the
//!   setters.
//! - `tee` is a body that several read and the store with them. `coalesce` has the calls in flight.
//!   `outcome` says what a call comes to, and joins the two.
//! - `variance` is what a primary key leads to. `handle` is the store with its observer.
//!
//! A file imports only from files further down this list. Stores are known by their trait alone,
//! and the rules by the policy's decisions.
//!
//! # Glossary
//!
//! The words of this folder that are in no RFC:
//!
//! | word | meaning |
//! |---|---|
//! | origin | the inner service |
//! | primary key | the key that a request makes without `Vary` |
//! | record | the names that select a variant, under the primary key |
//! | annotation | an entry that leads from another URL to a response (`No-Vary-Search`) |
//! | call | a request to the origin whose response may be stored |
//! | leader, follower | the request that makes a call, and those that wait for it |
//! | outcome, share | what a call comes to, and what a follower receives of it |
//! | generation | counts stored responses, so that a request notices one after its lookup |
//! | fence | keeps new requests from joining calls that a removal may concern |
//! | detached | a call whose request bypasses the cache |
//! | hit-for-miss | a key whose last response was not stored; its requests call for themselves |
//! | tee | a body that several read, and the store with them |
//! | peeked | a body whose start has been read |
//! | splice | a stored part, copied around the part that continues it |

mod backoff;
mod body;
mod bypass;
mod coalesce;
mod config;
mod context;
mod error;
mod fetch;
mod follow;
mod handle;
mod invalidate;
mod layer;
mod lookup;
mod no_vary_search;
mod outcome;
mod partial;
mod peeked;
mod pipeline;
mod range;
mod refresh;
mod request_body;
mod respond;
mod revalidate;
mod service;
mod settings;
mod store;
mod tasks;
mod tee;
mod variance;

pub use self::{
    body::ResponseBody,
    error::{BodyError, BodyErrorKind, RefreshError, RefreshFailure},
    layer::CacheLayer,
    request_body::RequestBody,
    service::{Cache, ResponseFuture},
};
pub(crate) use self::{
    invalidate::{Change, both},
    lookup::{LookupKey, read},
    store::{Candidate, From},
};
