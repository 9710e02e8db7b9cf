//! Bodies: whole, frame by frame, fed through a channel, and without the auto traits that most
//! have.

use std::{
    cell::Cell,
    future::{Future, poll_fn},
    marker::{PhantomData, PhantomPinned},
    pin::{Pin, pin},
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::stream;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use larder::BoxError;
use pin_project_lite::pin_project;
use tokio::{sync::mpsc, task::unconstrained};

pub(crate) type TestBody = UnsyncBoxBody<Bytes, BoxError>;

pub(crate) fn boxed<B>(body: B) -> TestBody
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    UnsyncBoxBody::new(body.map_err(Into::into))
}

pub(crate) fn full(body: impl Into<Bytes>) -> TestBody {
    boxed(Full::new(body.into()))
}

pub(crate) fn empty() -> TestBody {
    full("")
}

/// A body of these chunks, then these trailers or this error; its length is not known beforehand.
pub(crate) fn frames(
    chunks: impl IntoIterator<Item = &'static str, IntoIter: Send + 'static>,
    end: Option<Result<HeaderMap, BoxError>>,
) -> TestBody {
    let chunks = chunks.into_iter().map(|chunk| Ok(Frame::data(Bytes::from(chunk))));
    let end = end.map(|end| end.map(Frame::trailers));
    boxed(StreamBody::new(stream::iter(chunks.chain(end))))
}

// ===== Fed through a channel =====

/// Feeds a body; dropped, it ends it.
pub(crate) struct Sender(mpsc::UnboundedSender<Result<Frame<Bytes>, BoxError>>);

/// A body that gives what is sent, when it is sent.
pub(crate) fn channel() -> (Sender, TestBody) {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    // It is pending where nothing has been sent, and not because the runtime thinks that others
    // should have a turn.
    let body = stream::poll_fn(move |cx| pin!(unconstrained(receiver.recv())).poll(cx));
    (Sender(sender), boxed(StreamBody::new(body)))
}

impl Sender {
    pub(crate) fn send(&self, chunk: impl Into<Bytes>) {
        // The body may have been dropped meanwhile; some tests are about that.
        let _gone = self.0.send(Ok(Frame::data(chunk.into())));
    }

    pub(crate) fn fail(&self, error: impl Into<BoxError>) {
        let _gone = self.0.send(Err(error.into()));
    }

    /// Returns when the body has been dropped.
    pub(crate) async fn closed(&self) {
        self.0.closed().await;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

/// The next data frame of `body`.
pub(crate) async fn chunk<B>(body: &mut B) -> Option<Bytes>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let frame = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await?;
    Some(frame.map_err(Into::into).unwrap().into_data().expect("data, not trailers"))
}

// ===== Without auto traits =====

pin_project! {
    /// A body that must not be moved once it is pinned.
    pub(crate) struct NotUnpin {
        #[pin]
        body: TestBody,
        #[pin]
        pinned: PhantomPinned,
    }
}

/// A body that only one thread at a time may look at.
pub(crate) struct NotSync(TestBody, PhantomData<Cell<()>>);

impl NotUnpin {
    pub(crate) fn new(body: TestBody) -> Self {
        Self { body, pinned: PhantomPinned }
    }
}

impl NotSync {
    pub(crate) fn new(body: TestBody) -> Self {
        Self(body, PhantomData)
    }
}

impl Body for NotUnpin {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.project().body.poll_frame(cx)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Body for NotSync {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}
