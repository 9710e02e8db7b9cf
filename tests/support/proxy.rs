//! A way to a server that can be cut or stalled, and on which a message can be held back.

#![allow(dead_code)]

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    cut: watch::Sender<u64>,
    state: Arc<State>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    refusing: AtomicBool,
    stalled: AtomicBool,
    connections: AtomicUsize,
    /// What the next message to be held back has in it.
    word: Mutex<Option<String>>,
    /// Whether one is.
    held: watch::Sender<bool>,
}

impl State {
    fn is_to_be_held(&self, bytes: &[u8]) -> bool {
        let mut word = self.word.lock().unwrap();
        let has = |word: &str| bytes.windows(word.len()).any(|bytes| bytes == word.as_bytes());
        word.take_if(|word| has(word.as_str())).is_some()
    }
}

impl Proxy {
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (cut, cuts) = watch::channel(0);
        let state = Arc::new(State::default());
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
                tokio::spawn(pump(from_client, to_server, cuts.clone(), shared.clone()));
                tokio::spawn(pump(from_server, to_client, cuts.clone(), shared.clone()));
            }
        });
        Self { address, cut, state, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Breaks every connection.
    pub(crate) fn cut(&self) {
        self.cut.send_modify(|cuts| *cuts += 1);
    }

    /// Whether new connections are closed at once.
    pub(crate) fn refuse(&self, refuse: bool) {
        self.state.refusing.store(refuse, Ordering::SeqCst);
    }

    /// Whether nothing comes through, in either direction. What has come until then is lost with its connection.
    pub(crate) fn stall(&self, stall: bool) {
        self.state.stalled.store(stall, Ordering::SeqCst);
    }

    /// Holds back the next message that has `word` in it, and what comes over its connection behind it; all else goes on.
    pub(crate) fn hold(&self, word: impl Into<String>) {
        *self.state.word.lock().unwrap() = Some(word.into());
    }

    /// Waits until there is such a message.
    pub(crate) async fn held(&self) {
        self.state.held.subscribe().wait_for(|held| *held).await.unwrap();
    }

    /// Lets go of it.
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
) {
    cuts.mark_unchanged();
    let mut buffer = vec![0; 16 * 1024];
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
            // As a host that is not there any more: nobody is told.
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
        if to.write_all(&buffer[..len]).await.is_err() {
            return;
        }
    }
}
