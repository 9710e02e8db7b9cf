//! [`Patience`]: a connection that is given up after a silence.
//!
//! hyper limits the time that a request's head may take, and no other: not the bytes that come before it knows which
//! version of HTTP they are, nor a body that stops coming, nor a peer that does not read what it is sent. Here is one limit
//! for all of these, on either side: nothing read and nothing written for so long is an error of kind `TimedOut`.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

#[derive(Debug)]
pub(crate) struct Patience<T> {
    io: T,
    limit: Duration,
    /// When something was last read or written.
    heard: Instant,
    /// Ends no later than `limit` after that. It is put off when it ends, not with every byte.
    silence: Pin<Box<Sleep>>,
}

impl<T> Patience<T> {
    pub(crate) fn new(io: T, limit: Duration) -> Self {
        Self { io, limit, heard: Instant::now(), silence: Box::pin(sleep(limit)) }
    }

    /// What came of reading or writing: progress, or the end of patience.
    fn judge<R>(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if polled.is_ready() {
            self.heard = Instant::now();
            return polled;
        }
        while self.silence.as_mut().poll(cx).is_ready() {
            let end = self.heard + self.limit;
            if end <= Instant::now() {
                let message = format!("nothing came and nothing went for {:?}", self.limit);
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, message)));
            }
            self.silence.as_mut().reset(end);
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
        self.io.connected()
    }
}
