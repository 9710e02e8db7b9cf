//! An origin that does as a test says.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use super::{fields, head, ok};

/// A request as the origin has it: its head, the bytes of its body where the origin reads them, and
/// the number of its connection.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) head: String,
    pub(crate) body: String,
    pub(crate) connection: usize,
}

impl Seen {
    pub(crate) fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap()
    }

    pub(crate) fn fields(&self, name: &str) -> Vec<String> {
        fields(&self.head, name)
    }
}

/// A server that hands every request to a closure, and closes the connection when that fails.
pub(crate) struct Origin {
    pub(crate) addr: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Origin {
    pub(crate) fn start(
        answer: impl Fn(&Seen, &mut TcpStream) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let (all, answer) = (seen.clone(), Arc::new(answer));
        thread::spawn(move || {
            for (connection, stream) in listener.incoming().enumerate() {
                let (all, answer) = (all.clone(), answer.clone());
                thread::spawn(move || serve(stream.unwrap(), connection, &all, &*answer));
            }
        });
        Self { addr, seen }
    }

    /// One that reads the body of each request first, as its framing says, and answers with these
    /// bytes.
    pub(crate) fn reads(answer: impl Fn(&Seen) -> String + Send + Sync + 'static) -> Self {
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let all = seen.clone();
        let origin = Self::start(move |request, stream| {
            let body = body(&request.head, stream);
            let seen = Seen { body: body.0, ..request.clone() };
            all.lock().unwrap().push(seen.clone());
            body.1?;
            write!(stream, "{}", answer(&seen))
        });
        Self { seen, ..origin }
    }

    /// One that answers every request with its path.
    pub(crate) fn echo() -> Self {
        Self::start(|request, stream| write!(stream, "{}", ok("", request.path())))
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

fn serve(
    mut stream: TcpStream,
    connection: usize,
    all: &Mutex<Vec<Seen>>,
    answer: &dyn Fn(&Seen, &mut TcpStream) -> io::Result<()>,
) {
    // It ends with an error as soon as either side has had enough.
    let mut next = || -> io::Result<()> {
        let head = head(&mut stream)?;
        let seen = Seen { head, body: String::new(), connection };
        all.lock().unwrap().push(seen.clone());
        answer(&seen, &mut stream)
    };
    while next().is_ok() {}
}

/// The bytes of a body, framing included, as far as they come, and whether all of them came.
fn body(head: &str, stream: &mut TcpStream) -> (String, io::Result<()>) {
    let (mut all, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
    let length = fields(head, "content-length").first().map(|length| length.parse().unwrap());
    let is_chunked = fields(head, "transfer-encoding") == ["chunked"];
    let is_whole = |all: &[u8]| match length {
        // The last chunk, and trailers behind it.
        _ if is_chunked => {
            all.ends_with(b"\r\n\r\n") && {
                let tail = String::from_utf8_lossy(&all[all.len().saturating_sub(100)..]);
                let last = tail.rfind("\r\n0\r\n").map_or(0, |start| start + 2);
                tail[last..].starts_with("0\r\n") && tail.ends_with("\r\n\r\n")
            }
        }
        Some(length) => all.len() == length,
        None => true,
    };
    let mut read = Ok(());
    while read.is_ok() && !is_whole(&all) {
        // Nothing behind the body is taken.
        read = stream.peek(&mut buffer).and_then(|len| {
            let before = all.len();
            let mut bytes = buffer[..len].iter();
            while !is_whole(&all)
                && let Some(byte) = bytes.next()
            {
                all.push(*byte);
            }
            let taken = (all.len() - before).max(1);
            stream.read_exact(&mut buffer[..taken])
        });
    }
    (String::from_utf8(all).unwrap(), read)
}
