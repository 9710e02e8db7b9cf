//! A proxy that counts round trips.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
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

/// How long the first bytes of an answer are held back, so that requests that do not wait for an
/// answer arrive meanwhile.
const DELAY: Duration = Duration::from_millis(40);

/// Counts the round trips over all its connections. A request that comes after an answer begins
/// one.
pub(crate) struct Trips {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    count: AtomicU64,
    /// Whether requests have come since the last answer.
    is_asked: AtomicBool,
}

impl Trips {
    /// Begins to listen, in front of the server on `port`.
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                tokio::spawn(requests(from_client, to_server, shared.clone()));
                tokio::spawn(answers(from_server, to_client, shared.clone()));
            }
        });
        Self { address, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// How many round trips `what` takes.
    pub(crate) async fn of(&self, what: impl Future<Output = ()>) -> u64 {
        self.state.is_asked.store(false, SeqCst);
        self.state.count.store(0, SeqCst);
        what.await;
        self.state.count.load(SeqCst)
    }
}

async fn requests(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: Arc<State>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(len @ 1..) = from.read(&mut buffer).await {
        if !state.is_asked.swap(true, SeqCst) {
            state.count.fetch_add(1, SeqCst);
        }
        if to.write_all(&buffer[..len]).await.is_err() {
            return;
        }
    }
}

async fn answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: Arc<State>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(len @ 1..) = from.read(&mut buffer).await {
        if state.is_asked.load(SeqCst) {
            tokio::time::sleep(DELAY).await;
            state.is_asked.store(false, SeqCst);
        }
        if to.write_all(&buffer[..len]).await.is_err() {
            return;
        }
    }
}
