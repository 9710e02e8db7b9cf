//! [`Tape`]: the folder of a cassette, and how far its equal requests have come.

use std::{
    collections::{BTreeSet, HashMap},
    future::poll_fn,
    path::PathBuf,
    pin::pin,
};

use futures_core::Stream;
use tokio::sync::Mutex;

use super::{NAME, exchange::Exchange, mode::Mode};
use crate::{
    cache::Recorder,
    key::Key,
    store::{Error, ErrorKind, Files, Result, Scanned, Store},
};

/// What the clones of a cassette share.
#[derive(Debug)]
pub(super) struct Tape {
    pub(super) recorder: Recorder<Files>,
    /// It is locked while old recordings are removed.
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// By the key of the first of equal requests.
    requests: HashMap<Key, Count>,
    /// The numbers that an earlier run has recorded, of any request. `None` until they are needed.
    earlier: Option<BTreeSet<u32>>,
}

/// How far equal requests have come.
#[derive(Debug, Default)]
struct Count {
    sent: u32,
    /// Whether the recordings of an earlier run are removed.
    is_cleared: bool,
}

impl Tape {
    pub(super) fn open(path: PathBuf, mode: Mode) -> Result<Self> {
        let is_read_only = mode == Mode::Replay;
        if is_read_only && !path.is_dir() {
            let message = format!(
                "there is no folder {}; record it first, with Cassette::record, or with \
                 LARDER_CASSETTE=record if the test uses Cassette::record_or_replay",
                path.display()
            );
            return Err(Error::new(ErrorKind::Unavailable, NAME, message));
        }
        let files = Files::builder(path).max_bytes(u64::MAX).read_only(is_read_only).open()?;
        Ok(Self { recorder: Recorder::new(files, NAME), counts: Mutex::default() })
    }

    /// The number of this request among equal ones, counted from 1.
    pub(super) async fn number(&self, exchange: &Exchange) -> u32 {
        let mut counts = self.counts.lock().await;
        let count = counts.requests.entry(exchange.key(1)).or_default();
        count.sent = count.sent.saturating_add(1);
        count.sent
    }

    /// Removes what an earlier run has recorded of equal requests: there may be fewer of them this
    /// time, or others that fail. To be called when a response has arrived, before it is recorded:
    /// the first call removes all, apart from the recording that the response replaces.
    pub(super) async fn remove_earlier(&self, exchange: &Exchange, number: u32) -> Result<()> {
        let mut counts = self.counts.lock().await;
        let Counts { requests, earlier } = &mut *counts;
        let count = requests.entry(exchange.key(1)).or_default();
        if count.is_cleared {
            return Ok(());
        }
        if earlier.is_none() {
            let mut numbers = BTreeSet::new();
            each_recorded(self.recorder.store(), |_, number| {
                numbers.insert(number);
            })
            .await;
            *earlier = Some(numbers);
        }
        for other in earlier.iter().flatten().filter(|other| **other != number) {
            self.recorder.remove(&exchange.key(*other)).await?;
        }
        count.is_cleared = true;
        Ok(())
    }
}

/// Calls `each` with the key and the number of every recorded exchange that can be read.
pub(super) async fn each_recorded(files: &Files, mut each: impl FnMut(Key, u32)) {
    let mut scan = pin!(files.scan());
    while let Some(scanned) = poll_fn(|cx| scan.as_mut().poll_next(cx)).await {
        if let Ok(Scanned { key, head, .. }) = scanned
            && let Some(recorded) = head.recorded()
        {
            each(key, recorded.number);
        }
    }
}
