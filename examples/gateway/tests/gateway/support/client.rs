//! Clients that write what they like.

use std::{
    error::Error,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
};

use http_body::Body;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpSocket;

use super::{NEVER, fields, head};

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
