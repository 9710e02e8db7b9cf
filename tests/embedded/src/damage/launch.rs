//! One launch of a program with a damaged cache. It opens the file, reads, writes, purges and
//! closes.

use std::path::Path;

use bytes::Bytes;
use futures_util::StreamExt;
use larder::{
    entry::Head,
    store::{Error, ErrorKind, Store},
    time::Timestamp,
};

use crate::{
    entries::{body, head_at, key, put},
    faults::{described, ends, fault},
    stores::Embedded,
};

/// The number of entries in the file.
pub(super) const ENTRIES: u64 = 150;

/// The expiry of some entries.
const EXPIRY: Timestamp = Timestamp::from_millis(2_000);

/// The operations of a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Launch {
    /// Everything except removing all entries.
    Use,
    /// Everything.
    Purge,
}

/// The head of an entry.
pub(super) fn head(number: u64) -> Head {
    let tags: &[&str] = if number.is_multiple_of(3) { &["a", "b"] } else { &["b"] };
    head_at(Timestamp::from_millis(1_000))
        .with_tags(tags.iter().map(|&tag| tag.into()).collect())
        .with_expires_at(number.is_multiple_of(5).then_some(EXPIRY))
}

/// The body of an entry. Every thirtieth body is written in chunks.
pub(super) fn content(number: u64) -> Bytes {
    let len = if number % 30 == 7 { 150_000 } else { [100, 2_000, 6_000][number as usize % 3] };
    body(number, len)
}

/// Checks an error of a damaged file, which must not be about space or permissions.
fn check(what: &str, error: &Error) {
    if matches!(error.kind(), ErrorKind::Full | ErrorKind::Denied) {
        fault(format!("{what} fails with a misleading error: {}", described(error)));
    }
}

/// Runs a launch. Reports faults with the prefix `when`. Returns whether the file opened.
pub(super) async fn launch<S: Embedded>(path: &Path, kind: Launch, when: &str) -> bool {
    let store = match S::open_file(path) {
        Ok(store) => store,
        Err(error) => {
            check(&format!("{when}: opening"), &error);
            let text = described(&error);
            // A refusal must give advice.
            let is_of_help = ["remove it", "another path"].iter().any(|words| text.contains(words));
            if !is_of_help || !text.contains(&*path.to_string_lossy()) {
                fault(format!("{when}: opening is refused without advice: {text}"));
            }
            return false;
        }
    };
    read_all(&store, when).await;
    let mut failures = Vec::new();
    let written = write(&store, 1_000, when, &mut failures).await;
    for (what, outcome, every) in [
        ("remove_tagged", ends("remove_tagged", store.remove_tagged("a")).await, 3),
        ("remove_expired", ends("remove_expired", store.remove_expired(EXPIRY)).await, 5),
    ] {
        match outcome {
            Ok(_) => are_gone(&store, every, &format!("{when}: {what}")).await,
            Err(error) => check(&format!("{when}: {what}"), &error),
        }
    }
    let removed = ends("remove", store.remove(&key(1))).await;
    if let Err(error) = removed {
        check(&format!("{when}: remove"), &error);
    } else if let Ok(Some(_)) = ends("a lookup", store.get(&key(1))).await {
        fault(format!("{when}: a removed entry is there"));
    }
    // A scan skips damage and ends. It may list an entry and an error for each row.
    let listed: Vec<_> = ends("scan", store.scan().take(10_000).collect()).await;
    if listed.len() >= 10_000 {
        fault(format!("{when}: a scan does not end"));
    }
    let is_purged = kind == Launch::Purge && purge(&store, when, &mut failures).await;
    let written = if kind == Launch::Purge {
        write(&store, 2_000, when, &mut failures).await || (written && !is_purged)
    } else {
        written
    };
    if kind == Launch::Purge && !written {
        let purged =
            if is_purged { "purged, but not written" } else { "neither written nor purged" };
        fault(format!("{when}: the file opens and can be {purged}: {}", failures.join("; ")));
    }
    if let Err(error) = ends("close", store.close_file()).await {
        check(&format!("{when}: closing"), &error);
    }
    true
}

