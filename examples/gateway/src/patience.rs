//! [`Patience`]: a connection to the upstream that is given up after a silence.
//!
//! hyper does not limit how long an upstream may keep silent. This does: if nothing is read and
//! nothing is written for that long, the result is an error of kind `TimedOut`.

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
    /// Ends at most `limit` after that. It is set anew when it ends, not with every byte.
    silence: Pin<Box<dyn Future<Output = ()> + Send>>,
    history: History,
}

/// The history of a connection. hyper-util hands it on with the [`Connected`] of an error, and in
/// the extensions of a response.
#[derive(Clone, Default)]
pub(crate) struct History(Arc<AtomicBool>);

impl History {
    /// Notes that a response came over the connection.
    pub(crate) fn note_response(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether a response has come over the connection.
    pub(crate) fn has_response(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl<T> Patience<T> {
    pub(crate) fn new(io: T, limit: Duration) -> Self {
        let silence = Box::pin(awake::sleep(limit));
        Self { io, limit, heard: awake::now(), silence, history: History::default() }
    }

    /// Notes progress, or fails if there was none for too long.
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
                let message = format!("no bytes were read or written for {:?}", self.limit);
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
