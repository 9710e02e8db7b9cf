//! An HTTP response cache for tower.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod cache;
mod entries;
pub mod entry;
mod error;
mod key;
mod options;
mod pattern;
mod policy;
mod stats;
mod status;
pub mod store;
pub mod time;
mod trace;

pub use self::{
    cache::{Cache, CacheLayer, RequestBody, ResponseBody, ResponseFuture},
    entries::{Entries, EntryInfo, Filter, Target},
    error::{BoxError, ConfigError},
    key::{Key, ParseKeyError},
    options::CacheOptions,
    policy::Expiration,
    stats::Stats,
    status::{Bypass, CacheStatus, Miss, Outcome, Refusal, Stored},
};
