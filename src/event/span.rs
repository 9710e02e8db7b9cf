//! The span of a call (feature `tracing`). It is entered whenever the call is polled, and when the
//! call is dropped before its end, so that everything that the inner service and destructors do
//! lies within the span. Without the feature, this file compiles to nothing.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use super::observer::Observer;

pin_project! {
    /// A future in a span of its own.
    #[derive(Debug)]
    pub(crate) struct Spanned<F> {
        // Set to `None` at the end. A drop before that happens within the span, since destructors
        // log too.
        #[pin]
        inner: Option<F>,
        span: Span,
    }

    impl<F> PinnedDrop for Spanned<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.inner.is_some() {
                this.span.within(|| this.inner.set(None));
            }
        }
    }
}

impl<F: Future> Spanned<F> {
    /// The call of one request.
    pub(crate) fn call(observer: &Observer, inner: F) -> Self {
        Self { inner: Some(inner), span: Span::call(observer) }
    }

    /// A background refresh. It may outlive the request that began it, so its span follows from the
    /// span of that request.
    pub(crate) fn refresh(observer: &Observer, key: &crate::Key, inner: F) -> Self {
        Self { inner: Some(inner), span: Span::refresh(observer, key) }
    }
}

impl<F: Future> Future for Spanned<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        this.span.poll(|| {
            let Some(inner) = this.inner.as_mut().as_pin_mut() else {
                // The future has ended.
                return Poll::Pending;
            };
            let polled = inner.poll(cx);
            if polled.is_ready() {
                this.inner.set(None);
            }
            polled
        })
    }
}

#[cfg(feature = "tracing")]
use traced::Span;

#[cfg(feature = "tracing")]
mod traced {
    use std::{task::Poll, time::Duration};

    use tracing::field::Empty;

    use crate::event::{
        names::{Short, TARGET},
        observer::Observer,
        store_time,
    };

    #[derive(Debug)]
    pub(super) struct Span {
        span: tracing::Span,
        store_time: Duration,
    }

    impl Span {
        pub(super) fn call(observer: &Observer) -> Self {
            let span = tracing::debug_span!(
                target: TARGET,
                "larder.call",
                cache.name = observer.name(),
                cache.key = Empty,
                cache.outcome = Empty,
                cache.reason = Empty,
                cache.age_ms = Empty,
                cache.stored = Empty,
                cache.store_us = Empty,
            );
            Self { span, store_time: Duration::ZERO }
        }

        pub(super) fn refresh(observer: &Observer, key: &crate::Key) -> Self {
            let span = tracing::debug_span!(
                target: TARGET,
                parent: None,
                "larder.refresh",
                cache.name = observer.name(),
                cache.key = %Short(*key),
                cache.store_us = Empty,
            );
            span.follows_from(tracing::Span::current());
            Self { span, store_time: Duration::ZERO }
        }

        pub(super) fn within(&self, end: impl FnOnce()) {
            self.span.in_scope(end);
        }

        pub(super) fn poll<T>(&mut self, poll: impl FnOnce() -> Poll<T>) -> Poll<T> {
            if self.span.is_disabled() {
                return poll();
            }
            let _entered = self.span.enter();
            // The inner service may contain another cache, whose store time is its own.
            let around = store_time::replace(self.store_time);
            let polled = poll();
            self.store_time = store_time::replace(around);
            if polled.is_ready() {
                let micros = u64::try_from(self.store_time.as_micros()).unwrap_or(u64::MAX);
                self.span.record("cache.store_us", micros);
            }
            polled
        }
    }
}

#[cfg(not(feature = "tracing"))]
#[derive(Debug)]
struct Span;

#[cfg(not(feature = "tracing"))]
impl Span {
    fn call(_: &Observer) -> Self {
        Self
    }

    fn refresh(_: &Observer, _: &crate::Key) -> Self {
        Self
    }

    fn within(&self, end: impl FnOnce()) {
        end();
    }

    fn poll<T>(&mut self, poll: impl FnOnce() -> Poll<T>) -> Poll<T> {
        poll()
    }
}
