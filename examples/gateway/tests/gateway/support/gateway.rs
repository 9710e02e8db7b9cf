//! A gateway as a process of its own.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Instant,
};

use super::{Client, NEVER, Response, until};

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

    /// Reads nothing of its output while the result is kept.
    pub(crate) fn hold_output(&self) -> [MutexGuard<'_, Vec<String>>; 2] {
        [&self.access, &self.errors].map(|lines| lines.lines.0.lock().unwrap())
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

    /// The lines of the access log so far.
    pub(crate) fn all_logged(&self) -> Vec<String> {
        self.access.lines.0.lock().unwrap().clone()
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
