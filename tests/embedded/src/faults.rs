//! The faults that a child process reports to its test.

use std::{path::Path, time::Duration};

use larder::store::{Error, Result};
use tokio::{
    runtime::{Builder, Runtime},
    time::timeout,
};

use crate::child::say;

/// The prefix of a fault in a line of a child's output.
pub(crate) const FAULT: &str = "fault: ";

/// The prefix of a remark that is not a fault.
pub(crate) const NOTE: &str = "note: ";

/// The last line of a child that ran to its end.
pub(crate) const DONE: &str = "the child is done";

/// An operation that takes longer than this hangs.
const NEVER: Duration = Duration::from_secs(60);

/// Reports a fault, and goes on.
pub(crate) fn fault(what: impl AsRef<str>) {
    say(&format!("{FAULT}{}", what.as_ref()));
}

/// Reports a fact that helps to read a failed test.
pub(crate) fn note(what: impl AsRef<str>) {
    say(&format!("{NOTE}{}", what.as_ref()));
}

/// Waits for an operation of a store. An operation that hangs ends the child.
pub(crate) async fn ends<T>(what: &str, operation: impl Future<Output = T>) -> T {
    match timeout(NEVER, operation).await {
        Ok(outcome) => outcome,
        Err(_) => {
            fault(format!("{what} does not end"));
            std::process::exit(1);
        }
    }
}

/// The error with its kind and its sources.
pub(crate) fn described(error: &Error) -> String {
    format!("{:?}: {error:#}", error.kind())
}

/// Reports a fault if an operation failed. Returns its value otherwise.
pub(crate) fn expect<T>(what: &str, result: Result<T>) -> Option<T> {
    result.map_err(|error| fault(format!("{what} failed: {}", described(&error)))).ok()
}

/// The faults in the output of a child. A child that did not run to its end is one more fault.
pub(crate) fn faults(printed: &str) -> Vec<String> {
    let mut found: Vec<_> =
        printed.lines().filter_map(|line| line.split_once(FAULT)).map(|at| at.1.into()).collect();
    if !printed.contains(DONE) {
        found.push("the child did not come to its end".to_owned());
    }
    found
}

/// The faults as text. Faults that differ only in their numbers share one line, with their count.
pub(crate) fn summary(faults: &[String]) -> String {
    let mut kinds = Vec::<(String, &str, usize)>::new();
    for fault in faults {
        let kind = fault.split(|c: char| c.is_ascii_digit()).filter(|part| !part.is_empty());
        let kind = kind.collect::<Vec<_>>().join("0");
        match kinds.iter_mut().find(|(known, ..)| *known == kind) {
            Some((.., times)) => *times += 1,
            None => kinds.push((kind, fault, 1)),
        }
    }
    let lines = kinds.iter().map(|(_, first, times)| match times {
        1 => format!("- {first}"),
        _ => format!("- {times} times: {first}"),
    });
    format!("{} faults\n{}", faults.len(), lines.collect::<Vec<_>>().join("\n"))
}

/// The remarks in the output of a child.
pub(crate) fn notes(printed: &str) -> Vec<&str> {
    printed.lines().filter_map(|line| line.split_once(NOTE)).map(|at| at.1).collect()
}

/// A runtime like that of a server.
pub(crate) fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// The bytes of the files in `directory` on the disk.
pub(crate) fn bytes_in(directory: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let files = std::fs::read_dir(directory).unwrap();
    files.map(|file| file.unwrap().metadata().map_or(0, |data| data.blocks() * 512)).sum()
}

/// The next random number after `state`.
pub(crate) fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The seed in the variable, or `otherwise`.
pub(crate) fn seed(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| {
        text.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {text:?}"))
    })
}
