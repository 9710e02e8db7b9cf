//! A proxy that reads the commands that the driver sends, and counts round trips.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// How long an answer is held back, so that commands that do not wait for it arrive meanwhile.
const DELAY: Duration = Duration::from_millis(40);

/// The code of an `OP_MSG`, in which the driver sends commands.
const OP_MSG: u32 = 2013;

/// Counts the commands over all its connections, except those that greet or watch the server.
pub(crate) struct Wire {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    commands: BTreeMap<String, u64>,
    trips: u64,
    /// Whether commands have come since the last answer.
    is_asked: bool,
}

/// What an operation has sent.
#[derive(Debug, PartialEq, Eq)]
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

impl Wire {
    /// Begins to listen, in front of the server on `port`.
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                let waits = Arc::new(AtomicBool::new(false));
                let (state, asks) = (shared.clone(), waits.clone());
                tokio::spawn(commands(from_client, to_server, state, asks));
                tokio::spawn(answers(from_server, to_client, shared.clone(), waits));
            }
        });
        Self { address, state }
    }

    /// What `what` sends.
    pub(crate) async fn of<T>(&self, what: impl Future<Output = T>) -> (T, Sent) {
        *self.state.lock().unwrap() = State::default();
        let answer = what.await;
        let State { commands, trips, .. } = std::mem::take(&mut *self.state.lock().unwrap());
        (answer, Sent { commands, trips })
    }
}

/// Passes on whole messages.
async fn commands(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    state: Arc<Mutex<State>>,
    waits: Arc<AtomicBool>,
) {
    let mut length = [0; 4];
    while from.read_exact(&mut length).await.is_ok() {
        let mut message = vec![0; u32::from_le_bytes(length) as usize];
        message[..4].copy_from_slice(&length);
        if from.read_exact(&mut message[4..]).await.is_err() {
            return;
        }
        if let Some(name) = command_of(&message) {
            let mut state = state.lock().unwrap();
            *state.commands.entry(name).or_default() += 1;
            state.trips += u64::from(!state.is_asked);
            state.is_asked = true;
            waits.store(true, SeqCst);
        }
        if to.write_all(&message).await.is_err() {
            return;
        }
    }
}

/// The name of a command: that of the first field of its document.
fn command_of(message: &[u8]) -> Option<String> {
    if message.get(12..16)? != OP_MSG.to_le_bytes() {
        return None;
    }
    // Header, flags, the kind of the section, the length of the document, the type of the field.
    let name = message.get(16 + 4 + 1 + 4 + 1..)?.split(|&byte| byte == 0).next()?;
    let name = String::from_utf8(name.to_vec()).ok()?;
    (!["hello", "isMaster", "ismaster"].contains(&&*name)).then_some(name)
}

async fn answers(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    state: Arc<Mutex<State>>,
    waits: Arc<AtomicBool>,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(len @ 1..) = from.read(&mut buffer).await {
        if waits.swap(false, SeqCst) {
            tokio::time::sleep(DELAY).await;
            state.lock().unwrap().is_asked = false;
        }
        if to.write_all(&buffer[..len]).await.is_err() {
            return;
        }
    }
}
