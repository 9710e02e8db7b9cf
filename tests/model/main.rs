//! Random exchanges, compared with a model. The model remembers every answer of the origin and
//! every removal. An answer of the cache is right if the rules allowed it at some moment between
//! the start and the end of the request.
//!
//! `LARDER_MODEL_SEED` repeats a run, and its first steps are the ones that failed.
//! `LARDER_MODEL_STEPS` is the number of steps for each store.

#![cfg(feature = "memory")]
#![allow(clippy::unwrap_used)]

mod history;
mod judge;
mod origin;
mod paced;
mod plan;
mod rng;
mod rules;
mod run;
mod search;

use larder::store::{AnyStore, Memory, Tiered};

use self::{
    paced::{Pace, Paced},
    search::search,
};

/// A memory store that waits at the given pace.
fn memory(pace: &Pace) -> Paced<Memory> {
    Paced::around_threads(Memory::default(), pace.clone())
}

#[cfg(feature = "redb")]
fn redb(pace: &Pace) -> Paced<larder::store::Redb> {
    Paced::around_threads(larder::store::Redb::temporary().unwrap(), pace.clone())
}

#[test]
fn memory_gives_only_what_the_rules_allow() {
    search("memory", |pace| AnyStore::new(memory(pace)));
}

#[cfg(feature = "redb")]
#[test]
fn redb_gives_only_what_the_rules_allow() {
    search("redb", |pace| AnyStore::new(redb(pace)));
}

#[cfg(feature = "sqlite")]
#[test]
fn sqlite_gives_only_what_the_rules_allow() {
    let store = |pace: &Pace| {
        Paced::around_threads(larder::store::Sqlite::temporary().unwrap(), pace.clone())
    };
    search("sqlite", |pace| AnyStore::new(store(pace)));
}

#[cfg(feature = "files")]
#[test]
fn files_give_only_what_the_rules_allow() {
    let store = |pace: &Pace| {
        Paced::around_threads(larder::store::Files::temporary().unwrap(), pace.clone())
    };
    search("files", |pace| AnyStore::new(store(pace)));
}

#[test]
fn memory_before_memory_gives_only_what_the_rules_allow() {
    search("memory before memory", |pace| {
        let tiered = Tiered::new(memory(pace), memory(pace));
        AnyStore::new(Paced::around_paced(tiered, pace.clone()))
    });
}

#[cfg(feature = "redb")]
#[test]
fn memory_before_redb_gives_only_what_the_rules_allow() {
    search("memory before redb", |pace| {
        let tiered = Tiered::new(memory(pace), redb(pace));
        AnyStore::new(Paced::around_paced(tiered, pace.clone()))
    });
}
