//! A proxy in front of a server. It can cut or stall connections, hold back a message, and count
//! round trips.

#![allow(dead_code)]

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// The delay of an answer. Commands that do not wait for the answer arrive in this time.
const DELAY: Duration = Duration::from_millis(40);

/// Returns the name of the command with which a client's bytes begin. `None` for bytes that are not
/// counted.
type CommandOf = fn(&[u8]) -> Option<String>;

/// The commands of an operation.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) commands: BTreeMap<String, u64>,
    /// A command that comes after an answer begins a round trip.
    pub(crate) trips: u64,
}

impl Sent {
    pub(crate) fn new(trips: u64, commands: &[(&str, u64)]) -> Self {
        let commands = commands.iter().map(|&(name, count)| (name.to_owned(), count)).collect();
        Self { commands, trips }
    }
}

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    cut: watch::Sender<u64>,
    state: Arc<State>,
    task: JoinHandle<()>,
}

struct State {
    command_of: CommandOf,
    /// The commands, and whether one was sent since the last answer.
    sent: Mutex<(Sent, bool)>,
    refusing: AtomicBool,
    stalled: AtomicBool,
    connections: AtomicUsize,
    /// The text of the message that is held back next.
    word: Mutex<Option<String>>,
    /// Whether a message is held back.
    held: watch::Sender<bool>,
}

impl State {
    /// Counts the command that `bytes` begin with. Returns whether there is one.
    fn count(&self, bytes: &[u8]) -> bool {
        let Some(name) = (self.command_of)(bytes) else { return false };
        let (sent, is_asked) = &mut *self.sent.lock().unwrap();
        *sent.commands.entry(name).or_default() += 1;
        sent.trips += u64::from(!*is_asked);
        *is_asked = true;
        true
    }

    fn is_to_be_held(&self, bytes: &[u8]) -> bool {
        let mut word = self.word.lock().unwrap();
        let has = |word: &str| bytes.windows(word.len()).any(|bytes| bytes == word.as_bytes());
        word.take_if(|word| has(word.as_str())).is_some()
    }
}

impl Proxy {
    /// Listens in front of the server on `port`.
    pub(crate) async fn to(port: u16) -> Self {
        Self::counting(port, |_| None).await
    }

    /// A proxy that counts commands and delays their answers for a moment.
    pub(crate) async fn counting(port: u16, command_of: CommandOf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (cut, cuts) = watch::channel(0);
        let state = Arc::new(State {
            command_of,
            sent: Mutex::default(),
            refusing: AtomicBool::default(),
            stalled: AtomicBool::default(),
            connections: AtomicUsize::default(),
            word: Mutex::default(),
            held: watch::Sender::default(),
        });
        let shared = state.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if shared.refusing.load(Ordering::SeqCst) {
                    continue;
                }
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                let waits = Arc::new(AtomicBool::new(false));
                let (state, asks) = (shared.clone(), waits.clone());
                let see = async move |bytes: &[u8]| {
                    if state.count(bytes) {
                        asks.store(true, Ordering::SeqCst);
                    }
                };
                tokio::spawn(pump(from_client, to_server, cuts.clone(), shared.clone(), see));
                let state = shared.clone();
                let see = async move |_: &[u8]| {
                    if waits.swap(false, Ordering::SeqCst) {
                        tokio::time::sleep(DELAY).await;
                        state.sent.lock().unwrap().1 = false;
                    }
                };
                tokio::spawn(pump(from_server, to_client, cuts.clone(), shared.clone(), see));
            }
        });
        Self { address, cut, state, task }
    }

    /// Returns the result of `what`, and the commands that it sent.
    pub(crate) async fn of<T>(&self, what: impl Future<Output = T>) -> (T, Sent) {
        *self.state.sent.lock().unwrap() = Default::default();
        let answer = what.await;
        (answer, std::mem::take(&mut *self.state.sent.lock().unwrap()).0)
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Breaks every connection.
    pub(crate) fn cut(&self) {
        self.cut.send_modify(|cuts| *cuts += 1);
    }

    /// If `refuse`, new connections are closed at once.
    pub(crate) fn refuse(&self, refuse: bool) {
        self.state.refusing.store(refuse, Ordering::SeqCst);
    }

    /// If `stall`, nothing passes in either direction. What arrives in that time is lost with its
    /// connection.
    pub(crate) fn stall(&self, stall: bool) {
        self.state.stalled.store(stall, Ordering::SeqCst);
    }

    /// Holds back the next message that contains `word`, and what follows it on its connection.
    /// Other connections go on.
    pub(crate) fn hold(&self, word: impl Into<String>) {
        *self.state.word.lock().unwrap() = Some(word.into());
    }

    /// Waits until a message is held back.
    pub(crate) async fn held(&self) {
        self.state.held.subscribe().wait_for(|held| *held).await.unwrap();
    }

    /// Releases the message.
    pub(crate) fn release(&self) {
        self.state.held.send_replace(false);
    }

    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pump(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut cuts: watch::Receiver<u64>,
    state: Arc<State>,
    see: impl AsyncFn(&[u8]),
) {
    cuts.mark_unchanged();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let len = tokio::select! {
            biased;
            _ = cuts.changed() => return,
            read = from.read(&mut buffer) => match read {
                Ok(0) | Err(_) => return,
                Ok(len) => len,
            },
        };
        if state.stalled.load(Ordering::SeqCst) {
            // Like a host that has vanished: its peers receive no error.
            let _never = cuts.changed().await;
            return;
        }
        if state.is_to_be_held(&buffer[..len]) {
            let mut held = state.held.subscribe();
            state.held.send_replace(true);
            tokio::select! {
                _ = cuts.changed() => return,
                _ = held.wait_for(|held| !held) => {}
            }
        }
        see(&buffer[..len]).await;
        if to.write_all(&buffer[..len]).await.is_err() {
            return;
        }
    }
}
