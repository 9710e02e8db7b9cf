//! The load of a process that is killed: the operations of each task, in sequence.
//!
//! The operations follow from the seed, so the test can compute them. Each task has its own keys,
//! so the operations on a key happen in the order of the task.

use std::time::SystemTime;

use bytes::Bytes;
use larder::{
    Key,
    entry::Head,
    store::{Store, Writer},
    time::Timestamp,
};

use crate::{
    child::say,
    entries::{body, head_at, key, pieces},
    faults::random,
};

/// The number of tasks that write at the same time.
pub(super) const TASKS: u64 = 6;

/// The number of keys of each task.
pub(super) const KEYS: u64 = 24;

/// One body in twelve has this length, and is written in chunks.
const LARGE: usize = 300 * 1024;

/// The operation of a task in one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// Stores or replaces the entry of a key.
    Put(u64),
    /// Removes the entry of a key.
    Remove(u64),
    /// Removes all entries of the task, by their tag.
    RemoveTagged,
}

impl Operation {
    /// The operation of a task with this number, which counts from 0 in each round.
    pub(super) fn of(seed: u64, round: u64, task: u64, number: u64) -> Self {
        let mut state = seed ^ entry_id(round, task, number).wrapping_mul(0x2545_f491_4f6c_dd1d);
        let key = random(&mut state) % KEYS;
        match random(&mut state) % 64 {
            0 => Self::RemoveTagged,
            1..13 => Self::Remove(key),
            _ => Self::Put(key),
        }
    }
}

/// The number of an entry, in its head and its body. No other put writes the same number.
pub(super) fn entry_id(round: u64, task: u64, number: u64) -> u64 {
    (round << 40) | (task << 32) | number
}

/// The key of a task with this number.
pub(super) fn key_of(task: u64, number: u64) -> Key {
    key(task * 1_000 + number)
}

/// The tag of all entries of a task.
pub(super) fn tag_of(task: u64) -> String {
    format!("task {task}")
}

/// The body that was written with this number.
pub(super) fn body_of(id: u64) -> Bytes {
    let mut state = id;
    let len = match random(&mut state) % 12 {
        0 => LARGE,
        1 => 0,
        _ => 50 + random(&mut state) as usize % 4_000,
    };
    let mut bytes = id.to_le_bytes().to_vec();
    bytes.extend_from_slice(&body(id, len));
    bytes.into()
}

/// The head that was written with this number.
pub(super) fn head_of(task: u64, id: u64) -> Head {
    let stored_at = Timestamp::from_millis(id);
    head_at(stored_at)
        .with_tags(vec![tag_of(task).into()])
        .with_expires_at(Some(stored_at.saturating_add(std::time::Duration::from_secs(3_600))))
}

/// The time of the machine's clock in microseconds, for the child and its test.
pub(super) fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_micros() as u64
}

/// Runs one operation after the other until the process is killed. Reports when each begins, and
/// when it is acknowledged.
pub(super) async fn work<S: Store>(store: S, seed: u64, round: u64, task: u64) {
    for number in 0.. {
        say(&format!("begin {task} {number} {}", now()));
        match Operation::of(seed, round, task, number) {
            Operation::Put(key) => {
                let id = entry_id(round, task, number);
                let mut writer = store.put(&key_of(task, key), head_of(task, id)).await.unwrap();
                for piece in pieces(&body_of(id)) {
                    writer.write(piece).await.unwrap();
                }
                writer.finish(None).await.unwrap();
            }
            Operation::Remove(key) => {
                store.remove(&key_of(task, key)).await.unwrap();
            }
            Operation::RemoveTagged => {
                store.remove_tagged(&tag_of(task)).await.unwrap();
            }
        }
        say(&format!("acknowledged {task} {number} {}", now()));
    }
}
