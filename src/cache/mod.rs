//! The layer, the service it makes, and the bodies that pass through.
//!
//! ```text
//! request ─ gate ─ key ─ lookup ─ judge ─┬─ fresh ──────────► stored response
//!             │                          ├─ stale, allowed ─► stored response, and a refresh
//!             │                          └─ else ─ join ─┬─ leader: fetch ─ judge ─ store ─► response
//!             └─ bypass ─► origin                        └─ follower: shares it ──► response
//! ```
//!
//! `pipeline` has these steps in this order. Each step is a call into one file below it. A file
//! imports only from files further down this list, and `tests/imports.py` fails on a circle:
//!
//! - `service` is the service and its future. `pipeline` is the way of a request.
//! - `range` asks the origin for a part. `bypass` sends a request past the cache. `refresh` works
//!   in the background. `follow` joins a call in flight.
//! - `partial` combines parts. `fetch` calls the origin, judges its answer and stores it.
//!   `revalidate` freshens a stored response.
//! - `invalidate` removes. `store` decides what may be stored, and as what. `respond` makes
//!   responses.
//! - `no_vary_search` finds responses to other queries. `lookup` reads the store.
//! - `context` is the request on its way. `layer` is what clones of a layer share, and `config` has
//!   its setters.
//! - `outcome` says what a call comes to. It joins `tee`, a body that several read and the store
//!   with them, and `coalesce`, the calls in flight.
//! - `body` is what the caller receives, and `request_body` what the origin receives.
//! - `variance` is where variants lie. `handle` is the store with its observer.
//! - `settings`, `tasks`, `backoff`, `peeked` and `error` import none of these.
//!
//! Stores are known by their trait alone, and the rules by the policy's decisions.
//!
//! # Where to look
//!
//! | question | answer |
//! |---|---|
//! | Is a response too large? | `store::Candidate::limits` by its head, `tee::source` by its body |
//! | Why was a response not stored? | `policy` and `store::Candidate`; `tee` for its body; `Refusal` |
//! | Where does a 304 update the stored response? | `revalidate::RequestContext::freshen` |
//! | Where is stale-if-error decided? | `fetch::RequestContext::check_for_failure`, `follow` |
//! | What does a purge do to calls in flight? | `invalidate`, then `coalesce::Calls::invalidate_url` |
//!
//! # Glossary
//!
//! The words of this folder that are in no RFC:
//!
//! | word | meaning |
//! |---|---|
//! | origin | the inner service |
//! | primary key | the key that a request makes without `Vary` |
//! | resident | the variant under the primary key, which leads to the others |
//! | family | a random number that a resident and the variants beside it share |
//! | call key | what requests join calls under: the primary key, or a variant's |
//! | annotation | an entry that leads from another URL to a response (`No-Vary-Search`) |
//! | call | a request to the origin whose response may be stored |
//! | leader, follower | the request that makes a call, and those that wait for it |
//! | outcome, share | what a call comes to, and what a follower receives of it |
//! | generation | counts stored responses, so that a request notices one after its lookup |
//! | fence | keeps new requests from joining calls that a removal may concern |
//! | detached | a call whose request bypasses the cache |
//! | hit-for-miss | a key whose responses are not stored; its requests call for themselves |
//! | tee | a body that several read, and the store with them |
//! | peeked | a body whose start may have been read |
//! | splice | a stored part, copied around the part that continues it |

mod ask;
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
#[cfg(all(test, feature = "memory"))]
mod tests;
mod variance;

pub use self::{
    body::ResponseBody,
    error::{BodyError, BodyErrorKind},
    layer::CacheLayer,
    request_body::RequestBody,
    service::{Cache, ResponseFuture},
};
pub(crate) use self::{
    invalidate::{Change, add_removed},
    lookup::{LookupKeys, read},
    store::{BroughtBy, Candidate},
};
