//! [`Patience`]: a connection to the upstream that is given up after a silence.
//!
//! hyper has no limit to the time that an upstream may keep silent. Here is one for all of it:
//! nothing read and nothing written for so long is an error of kind `TimedOut`.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::awake;

pub(crate) struct Patience<T> {
    io: T,
    limit: Duration,
    /// When something was last read or written.
    heard: Duration,
    /// Ends no later than `limit` after that. It is put off when it ends, not with every byte.
    silence: Pin<Box<dyn Future<Output = ()> + Send>>,
    history: History,
}

/// What is known of a connection. It is an extension of the responses that came over it, and of
/// errors' [`Connected`].
#[derive(Clone, Default)]
pub(crate) struct History(Arc<AtomicBool>);

impl History {
    /// Notes that a response came over the connection.
    pub(crate) fn note_response(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether a request on it was not the first one.
    pub(crate) fn has_response(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl<T> Patience<T> {
    pub(crate) fn new(io: T, limit: Duration) -> Self {
        let silence = Box::pin(awake::sleep(limit));
        Self { io, limit, heard: awake::now(), silence, history: History::default() }
    }

    /// What came of reading or writing: progress, or the end of patience.
    fn judge<R>(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if polled.is_ready() {
            self.heard = awake::now();
            return polled;
        }
        while self.silence.as_mut().poll(cx).is_ready() {
            let left = (self.heard + self.limit).saturating_sub(awake::now());
            if left.is_zero() {
                let message = format!("nothing came and nothing went for {:?}", self.limit);
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, message)));
            }
            self.silence = Box::pin(awake::sleep(left));
        }
        Poll::Pending
    }
}
impl<T: AsyncRead + Unpin> AsyncRead for Patience<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_read(cx, buf);
        self.judge(cx, polled)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Patience<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, buf);
        self.judge(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.judge(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    // These two move no bytes of a TCP connection: they are no sign of life, and no wait.

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl<T: Connection> Connection for Patience<T> {
    fn connected(&self) -> Connected {
        self.io.connected().extra(self.history.clone())
    }
}
