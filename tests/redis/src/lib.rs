//! Tests of `Redis` that need a server: its commands, keys and times to live, faults of the network
//! and of the server, other processes, a cluster, and Sentinels.
//!
//! The conformance suite checks the contract of every store.

#![cfg(test)]
#![allow(clippy::unwrap_used)]

mod clusters;
mod commands;
mod connections;
mod damage;
mod expiry;
mod faults;
mod processes;
mod round_trips;

#[path = "../../support/child.rs"]
mod child;
#[path = "../../support/entries.rs"]
mod entries;
#[path = "../../support/own_process.rs"]
mod own_process;
#[path = "../../support/process.rs"]
mod process;
#[path = "../../support/proxy.rs"]
mod proxy;
#[path = "../../support/remote.rs"]
mod remote;
#[path = "../../support/redis.rs"]
mod servers;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, future};
use larder::{
    CacheLayer, Key,
    entry::Head,
    store::{ErrorKind, Redis, Store, Writer, redis::Builder},
};

use self::{
    entries::{MIB, body, get, key, mixed, put, read},
    proxy::Proxy,
    remote::{
        NEVER, entry_of_a_cut_write_is_whole_or_missing, every_operation_is_refused, expiring,
        fetch, head, now, requests_succeed_while_the_server_is_killed, tagged, until,
    },
    servers::{Cluster, Server, any_server, namespace},
};

/// Time limits that a busy machine, or one that stands still for a while, does not reach.
fn patient(builder: Builder) -> Builder {
    builder.connect_timeout(NEVER).response_timeout(NEVER)
}

fn builder(server: &Server) -> Builder {
    patient(Redis::builder(server.url()))
}

/// A server of its own for the test, and a store on it.
async fn server_and_store() -> (Server, Redis) {
    let server = Server::start();
    let store = builder(&server).connect().await.unwrap();
    (server, store)
}

/// Every key on the server, sorted.
fn keys(server: &Server) -> Vec<String> {
    let mut keys: Vec<String> = server.ask(&["KEYS", "*"]);
    keys.sort_unstable();
    keys
}

fn entry_name(key: Key) -> String {
    format!("larder:{{{key}}}")
}

/// The name of the entry's body, which may be unfinished.
fn body_name(server: &Server, key: Key) -> Option<String> {
    let entry = entry_name(key);
    keys(server).into_iter().find(|name| name.len() > entry.len() && name.starts_with(&entry))
}

/// The commands that the server received and their numbers, without those of the test.
fn commands(server: &Server) -> BTreeMap<String, u64> {
    let info: String = server.ask(&["INFO", "commandstats"]);
    info.lines()
        .filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(":calls="))
        .map(|(name, rest)| (name.to_owned(), rest.split(',').next().unwrap().parse().unwrap()))
        .filter(|(name, _)| {
            !["config|resetstat", "info", "hello", "client|setinfo"].contains(&name.as_str())
        })
        .collect()
}

async fn counted(server: &Server, what: impl Future<Output = ()>) -> BTreeMap<String, u64> {
    server.ask::<String>(&["CONFIG", "RESETSTAT"]);
    what.await;
    commands(server)
}
