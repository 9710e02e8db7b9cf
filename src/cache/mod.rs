//! The layer, the service it makes, and the bodies that pass through.
//!
//! ```text
//! request ─ gate ─ key ─ lookup ─ judge ─┬─ usable ─► stored response, and a refresh if one is due
//!             │                          └─ else ─ join ─┬─ leader: fetch, judge, store, respond
//!             └─ bypass ─► origin                        └─ follower ─► the leader's response
//! ```
//!
//! `pipeline` has these steps in this order. Each step is a call into one file below it. A file
//! imports only from files further down this list, and `tests/imports.py` fails on a circle:
//!
//! - `service` is the service and its future. `pipeline` is the path of a request.
//! - `parts` fetches a part, and combines it with the stored one. `bypass` sends a request past the
//!   cache. `refresh` works in the background. `follow` joins a call in flight.
//! - `fetch` makes a call, judges the answer and stores it. `ask` asks about a stored response, or
//!   for a part, and chooses between the answer and a stale response. `revalidate` freshens a
//!   stored response.
//! - `record` writes what a cassette records. It uses the tee, the body and the store handle,
//!   but neither the policy, nor the lookup, nor the calls.
//! - `invalidate` removes. `store` decides what may be stored, and as what. `respond` makes
//!   responses.
//! - `no_vary_search` finds responses to other queries. `lookup` reads the store.
//! - `context` is the request on its way. `config` has the setters of a layer, and `layer` is what
//!   its clones share.
//! - `body` is what the caller receives, and `request_body` what the origin receives.
//! - `outcome` is the result of a call. It connects `coalesce`, the calls in flight, with `tee`,
//!   the body that several requests read while it is stored.
//! - `variance` says where variants are stored. `handle` is the store with its observer.
//! - `settings`, `tasks`, `backoff`, `peeked` and `error` import none of these.
//!
//! This folder knows a store by its trait alone. The rules of caching are in the policy.
//!
//! Each request allocates and moves a future, so futures are kept small. An `async fn` stores each
//! argument twice: some functions return a future instead. A step that few requests take is boxed.
//!
//! # Where to look
//!
//! - What happens on a hit? `pipeline.rs: serve`, `gate_and_key`; `lookup.rs: read_primary`,
//!   `PrimaryRead::verdict`; `respond.rs: hit`, `stored`, `report`. Hits on other variants, on
//!   parts and for `HEAD` go through `pipeline.rs: answer` and `lookup.rs: read_selected`,
//!   `find_verdict`.
//! - Where is the origin called? `fetch.rs: call_origin` where nothing is stored, `ask.rs: ask`
//!   where something is, and `bypass.rs: bypass`, all by `Origin::send` in `context.rs`.
//! - Where do variants lie? `store.rs: keys`, by `variance.rs: Placement`. `lookup.rs: read` finds
//!   them.
//! - Is a response too large? `store.rs: limits` by its head, `tee/source.rs: take_chunk` by its
//!   body, `policy::combine` for parts.
//! - Why was a response not stored? `Rules::storable`; `store.rs: plan`, `limits`; `outcome.rs:
//!   settle` for what happened in flight; `tee` for its body; `parts.rs` and `revalidate.rs`. The
//!   user learns it from `CacheStatus::stored` and `Event::NotStored`.
//! - Where does a 304 update the stored response? `ask.rs: ask`; then `revalidate.rs: freshen`,
//!   `new_head`, `replace_head`, `swap_head`.
//! - Where is stale-if-error decided? `Rules::may_serve_if_error` and `Rules::failure`; then
//!   `ask.rs: answer_or_stale`, and for followers `follow.rs: stale_or_own_call`.
//! - What does a purge do to calls in flight? `coalesce/table.rs: invalidate` writes it down. Calls
//!   look for it by `is_invalidated` and `begin_publishing`: `coalesce/join.rs: join`,
//!   `coalesce/leader.rs: settle`, `outcome.rs: CallPublishing`, `revalidate.rs: swap_head`.
//!   `Tee::keep_out` waits for a body that is being published.
//!
//! # Glossary
//!
//! The words of this folder that are neither in an RFC nor common to caches. The *primary key* is
//! the primary cache key of RFC 9111 §2. *Hit-for-miss* is Varnish's word for a key whose responses
//! are not stored, so that its requests do not wait for each other.
//!
//! | word | meaning |
//! |---|---|
//! | origin | the inner service |
//! | resident | the variant that is stored under the primary key, and leads to the others |
//! | family | a random number that is part of the keys of a resident's other variants |
//! | call | a request to the origin whose response may be stored |
//! | call key | the key under which requests join a call: the primary key, or a variant's |
//! | leader, follower | the request that makes a call, and one that waits for it |
//! | outcome, share | the result of a call, and what a follower receives of it |
//! | generation | a count of stored responses, which shows that one was stored after a lookup |
//! | mark | a number for something that can be removed, such as a key or a tag |
//! | detached | a call of a request that bypasses the cache, and may be stored all the same |
//! | annotation | an entry that leads from another URL to a response (`No-Vary-Search`) |
//! | tee | a body that several requests read while it is stored |
//! | splice | a stored part, which is copied around a body that continues it |

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
mod parts;
mod peeked;
mod pipeline;
#[cfg(feature = "testing")]
mod record;
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
    service::{Cache, InnerService, ResponseFuture},
};
#[cfg(feature = "testing")]
pub(crate) use self::{
    context::{AnyBody, Origin, OriginBody},
    record::Recorder,
    request_body::ReadBody,
};
pub(crate) use self::{
    invalidate::{Change, add_removed},
    lookup::{LookupKeys, Read, read, unread_variants},
    store::{BroughtBy, Candidate},
    variance::{ResidentId, ResidentUpdate},
};
