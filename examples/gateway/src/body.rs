//! The bodies that pass: of requests, [`ClientBody`]; of responses, [`Outgoing`].
//!
//! Both tell the client's [`Allowance`] when the gateway waits for the client.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use larder::BoxError;

use crate::{
    access::Line,
    allowance::{Allowance, InFlight, Wait},
    hop,
};

/// The body of a request.
pub(crate) struct ClientBody {
    body: Incoming,
    allowance: Allowance,
    /// Runs while a frame is awaited.
    wait: Option<Wait>,
    upload: Upload,
    unread: Unread,
}

/// The state of a request's body, for those who do not hold the body.
#[derive(Clone, Default)]
pub(crate) struct Upload(Arc<AtomicU8>);

/// Somebody waits for the next frame.
const AWAITED: u8 = 1;
const BROKEN: u8 = 2;
const TOO_SLOW: u8 = 3;

impl Upload {
    /// Whether somebody waits for the client to send more of it.
    pub(crate) fn is_awaited(&self) -> bool {
        self.0.load(Ordering::Relaxed) == AWAITED
    }

    /// Why it ended early, if it did.
    pub(crate) fn fault(&self) -> Option<UploadError> {
        match self.0.load(Ordering::Relaxed) {
            BROKEN => Some(UploadError::Broken(None)),
            TOO_SLOW => Some(UploadError::TooSlow),
            _ => None,
        }
    }
}

/// Whether a request on a connection was answered before its body had been read to its end.
#[derive(Clone, Default)]
pub(crate) struct Unread(Arc<AtomicBool>);

impl Unread {
    pub(crate) fn is_any(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The reason why a request's body ended early.
#[derive(Debug)]
pub(crate) enum UploadError {
    Broken(Option<hyper::Error>),
    TooSlow,
}

impl fmt::Display for UploadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Broken(_) => "the request's body is broken",
            Self::TooSlow => "the request's body comes too slowly",
        })
    }
}

impl Error for UploadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Broken(error) => error.as_ref().map(|error| error as &dyn Error),
            Self::TooSlow => None,
        }
    }
}

impl ClientBody {
    pub(crate) fn new(body: Incoming, allowance: Allowance, unread: Unread) -> Self {
        Self { body, allowance, wait: None, upload: Upload::default(), unread }
    }

    pub(crate) fn upload(&self) -> Upload {
        self.upload.clone()
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let this = self.get_mut();
        let note = |upload| this.upload.0.store(upload, Ordering::Relaxed);
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Pending if this.allowance.is_over() => {
                note(TOO_SLOW);
                Poll::Ready(Some(Err(UploadError::TooSlow)))
            }
            Poll::Pending => {
                this.wait.get_or_insert_with(|| this.allowance.wait()).wake(cx.waker());
                note(AWAITED);
                Poll::Pending
            }
            Poll::Ready(frame) => {
                let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
                if let Some(wait) = this.wait.take() {
                    wait.end(data.map_or(0, Bytes::len));
                }
                note(if matches!(frame, Some(Err(_))) { BROKEN } else { 0 });
                let broken = |error| UploadError::Broken(Some(error));
                Poll::Ready(frame.map(|frame| frame.map(without_claims).map_err(broken)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A frame whose trailers have only fields that a client may bring.
fn without_claims(frame: Frame<Bytes>) -> Frame<Bytes> {
    frame.into_trailers().map_or_else(
        |data| data,
        |mut trailers: HeaderMap| {
            hop::prepare_trailers(&mut trailers);
            Frame::trailers(trailers)
        },
    )
}

impl Drop for ClientBody {
    fn drop(&mut self) {
        if !self.body.is_end_stream() {
            self.unread.0.store(true, Ordering::Relaxed);
        }
    }
}

/// A part of a response's body that the client is given at once, at most.
///
/// A client gets time for each part that it has taken whole, so a part is small.
const PART: usize = 16 * 1024;

/// The body of a response.
pub(crate) struct Outgoing<B> {
    body: B,
    /// The rest of the last frame.
    rest: Bytes,
    line: Line,
    request: Arc<InFlight>,
}

impl<B> Outgoing<B> {
    pub(crate) fn new(body: B, line: Line, request: InFlight) -> Self {
        Self { body, rest: Bytes::new(), line, request: Arc::new(request) }
    }

    fn part(&mut self) -> Frame<Bytes> {
        let bytes = self.rest.split_to(self.rest.len().min(PART));
        let wait = Some(self.request.allowance().wait());
        let part = Part { bytes, wait, _request: self.request.clone() };
        Frame::data(Bytes::from_owner(part))
    }
}

impl<B: Body<Data = Bytes, Error = BoxError> + Unpin> Body for Outgoing<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if !this.rest.is_empty() {
            return Poll::Ready(Some(Ok(this.part())));
        }
        Pin::new(&mut this.body).poll_frame(cx).map_ok(|frame| {
            this.line.count(&frame);
            match frame.into_data() {
                Ok(data) if !data.is_empty() => {
                    this.rest = data;
                    this.part()
                }
                Ok(data) => Frame::data(data),
                Err(frame) => frame,
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (mut hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint.set_lower(hint.lower().saturating_add(rest));
        hint
    }
}

/// Bytes that are on their way to the client. hyper drops them when they are written.
struct Part {
    bytes: Bytes,
    wait: Option<Wait>,
    _request: Arc<InFlight>,
}

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if let Some(wait) = self.wait.take() {
            wait.end(self.bytes.len());
        }
    }
}
