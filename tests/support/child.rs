//! Runs a test's program once more, in a process of its own: to share a store with it, to kill it,
//! and to measure it.

#![allow(dead_code)]

use std::{
    env,
    ffi::OsStr,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

/// The variable that marks a child process and carries its input.
pub(crate) const CHILD: &str = "LARDER_TEST_CHILD";

/// The path that a child process receives. `None` in the test itself.
pub(crate) fn child_path() -> Option<PathBuf> {
    env::var_os(CHILD).map(PathBuf::from)
}

/// The word that a child process receives. `None` in the test itself.
pub(crate) fn child_word() -> Option<String> {
    env::var(CHILD).ok()
}

/// Runs the test of this name again in a process of its own, with `word` in [`CHILD`]. The test can
/// wait for its output with [`hear`].
pub(crate) fn child(test: &str, word: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(CHILD, word);
    command.stdout(Stdio::piped());
    command
}

/// Waits until the child has said `word` `times` times.
pub(crate) fn hear(child: &mut Child, word: &str, times: usize) {
    let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    for _ in 0..times {
        let heard = lines.by_ref().any(|line| line.unwrap().contains(word));
        assert!(heard, "the child ended before it said {word:?} {times} times");
    }
}

/// Says `word` to the test that started this process.
pub(crate) fn say(word: &str) {
    println!("{word}");
    std::io::stdout().flush().unwrap();
}

/// The peak of this process's memory, in bytes.
#[cfg(target_os = "linux")]
pub(crate) fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1_024
}
