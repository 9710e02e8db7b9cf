//! The connections of clients, and their end.

use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use larder::BoxError;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    time::{sleep, timeout},
};

use crate::{
    allowance::Allowance,
    body::Unread,
    failure::told,
    forwarded,
    gateway::{Client, Gateway},
    hop,
    interim::Interim,
    log,
    places::Places,
};

/// The most connections at a time.
const MAX_CONNECTIONS: usize = 4096;
/// How long requests in flight may go on after a signal to end.
pub(crate) const LAST_WORDS: Duration = Duration::from_secs(20);
/// How long an answer may take that says why a connection ends.
const GRACE: Duration = Duration::from_secs(1);
/// How long a client may go on with a body that nobody reads, in all and between two parts.
const LINGER: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(2)];

/// Limits for clients.
pub(crate) struct Limits {
    /// The most bytes of a request's head.
    pub(crate) max_head: u32,
    /// How long the gateway waits for a client.
    pub(crate) patience: Duration,
    /// The most connections of one client.
    pub(crate) share: usize,
}

/// Serves until `end`, and then what is under way.
pub(crate) async fn serve(
    listener: TcpListener,
    gateway: Arc<Gateway>,
    limits: Limits,
    end: impl Future<Output = ()>,
) {
    let mut server = auto::Builder::new(TokioExecutor::new());
    let max_head = limits.max_head as usize;
    server.http1().timer(TokioTimer::new()).header_read_timeout(None).half_close(true);
    server.http1().max_buf_size(max_head).max_headers(hop::max_lines(max_head));
    server.http2().timer(TokioTimer::new()).max_header_list_size(limits.max_head);
    let server = Arc::new(server);
    let places = Places::new(MAX_CONNECTIONS, limits.share);
    let (ending, watching) = watch::channel(());
    let mut end = pin!(end);
    loop {
        let next = async { (places.free().await, listener.accept().await) };
        let (permit, (stream, address)) = tokio::select! {
            () = &mut end => break,
            next = next => match next {
                (Some(permit), Ok(accepted)) => (permit, accepted),
                // An example is too many open files. It is over when others close.
                (_, Err(error)) => {
                    log::say(&format_args!("cannot accept a connection: {error}"));
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
                (None, _) => break,
            },
        };
        let ip = address.ip().to_canonical();
        let Some(place) = places.take(ip, permit) else {
            log::say(&format_args!("too many connections of {ip}: {address} is refused"));
            continue;
        };
        let (server, gateway, patience) = (server.clone(), gateway.clone(), limits.patience);
        let mut watching = watching.clone();
        tokio::spawn(async move {
            let ending = async {
                // An error says that the gateway has ended.
                let _ = watching.changed().await;
            };
            let client = Client {
                hop: forwarded::Client::new(ip),
                interim: Default::default(),
                allowance: Allowance::new(patience),
                unread: Unread::default(),
            };
            if let Err(error) = connection(&server, stream, gateway, client, ending).await {
                log::say(&format_args!("the connection of {address}: {}", told(&*error)));
            }
            drop((place, watching));
        });
    }
    drop((listener, watching));
    let _ = ending.send(());
    if timeout(LAST_WORDS, ending.closed()).await.is_err() {
        log::say(&"requests in flight are cut off");
    }
}

/// Serves one connection.
async fn connection(
    server: &auto::Builder<TokioExecutor>,
    stream: TcpStream,
    gateway: Arc<Gateway>,
    client: Client,
    ending: impl Future<Output = ()>,
) -> Result<(), BoxError> {
    stream.set_nodelay(true)?;
    let (read, write) = stream.into_split();
    let read = Reader(Arc::new(Mutex::new(read)));
    let io = Interim::new(Io { read: read.clone(), write }, client.interim.clone());
    let (allowance, unread) = (client.allowance.clone(), client.unread.clone());
    // Each request clones the `Arc` of its own connection, which other threads seldom touch.
    let ends = Arc::new((gateway, client));
    let answer = service_fn(move |request| {
        let ends = ends.clone();
        async move { ends.0.answer(&ends.1, request).await }
    });
    let served = {
        let mut connection = pin!(server.serve_connection(TokioIo::new(io), answer));
        let (mut ending, mut spent) = (pin!(ending), pin!(allowance.spent()));
        let mut is_ending = false;
        loop {
            tokio::select! {
                served = connection.as_mut() => break served,
                () = &mut ending, if !is_ending => {
                    is_ending = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = &mut spent => {
                    allowance.end_waits();
                    connection.as_mut().graceful_shutdown();
                    // A request with a slow body gets its answer in this time.
                    break timeout(GRACE, connection).await.unwrap_or(Ok(()));
                }
            }
        }
    };
    // The system resets a connection that is closed with unread bytes. The client could then not
    // send the rest, and may lose the answer that says why.
    if served.is_err() || unread.is_any() {
        linger(read).await;
    }
    served
}

/// Reads what a client still sends, until it has the end of its answer and closes.
async fn linger(Reader(read): Reader) {
    let Some(mut read) = Arc::into_inner(read).and_then(|read| read.into_inner().ok()) else {
        return;
    };
    let mut buffer = [0; 8 * 1024];
    let all = async { while let Ok(Ok(1..)) = timeout(LINGER[1], read.read(&mut buffer)).await {} };
    let _ = timeout(LINGER[0], all).await;
}

/// The half of a connection that is read. hyper has it first, and [`linger`] reads the rest.
#[derive(Clone)]
struct Reader(Arc<Mutex<OwnedReadHalf>>);

impl Reader {
    fn half(&self) -> MutexGuard<'_, OwnedReadHalf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection as hyper has it. Its drop ends the written half.
struct Io {
    read: Reader,
    write: OwnedWriteHalf,
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.read.half()).poll_read(cx, buf)
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.write).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.write).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.write.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.write).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.write).poll_shutdown(cx)
    }
}
