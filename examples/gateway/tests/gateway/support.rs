//! A gateway as a process of its own, an origin that does as a test says, and clients that write what they like. All of it
//! is sockets; waits end when what is waited for is there, or with the test.

use std::{
    error::Error,
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use http_body::Body;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpSocket;

/// Nothing takes so long unless it never comes.
const NEVER: Duration = Duration::from_secs(120);

/// The lines that a process has written so far.
#[derive(Clone)]
struct Lines {
    lines: Arc<(Mutex<Vec<String>>, Condvar)>,
    is_wanted: Arc<AtomicBool>,
    thread: Arc<thread::JoinHandle<()>>,
}

impl Lines {
    fn collect(from: impl Read + Send + 'static) -> Self {
        let lines = Arc::<(Mutex<Vec<String>>, Condvar)>::default();
        let is_wanted = Arc::new(AtomicBool::new(true));
        let (all, goes_on) = (lines.clone(), is_wanted.clone());
        let thread = thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                all.0.lock().unwrap().push(line);
                all.1.notify_all();
                if !goes_on.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        Self { lines, is_wanted, thread: Arc::new(thread) }
    }

    fn is_closed(&self) -> bool {
        self.thread.is_finished()
    }

    /// The first line in which `find` finds something, once it is there.
    fn find<T>(&self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        let (lines, wakeup) = &*self.lines;
        let mut lines = lines.lock().unwrap();
        let end = Instant::now() + NEVER;
        loop {
            if let Some(found) = lines.iter().find_map(|line| find(line)) {
                return found;
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no line with {what} in {lines:#?}");
            lines = wakeup.wait_timeout(lines, left).unwrap().0;
        }
    }
}

/// An address where nobody listens, and nobody will while the socket is kept.
pub(crate) fn nobody() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = socket.local_addr().unwrap();
    (socket, addr)
}

/// The program under test, which cargo builds for its tests.
const PROGRAM: &str = env!("CARGO_BIN_EXE_gateway");

/// A gateway that runs.
pub(crate) struct Gateway {
    child: Child,
    pub(crate) addr: SocketAddr,
    pub(crate) admin: SocketAddr,
    access: Lines,
    errors: Lines,
}

impl Gateway {
    /// One that keeps everything for an hour, in memory.
    pub(crate) fn start(upstream: SocketAddr) -> Self {
        Self::with(upstream, &["--expire-after", "1h"])
    }

    /// One that the HTTP rules decide for.
    pub(crate) fn by_http(upstream: SocketAddr, flags: &[&str]) -> Self {
        Self::spawn(upstream, &[&["--policy", "http"], flags].concat())
    }

    /// One that time alone decides for.
    pub(crate) fn with(upstream: SocketAddr, flags: &[&str]) -> Self {
        Self::spawn(upstream, &[&["--policy", "fixed"], flags].concat())
    }

    fn spawn(upstream: SocketAddr, flags: &[&str]) -> Self {
        Self::listen(&mut Command::new(PROGRAM), upstream, flags)
    }

    /// One that may have so many files open.
    pub(crate) fn with_files(upstream: SocketAddr, files: usize) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -n {files} && exec \"$0\" \"$@\""), PROGRAM]);
        Self::listen(&mut shell, upstream, &["--policy", "fixed", "--expire-after", "1h"])
    }

    fn listen(command: &mut Command, upstream: SocketAddr, flags: &[&str]) -> Self {
        let mut child = command
            .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .args(["--upstream", &format!("http://{upstream}")])
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let errors = Lines::collect(child.stderr.take().unwrap());
        let access = Lines::collect(child.stdout.take().unwrap());
        let address = |flag: &str| {
            let start = format!("gateway: {flag} ");
            errors.find(&start, |line| line.strip_prefix(&start)?.parse().ok())
        };
        let (addr, admin) = (address("--listen"), address("--admin"));
        Self { child, addr, admin, access, errors }
    }

    /// Closes the other ends of its standard output and its standard error.
    pub(crate) fn stop_listening(&self) {
        for lines in [&self.access, &self.errors] {
            lines.is_wanted.store(false, Ordering::Relaxed);
        }
        // The next line of each is the last one that is read.
        self.get("/last-lines");
        self.connect().send("no line of HTTP\r\n\r\n");
        until(|| [&self.access, &self.errors].iter().all(|lines| lines.is_closed()));
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.addr)
    }

    /// Sends one request on a connection of its own.
    pub(crate) fn get(&self, path: &str) -> Response {
        self.connect().get(path)
    }

    pub(crate) fn admin(&self, method: &str, target: &str) -> Response {
        let mut client = Client::connect(self.admin);
        client.send(&format!("{method} {target} HTTP/1.1\r\nHost: admin\r\n\r\n"));
        client.response()
    }

    /// The line of the access log with `text` in it.
    pub(crate) fn logged(&self, text: &str) -> String {
        self.access.find(text, |line| line.contains(text).then(|| line.to_owned()))
    }

    /// The line on standard error with `text` in it.
    pub(crate) fn said(&self, text: &str) -> String {
        self.errors.find(text, |line| line.contains(text).then(|| line.to_owned()))
    }

    /// The lines on standard error so far.
    pub(crate) fn all_said(&self) -> Vec<String> {
        self.errors.lines.0.lock().unwrap().clone()
    }

    /// Whether a line on standard error has `text` in it so far.
    pub(crate) fn has_said(&self, text: &str) -> bool {
        self.all_said().iter().any(|line| line.contains(text))
    }

    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    pub(crate) fn wait(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended by itself.
        if self.child.kill().is_ok() {
            self.child.wait().unwrap();
        }
    }
}

