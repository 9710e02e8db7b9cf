//! Interim responses (1xx, such as 103 Early Hints) on their way to a client over HTTP/1.1.
//!
//! RFC 9110 §15.2 asks a gateway to pass them on. hyper reports those that the upstream sends, and
//! has no way to send any. So [`Interim`] writes them past hyper, into the connection below it.
//! This must not tear another response apart, though hyper buffers what it writes and requests may
//! be pipelined. Three things that hyper does make it safe:
//!
//! 1. It hands a request to the service only when the whole response before it is encoded, and it
//!    encodes a response only when the service has returned it. Between [`begin`](Shared::begin)
//!    and the return from [`end`](Turn::end), it adds no part of a response to its buffer. (It may
//!    add a `100 Continue` of its own, always whole.)
//! 2. It flushes the connection only when its buffer is empty. After a flush in a turn, all earlier
//!    bytes are out.
//! 3. It flushes whenever its task has run, and so soon after [`announce`](Turn::announce) has
//!    woken it.
//!
//! An interim response is written within a turn, if the last thing that hyper did to the connection
//! was a flush. One that comes too late, or is too large, is left out.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, BytesMut};
use http::{HeaderMap, Request, StatusCode, Version};
use hyper::ext::on_informational;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::hop::{end_to_end, remove_length};

/// The most that waits to be written, in bytes.
const MAX_WAITING: usize = 64 * 1024;

/// The connection to a client, as hyper has it.
pub(crate) struct Interim<T> {
    io: T,
    shared: Shared,
}

/// What begins the turns of a connection.
#[derive(Clone, Default)]
pub(crate) struct Shared(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// The number of the turn; those before it are over.
    turn: u64,
    is_open: bool,
    /// Whether hyper has flushed the connection in this turn, and written nothing since.
    is_clear: bool,
    waiting: BytesMut,
    /// The task of the connection.
    task: Option<Waker>,
}

/// The time between a request and its final response.
#[derive(Clone)]
pub(crate) struct Turn {
    shared: Shared,
    number: u64,
}

impl<T> Interim<T> {
    pub(crate) fn new(io: T, shared: Shared) -> Self {
        Self { io, shared }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a turn. Interim responses to `request` are passed on, if the client can take them.
    pub(crate) fn begin<B>(&self, request: &mut Request<B>) -> Turn {
        let mut state = self.state();
        state.turn += 1;
        // HTTP/1.0 knows no interim responses. Many requests write to a connection of HTTP/2 at
        // once.
        state.is_open = request.version() == Version::HTTP_11;
        state.is_clear = false;
        let turn = Turn { shared: self.clone(), number: state.turn };
        let upstream = turn.clone();
        on_informational(request, move |head| upstream.announce(head.status(), head.headers()));
        turn
    }
}

impl Turn {
    fn announce(&self, status: StatusCode, headers: &HeaderMap) {
        let mut headers = headers.clone();
        let mut state = self.shared.state();
        let is_late = state.turn != self.number || !state.is_open;
        // 100 answers the gateway, which sends bodies unasked; 101 is not passed on.
        if is_late || status.as_u16() < 102 {
            return;
        }
        end_to_end(&mut headers);
        remove_length(&mut headers, status);
        let mut head = format!("HTTP/1.1 {status}\r\n").into_bytes();
        for (name, value) in &headers {
            head.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        head.extend(b"\r\n");
        if state.waiting.len() + head.len() > MAX_WAITING {
            return;
        }
        state.waiting.extend_from_slice(&head);
        if let Some(task) = &state.task {
            task.wake_by_ref();
        }
    }

    /// Waits until what was announced is written. Nothing more is announced from then on.
    pub(crate) async fn end(self) {
        poll_fn(|_cx| {
            let mut state = self.shared.state();
            if state.waiting.is_empty() {
                state.is_open = false;
                return Poll::Ready(());
            }
            // Woken by the flush that writes it: this is polled by the task of the connection.
            Poll::Pending
        })
        .await;
    }
}

impl<T: AsyncWrite + Unpin> Interim<T> {
    /// Writes what waits, where it may be written.
    fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.shared.state();
        if !state.is_open || !state.is_clear || state.waiting.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while !state.waiting.is_empty() {
            match ready!(Pin::new(&mut self.io).poll_write(cx, &state.waiting))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => state.waiting.advance(written),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Interim<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Interim<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_waiting(cx))?;
        self.shared.state().is_clear = false;
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_waiting(cx))?;
        self.shared.state().is_clear = false;
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.shared.state();
        match &mut state.task {
            Some(task) => task.clone_from(cx.waker()),
            None => state.task = Some(cx.waker().clone()),
        }
        state.is_clear = true;
        drop(state);
        ready!(self.poll_waiting(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
