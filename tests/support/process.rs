//! Parts that all test servers share: namespaces, ports, and a process that ends with the test.

#![allow(dead_code)]

use std::{
    collections::BTreeSet,
    net::TcpListener,
    process::Child,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

/// A name that no other test has, in this run or another.
pub(crate) fn unique_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos();
    format!("test-{}-{now}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A free port. The port 10,000 above it, on which the nodes of a cluster talk to each other, is
/// free too.
pub(crate) fn free_port() -> u16 {
    // No port is handed out twice, because its server may still be starting.
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        // The system may hand out its own ports to another process at any time. Ours are below its
        // range.
        let port = 10_000 + port % 20_000;
        let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if free(port) && free(port + 10_000) && GIVEN.lock().unwrap().insert(port) {
            return port;
        }
    }
}

/// Starts a server on a free port. `run` returns `None` if the server did not start there.
pub(crate) fn on_a_free_port<S>(run: impl FnMut(u16) -> Option<S>) -> S {
    // Another process may have taken the port in the meantime.
    let mut ports = std::iter::repeat_with(free_port).take(6);
    ports.find_map(run).unwrap_or_else(|| panic!("the server ends as soon as it is started"))
}

/// The process of a server, while it runs.
#[derive(Default)]
pub(crate) struct Process(pub(crate) Option<Child>);

impl Process {
    /// Kills the server, as a power cut would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.0.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