/// Checks that a successful removal has removed each entry whose number is a multiple of `every`.
async fn are_gone(store: &impl Store, every: usize, what: &str) {
    for number in (0..ENTRIES).step_by(every) {
        if let Ok(Some(_)) = ends("a lookup", store.get(&key(number))).await {
            fault(format!("{what} succeeds, and entry {number} is there"));
        }
    }
}

/// Reads every entry. Each must be correct, an error, or absent.
async fn read_all(store: &impl Store, when: &str) {
    for number in 0..ENTRIES {
        let read = async {
            match store.get(&key(number)).await? {
                Some(hit) => {
                    let head = hit.head.clone();
                    Ok(Some((head, hit.body.bytes().await?)))
                }
                None => Ok(None),
            }
        };
        match ends(&format!("{when}: reading entry {number}"), read).await {
            Ok(Some((of, bytes))) => {
                if bytes != content(number) {
                    fault(format!("{when}: entry {number} has wrong bytes in its body"));
                }
                if *of != head(number).seal(bytes.len() as u64, None) {
                    fault(format!("{when}: entry {number} has a wrong head: {of:?}"));
                }
            }
            Ok(None) => {}
            Err(error) => check(&format!("{when}: reading entry {number}"), &error),
        }
    }
}

/// Puts and reads a small entry and one in chunks. Returns whether this works.
async fn write(store: &impl Store, from: u64, when: &str, failures: &mut Vec<String>) -> bool {
    let mut works = true;
    for (number, len) in [(from, 3_000), (from + 1, 150_000)] {
        let bytes = body(number, len);
        let written = put(store, key(number), head(number), bytes.clone());
        if let Err(error) = ends(&format!("{when}: a put"), written).await {
            check(&format!("{when}: a put"), &error);
            failures.push(format!("a put of {len} bytes: {}", described(&error)));
            works = false;
            continue;
        }
        let read = async {
            match store.get(&key(number)).await? {
                Some(hit) => hit.body.bytes().await.map(Some),
                None => Ok(None),
            }
        };
        match ends(&format!("{when}: reading a new entry"), read).await {
            Ok(Some(read)) if read == bytes => {}
            Ok(Some(_)) => fault(format!("{when}: a new entry has wrong bytes")),
            Ok(None) => {
                failures.push(format!("a put of {len} bytes succeeds, but the entry is absent"));
                works = false;
            }
            Err(error) => {
                check(&format!("{when}: reading a new entry"), &error);
                failures.push(format!("reading what was put: {}", described(&error)));
                works = false;
            }
        }
    }
    works
}

/// Removes all entries. Returns whether this works. No entry may be left then.
async fn purge(store: &impl Store, when: &str, failures: &mut Vec<String>) -> bool {
    if let Err(error) = ends("clear", store.clear()).await {
        check(&format!("{when}: clear"), &error);
        failures.push(format!("clear: {}", described(&error)));
        return false;
    }
    for number in (0..ENTRIES).chain([1_000, 1_001]) {
        match ends("a lookup", store.get(&key(number))).await {
            Ok(None) => {}
            Ok(Some(_)) => fault(format!("{when}: entry {number} is there after clear")),
            Err(error) => {
                let error = described(&error);
                fault(format!("{when}: a lookup of entry {number} fails after clear: {error}"));
            }
        }
    }
    let listed: Vec<_> = ends("scan", store.scan().take(10).collect()).await;
    if !listed.is_empty() {
        fault(format!("{when}: a scan lists {} items after clear", listed.len()));
    }
    match ends("len", store.len()).await {
        Ok(0) => {}
        other => fault(format!("{when}: the number of entries after clear is {other:?}")),
    }
    true
}
