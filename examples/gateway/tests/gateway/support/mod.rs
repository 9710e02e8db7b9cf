//! A gateway as a process of its own, an origin that does as a test says, and clients that write
//! what they like. All of it is sockets. A wait ends when its condition holds, or with the test.

use std::{
    fs,
    io::{self, Read},
    net::SocketAddr,
    sync::{Arc, Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

use tokio::net::TcpSocket;

mod client;
mod gateway;
mod origin;

pub(crate) use client::{Client, Response, http2, status};
pub(crate) use gateway::{Gateway, refused};
pub(crate) use origin::{Origin, Seen};

/// Nothing takes so long unless it never comes.
const NEVER: Duration = Duration::from_secs(120);

/// An address where nobody listens, and nobody will while the socket is kept.
pub(crate) fn nobody() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = socket.local_addr().unwrap();
    (socket, addr)
}

/// Tries until `is_so`.
pub(crate) fn until(mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + NEVER;
    while !is_so() {
        assert!(Instant::now() < end, "it never came to pass");
        thread::yield_now();
    }
}

/// A gate that a test opens.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(crate) fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    pub(crate) fn wait(&self) {
        let is_open = self.0.0.lock().unwrap();
        let (is_open, _) = self.0.1.wait_timeout_while(is_open, NEVER, |open| !*open).unwrap();
        assert!(*is_open, "the gate was never opened");
    }
}

/// The head of a message, byte by byte, so that nothing behind it is lost.
pub(crate) fn head(stream: &mut impl Read) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    Ok(String::from_utf8(head).unwrap())
}

/// A response with these further lines.
pub(crate) fn ok(lines: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn fields(head: &str, name: &str) -> Vec<String> {
    let named = |line: &str| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    };
    head.lines().filter_map(named).collect()
}

/// A path for a store, in a folder that goes with it.
pub(crate) fn place(name: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    assert!(fs::metadata(&path).is_err());
    (folder, path.to_str().unwrap().to_owned())
}