/// What becomes of a gateway with these flags, which refuses them.
pub(crate) fn refused(flags: &[&str]) -> String {
    let Output { status, stderr, .. } = Command::new(PROGRAM).args(flags).output().unwrap();
    assert!(!status.success());
    String::from_utf8(stderr).unwrap()
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

/// The bytes of a body, framing included, as far as they come, and whether all of them came.
fn body(head: &str, stream: &mut impl Read) -> (String, io::Result<()>) {
    let (mut all, mut byte) = (Vec::new(), [0]);
    let length = fields(head, "content-length").first().map(|length| length.parse().unwrap());
    let is_chunked = fields(head, "transfer-encoding") == ["chunked"];
    let is_whole = |all: &[u8]| match length {
        // The last chunk, and trailers behind it.
        _ if is_chunked => {
            let tail = String::from_utf8_lossy(&all[all.len().saturating_sub(100)..]);
            let last = tail.rfind("\r\n0\r\n").map_or(0, |start| start + 2);
            tail[last..].starts_with("0\r\n") && tail.ends_with("\r\n\r\n")
        }
        Some(length) => all.len() == length,
        None => true,
    };
    let mut read = Ok(());
    while read.is_ok() && !is_whole(&all) {
        read = stream.read_exact(&mut byte).map(|()| all.extend(byte));
    }
    (String::from_utf8(all).unwrap(), read)
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

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Response {
    pub(crate) fn status(&self) -> u16 {
        status(&self.head)
    }

    pub(crate) fn fields(&self, name: &str) -> Vec<String> {
        fields(&self.head, name)
    }

    pub(crate) fn is_hit(&self) -> bool {
        self.fields("cache-status").iter().any(|line| line.starts_with("larder; hit"))
    }
}

pub(crate) fn status(head: &str) -> u16 {
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

/// A connection over which a test sends what it likes.
pub(crate) struct Client(pub(crate) BufReader<TcpStream>);

impl Client {
    pub(crate) fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(NEVER)).unwrap();
        Self(BufReader::new(stream))
    }

    /// Connects from another address of this machine.
    pub(crate) fn connect_from(from: [u8; 4], addr: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let stream = runtime.block_on(async {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind((from, 0).into()).unwrap();
            socket.connect(addr).await.unwrap().into_std().unwrap()
        });
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(NEVER)).unwrap();
        Self(BufReader::new(stream))
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn get(&mut self, path: &str) -> Response {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: example.com\r\n\r\n"));
        self.response()
    }

    /// Sends a request of this method, target and further lines.
    pub(crate) fn ask(&mut self, method: &str, target: &str, lines: &str) -> Response {
        self.send(&format!("{method} {target} HTTP/1.1\r\n{lines}\r\n"));
        self.response()
    }

    pub(crate) fn head(&mut self) -> String {
        head(&mut self.0).unwrap()
    }

    /// The next final response, whole.
    pub(crate) fn response(&mut self) -> Response {
        let head = self.head();
        let body = match fields(&head, "content-length").first() {
            Some(len) => self.bytes(len.parse().unwrap()),
            None if fields(&head, "transfer-encoding") == ["chunked"] => self.chunks(),
            None => String::new(),
        };
        Response { head, body }
    }

    pub(crate) fn bytes(&mut self, len: usize) -> String {
        let mut bytes = vec![0; len];
        self.0.read_exact(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    /// The next chunk of a chunked body; an empty one is the last.
    pub(crate) fn chunk(&mut self) -> String {
        let mut size = String::new();
        self.0.read_line(&mut size).unwrap();
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        let chunk = self.bytes(size);
        if size > 0 {
            assert_eq!(self.bytes(2), "\r\n");
        }
        chunk
    }

    /// A chunked body, its trailers behind it.
    fn chunks(&mut self) -> String {
        let mut body = String::new();
        loop {
            let chunk = self.chunk();
            if chunk.is_empty() {
                break;
            }
            body.push_str(&chunk);
        }
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            if line == "\r\n" {
                return body;
            }
            body.push_str(&line);
        }
    }

    /// All that comes until the gateway closes the connection, or breaks it.
    pub(crate) fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Err(error) if error.kind() != io::ErrorKind::ConnectionReset => {
                panic!("the connection stayed open: {error}")
            }
            _ => String::from_utf8(rest).unwrap(),
        }
    }
}

/// A connection over HTTP/2, in clear.
pub(crate) async fn http2<B>(addr: SocketAddr) -> SendRequest<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let stream = tokio::net::TcpStream::connect(addr).await.unwrap();
    let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// A path for a store, in a folder that goes with it.
pub(crate) fn place(name: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    assert!(fs::metadata(&path).is_err());
    (folder, path.to_str().unwrap().to_owned())
}
