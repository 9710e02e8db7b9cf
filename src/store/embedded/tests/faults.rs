//! Every transaction fails once, while a script runs, and what readers see is compared with what
//! the calls have returned.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use futures_util::StreamExt;
use http::{Method, Response};

use super::fake::{Fake, open};
use crate::{
    Key,
    entry::Head,
    store::{
        ErrorKind, Result,
        embedded::{Durability, Engine, Reads},
    },
    time::Timestamp,
};

/// One call.
#[derive(Clone, Copy, Debug)]
enum Call {
    /// Stores a body with this number, which is unique, under a key.
    Put {
        key: u64,
        number: u64,
        is_large: bool,
    },
    Update(u64),
    Remove(u64),
    RemoveTagged,
    RemoveExpired,
    Clear,
    Flush,
}

/// Keys below 3 have the tag, and key 4 expires.
fn head(key: u64) -> Head {
    let parts = Response::new(()).into_parts().0;
    let tags = if key < 3 { vec!["tag".into()] } else { Vec::new() };
    let expires_at = (key == 4).then(|| Timestamp::from_millis(1));
    Head::new(Method::GET, "http://a/", parts, Timestamp::MIN)
        .with_tags(tags)
        .with_expires_at(expires_at)
}

fn key(number: u64) -> Key {
    Key::digest(number.to_string())
}

fn script() -> Vec<Call> {
    let (mut calls, mut number) = (Vec::new(), 0);
    let mut put = |calls: &mut Vec<Call>, key, is_large| {
        number += 1;
        calls.push(Call::Put { key, number, is_large });
    };
    for round in 0..3 {
        for key in 0..5 {
            put(&mut calls, key, key == 3);
        }
        calls.push(Call::Flush);
        put(&mut calls, 0, false);
        put(&mut calls, 1, round == 1);
        calls.extend([Call::Update(0), Call::Remove(1), Call::RemoveExpired]);
        put(&mut calls, 1, false);
        put(&mut calls, 5, true);
        calls.extend([Call::RemoveTagged, Call::Remove(5), Call::Remove(2)]);
        put(&mut calls, 4, false);
        put(&mut calls, 0, false);
        calls.push(if round == 0 { Call::Clear } else { Call::Flush });
        put(&mut calls, 2, false);
    }
    calls
}

/// What a reader may find under each key: the number of a body, or nothing. An entry that was
/// acknowledged may be lost, but nothing older comes back in its place.
type Allowed = BTreeMap<u64, BTreeSet<Option<u64>>>;

/// Runs the call. Returns the keys whose entries it ends, and the entry that it stores.
async fn run<const L: bool>(
    engine: &Engine<Fake<L>>,
    call: Call,
) -> Result<(Vec<u64>, Option<u64>)> {
    Ok(match call {
        Call::Put { key: at, number, is_large } => {
            let mut writer = engine.put(&key(at), head(at)).await?;
            let mut body = number.to_le_bytes().to_vec();
            body.resize(if is_large { 200_000 } else { 8 }, 0);
            writer.write(Bytes::from(body)).await?;
            writer.finish(None).await?;
            (vec![at], Some(number))
        }
        Call::Update(at) => {
            if let Some(found) = engine.get(&key(at)).await? {
                engine.update(&key(at), found.version, head(at)).await?;
            }
            (vec![], None)
        }
        Call::Remove(at) => {
            engine.remove(&key(at)).await?;
            (vec![at], None)
        }
        Call::RemoveTagged => {
            engine.remove_tagged("tag").await?;
            (vec![0, 1, 2], None)
        }
        Call::RemoveExpired => {
            engine.remove_expired(Timestamp::from_millis(1)).await?;
            (vec![4], None)
        }
        Call::Clear => {
            engine.clear().await?;
            ((0..6).collect(), None)
        }
        Call::Flush => {
            engine.flush().await?;
            (vec![], None)
        }
    })
}

/// Looks at what is visible, and again when nothing waits for its commit any more.
async fn check<const L: bool>(engine: &Engine<Fake<L>>, allowed: &Allowed, when: &str) {
    look(engine, allowed, when).await;
    // Work in the background may fail in between.
    for _ in 0..10 {
        let len = engine.len().await.unwrap();
        let seen = (look(engine, allowed, when).await, engine.scan().count().await as u64);
        if seen == (len, len) {
            return;
        }
    }
    panic!("{when}: the number of entries differs from what is listed and found");
}

/// Returns the number of entries.
async fn look<const L: bool>(engine: &Engine<Fake<L>>, allowed: &Allowed, when: &str) -> u64 {
    let mut there = 0;
    for (at, allowed) in allowed {
        let found = match engine.get(&key(*at)).await.unwrap() {
            Some(hit) => {
                there += 1;
                let body = hit.body.bytes().await.unwrap();
                Some(u64::from_le_bytes(*body.first_chunk().unwrap()))
            }
            None => None,
        };
        assert!(allowed.contains(&found), "{when}: {found:?} under {at}, allowed: {allowed:?}");
    }
    there
}

