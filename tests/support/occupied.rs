//! A runtime that shows where work runs. Its only blocking thread is occupied, so work that needs
//! this thread does not end.

#![allow(dead_code)]

use std::{
    future::poll_fn,
    pin::pin,
    sync::mpsc::{self, Sender},
    task::Poll,
};

use tokio::runtime::{Builder, Runtime};

pub(crate) struct Occupied {
    // Dropped before the runtime, which waits for the thread.
    thread: Option<Sender<()>>,
    pub(crate) runtime: Runtime,
}

impl Occupied {
    pub(crate) fn new() -> Self {
        let runtime =
            Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
        let mut occupied = Self { thread: None, runtime };
        occupied.occupy();
        occupied
    }

    pub(crate) fn occupy(&mut self) {
        let (thread, end) = mpsc::channel::<()>();
        drop(self.runtime.spawn_blocking(move || {
            let _ended = end.recv();
        }));
        self.thread = Some(thread);
    }

    /// Lets the blocking thread finish its queue.
    pub(crate) fn free(&mut self) {
        self.thread = None;
        self.runtime.block_on(self.runtime.spawn_blocking(|| ())).unwrap();
    }

    /// Returns the result of `work` if it ends on the calling thread.
    pub(crate) fn in_place<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        self.runtime.block_on(poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending => Poll::Ready(None),
        }))
    }
}
