//! A body of 64 MiB: when the caller gets the head, and what the process holds meanwhile.
//!
//! Each cache runs in a process of its own. The system says how much memory that has in use; only
//! Linux says how much it had at its peak.

use std::{env, fs, process::Command};

use tokio::runtime::Runtime;

use crate::{
    caches::{Cache, LARGE_BODY},
    measure::build,
    origin::{Origin, request},
};

const CHUNK: usize = 64 << 10;
const CHUNKS: usize = 1024;

/// Starts a process for the cache, and returns the cells of its row.
pub fn measure(index: usize) -> Vec<String> {
    let this = env::current_exe().expect("this program has a path");
    let child = Command::new(this).args(["--large-body", &index.to_string()]).output();
    let child = child.expect("this program starts");
    let complaint = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "{}: {complaint}", LARGE_BODY[index].name);
    String::from_utf8_lossy(&child.stdout).trim().split(',').map(str::to_owned).collect()
}

/// Measures in that process, and prints the cells.
pub fn tell(runtime: &Runtime, cache: Cache) {
    let origin = Origin::new(CHUNK, CHUNKS, None);
    let (mut client, _folder) = build(runtime, cache, &origin);
    // Resets the peak to what is in use now.
    let is_reset = fs::write("/proc/self/clear_refs", "5").is_ok();
    let before = memory("VmRSS");

    let (head_after, len) = runtime.block_on(async {
        let body = client.open(request(0)).await;
        (origin.chunks_read(), body.await)
    });
    let peak = memory("VmHWM").filter(|_| is_reset);
    assert_eq!(len, origin.len(), "the body is not whole");

    let calls = origin.calls();
    runtime.block_on(client.send(vec![request(0)]));
    let is_stored = origin.calls() == calls;
    let held = match (before, peak) {
        (Some(before), Some(peak)) => format!("{} MiB", peak.saturating_sub(before) / 1024),
        _ => "-".to_owned(),
    };
    println!("{head_after},{held},{}", if is_stored { "yes" } else { "no" });
}

/// A line of this process's status, in KiB.
fn memory(name: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