/// Runs the script with failures. Returns how many transactions it took.
async fn survive<const L: bool>(durability: Durability, fails: &[usize], early: bool) -> usize {
    let (engine, plan) = open::<L>(durability, Reads::InPlace);
    plan.fail(fails.iter().copied(), early);
    let mut allowed: Allowed = (0..6).map(|key| (key, BTreeSet::from([None]))).collect();
    for (step, call) in script().into_iter().enumerate() {
        let when = format!("{fails:?}, {early}, {durability:?}, step {step}, {call:?}");
        match run(&engine, call).await {
            Ok((keys, number)) => {
                for key in keys {
                    allowed.insert(key, BTreeSet::from([None, number]));
                }
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Full, "{when}: {error}"),
        }
        check(&engine, &allowed, &when).await;
    }
    let taken = plan.transactions();
    plan.fail([], false);
    // With room again, everything works, and what is in the file is what readers see.
    for key in 0..6 {
        let call = Call::Put { key, number: 1_000 + key, is_large: key == 2 };
        run(&engine, call).await.unwrap();
        allowed.insert(key, BTreeSet::from([Some(1_000 + key)]));
        check(&engine, &allowed, &format!("{fails:?}, with room again")).await;
    }
    engine.flush().await.unwrap();
    assert!(engine.shared().overlay.hidden().is_none() && !engine.shared().overlay.has_pending());
    check(&engine, &allowed, &format!("{fails:?}, flushed")).await;
    engine.close().await.unwrap();
    taken
}

async fn survive_all<const L: bool>(durability: Durability) {
    let transactions = survive::<L>(durability, &[], false).await;
    assert!(transactions > 20, "{transactions}");
    for early in [false, true] {
        // Before the work of a transaction or after it: much is the same.
        for nth in (1..transactions + 5).step_by(if early { 3 } else { 1 }) {
            survive::<L>(durability, &[nth], early).await;
            if nth % 7 == 0 {
                let several: Vec<usize> = (nth..nth + 4).collect();
                survive::<L>(durability, &several, early).await;
            }
        }
        let all: Vec<usize> = (1..1_000).collect();
        survive::<L>(durability, &all, early).await;
    }
}

#[tokio::test]
async fn no_failure_brings_back_what_was_replaced_or_removed() {
    let every = Durability::Every(Duration::from_secs(3_600));
    survive_all::<true>(every).await;
    survive_all::<false>(every).await;
    survive_all::<true>(Durability::Every(Duration::ZERO)).await;
}

/// Lookups that wait for nothing run where they are called.
#[tokio::test]
async fn entries_in_the_overlay_are_read_without_a_read_of_the_file() {
    let every = Durability::Every(Duration::from_secs(3_600));
    let (engine, plan) = open::<true>(every, Reads::OffThread);
    let read = async || engine.get(&key(0)).await.unwrap().is_some();
    run(&engine, Call::Put { key: 0, number: 1, is_large: false }).await.unwrap();
    assert!(read().await);
    assert_eq!(plan.take_reads(), (0, 0));
    run(&engine, Call::Flush).await.unwrap();
    assert!(read().await);
    assert_eq!(plan.take_reads(), (0, 1));
    let (engine, plan) = open::<true>(every, Reads::Adaptive);
    assert!(engine.get(&key(0)).await.unwrap().is_none());
    assert_eq!(plan.take_reads(), (1, 0));
    let engine = engine.read_off_thread();
    assert!(engine.get(&key(0)).await.unwrap().is_none());
    assert_eq!(plan.take_reads(), (0, 1));
}

/// The order of commits is the order of calls, and many calls are one transaction.
#[tokio::test]
async fn entries_are_committed_together() {
    let every = Durability::Every(Duration::from_secs(3_600));
    let (engine, plan) = open::<true>(every, Reads::InPlace);
    run(&engine, Call::Flush).await.unwrap();
    plan.fail([], false);
    for number in 0..100 {
        run(&engine, Call::Put { key: number % 6, number, is_large: false }).await.unwrap();
    }
    run(&engine, Call::Flush).await.unwrap();
    assert!(plan.transactions() <= 30, "{}", plan.transactions());
    let allowed = (94..100).map(|number| (number % 6, BTreeSet::from([Some(number)]))).collect();
    check(&engine, &allowed, "flushed").await;
}

/// An earlier failure was reported to its caller.
#[tokio::test]
async fn closing_fails_if_the_last_commit_does_and_not_if_an_earlier_one_did() {
    let every = Durability::Every(Duration::from_secs(3_600));
    let put = Call::Put { key: 0, number: 1, is_large: false };
    let (engine, plan) = open::<false>(every, Reads::InPlace);
    plan.fail(1..100, false);
    assert!(engine.flush().await.is_err());
    plan.fail([], false);
    engine.close().await.unwrap();

    let (engine, plan) = open::<false>(every, Reads::InPlace);
    engine.flush().await.unwrap();
    plan.fail(1..100, false);
    run(&engine, put).await.unwrap();
    assert_eq!(engine.close().await.unwrap_err().kind(), ErrorKind::Full);
    assert_eq!(engine.unwritten(), 1);
}
