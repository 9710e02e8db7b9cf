//! A server that can be ended, a client, and helpers to inspect a folder.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use larder::{
    BoxError, RequestBody,
    testing::{Cassette, Player},
    time::{ManualClock, Timestamp},
};
use tempfile::TempDir;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tower::Layer;

pub(crate) type Reply = Response<BoxBody<Bytes, Infallible>>;
pub(crate) type HttpClient = Player<Client<HttpConnector, RequestBody<Full<Bytes>>>>;

/// A server on a socket of this machine.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    calls: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn new(
        answer: impl Fn(usize, Request<Bytes>) -> Reply + Clone + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let calls = Arc::new(AtomicUsize::new(0));
        let count = calls.clone();
        let accepting = tokio::spawn(async move {
            loop {
                let stream = TokioIo::new(listener.accept().await.unwrap().0);
                let (answer, count) = (answer.clone(), count.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let (answer, count) = (answer.clone(), count.clone());
                    async move {
                        let number = count.fetch_add(1, Ordering::SeqCst) + 1;
                        let (parts, body) = request.into_parts();
                        let body = body.collect().await.unwrap().to_bytes();
                        Ok::<_, Infallible>(answer(number, Request::from_parts(parts, body)))
                    }
                });
                tokio::spawn(http1::Builder::new().serve_connection(stream, service));
            }
        });
        Self { address, calls, accepting }
    }

    /// A server that answers every request with this text, and the number of the call.
    pub(crate) async fn counting() -> Self {
        Self::new(|number, _| text(&format!("answer {number}"))).await
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// Ends the server. Nothing listens on its address afterwards.
    pub(crate) async fn end(self) {
        self.accepting.abort();
        assert!(self.accepting.await.unwrap_err().is_cancelled());
        // A process that another test starts has a copy of the socket until it runs its program.
        let is_gone = async {
            while TcpStream::connect(self.address).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), is_gone).await.unwrap();
    }
}

pub(crate) fn full(body: impl Into<Bytes>) -> BoxBody<Bytes, Infallible> {
    Full::new(body.into()).boxed()
}

pub(crate) fn text(body: &str) -> Reply {
    Response::builder().header("content-type", "text/plain").body(full(body.to_owned())).unwrap()
}

pub(crate) fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cassette");
    (directory, path)
}

/// A cassette whose times are always the same.
pub(crate) fn record(path: &Path) -> Cassette {
    Cassette::record(path).unwrap().clock(ManualClock::new(Timestamp::from_millis(1_000_000)))
}

/// A client with its own connections.
pub(crate) fn client(cassette: &Cassette) -> HttpClient {
    cassette.layer(Client::builder(TokioExecutor::new()).build_http())
}

pub(crate) fn get(url: impl AsRef<str>) -> Request<Full<Bytes>> {
    Request::get(url.as_ref()).body(Full::default()).unwrap()
}

pub(crate) fn post(
    url: impl AsRef<str>,
    media_type: &str,
    body: impl Into<Bytes>,
) -> Request<Full<Bytes>> {
    let request = Request::post(url.as_ref()).header("content-type", media_type);
    request.body(Full::new(body.into())).unwrap()
}

/// Everything that a caller receives.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

pub(crate) async fn send(
    client: &HttpClient,
    request: Request<Full<Bytes>>,
) -> Result<Received, BoxError> {
    let (parts, body) = client.request(request).await?.into_parts();
    let body = body.collect().await?;
    let trailers = body.trailers().cloned();
    let (status, headers) = (parts.status, parts.headers);
    Ok(Received { status, headers, body: body.to_bytes(), trailers })
}

/// The body of the response, as text.
pub(crate) async fn say(client: &HttpClient, request: Request<Full<Bytes>>) -> String {
    let received = send(client, request).await.unwrap();
    String::from_utf8(received.body.to_vec()).unwrap()
}

/// The files of a folder, with their bytes and times of change.
pub(crate) fn files(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let changed = fs::metadata(&path).unwrap().modified().unwrap();
            found.insert(path.clone(), (fs::read(&path).unwrap(), changed));
        }
    }
    found
}

/// The names and bytes of the files that belong in version control.
pub(crate) fn recorded(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let name = |path: PathBuf| path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
    let files = files(folder).into_iter().map(|(path, (bytes, _))| (name(path), bytes));
    files.filter(|(name, _)| !name.starts_with('.')).collect()
}

/// Checks that an error contains `part`, and that the guide explains it.
pub(crate) fn assert_explained(error: &str, part: &str) {
    let page = include_str!("../../src/guide/troubleshooting.rs");
    let (_, section) = page.split_once("//! # Errors of cassettes\n").unwrap();
    assert!(error.contains(part), "{error}");
    assert!(section.contains(&format!("//! | `{part}` | ")), "{part}");
}
