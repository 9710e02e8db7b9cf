//! [`Tape`]: the folder of a cassette, and how far its equal requests have come.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    future::poll_fn,
    path::{Path, PathBuf},
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
    /// What an earlier run has recorded, of any request. `None` until it is needed.
    earlier: Option<Earlier>,
}

/// The keys and the numbers of recorded exchanges.
#[derive(Debug, Default)]
struct Earlier {
    keys: HashSet<Key>,
    numbers: BTreeSet<u32>,
}

/// How far equal requests have come.
#[derive(Debug, Default)]
struct Count {
    sent: u32,
    /// Whether the recordings of an earlier run are removed.
    is_cleared: bool,
}

impl Earlier {
    /// The keys of the recorded requests that are equal to this one, apart from the one of this
    /// number.
    fn of(&self, exchange: &Exchange, number: u32) -> impl Iterator<Item = Key> {
        let others = self.numbers.iter().filter(move |other| **other != number);
        others.map(|other| exchange.key(*other)).filter(|key| self.keys.contains(key))
    }
}

impl Tape {
    pub(super) fn open(path: PathBuf, mode: Mode) -> Result<Self> {
        let is_read_only = mode == Mode::Replay;
        // Opening says what is wrong with an empty path.
        if is_read_only && !path.is_dir() && !path.as_os_str().is_empty() {
            let message = format!(
                "there is no folder {}; record it first, with Cassette::record, or with \
                 LARDER_CASSETTE=record if the test uses Cassette::record_or_replay",
                path.display()
            );
            return Err(Error::new(ErrorKind::Unavailable, NAME, message));
        }
        let files = Files::builder(path).max_bytes(u64::MAX).read_only(is_read_only).open()?;
        // What cannot be read would count as not recorded, and the real server would be called.
        files.check_heads().map_err(|error| unreadable(files.path(), error))?;
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
            let mut found = Earlier::default();
            each_recorded(self.recorder.store(), |key, number| {
                found.keys.insert(key);
                found.numbers.insert(number);
            })
            .await;
            *earlier = Some(found);
        }
        for key in earlier.iter().flat_map(|earlier| earlier.of(exchange, number)) {
            self.recorder.remove(&key).await?;
        }
        count.is_cleared = true;
        Ok(())
    }
}

/// The error for a folder with a head that cannot be read.
fn unreadable(folder: &Path, error: Error) -> Error {
    let message =
        format!("the cassette {} has a recording that cannot be read: {error}", folder.display());
    Error::new(error.kind(), NAME, message).with_source(error)
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

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::{cache::ReadBody, key::Recipe};

    /// A request that was recorded a thousand times must not make a thousand removals of each
    /// other one.
    #[test]
    fn only_what_an_earlier_run_has_recorded_is_removed() {
        let exchange = |url: &str| {
            let (parts, ()) = Request::get(url).body(()).unwrap().into_parts();
            Exchange::new(&Recipe::default(), &parts, ReadBody::default()).unwrap()
        };
        let (often, twice) = (exchange("http://a/often"), exchange("http://a/twice"));
        let mut earlier = Earlier { numbers: (1..=1_000).collect(), ..Earlier::default() };
        earlier.keys.extend((1..=1_000).map(|number| often.key(number)));
        earlier.keys.extend([twice.key(1), twice.key(3)]);
        assert_eq!(earlier.of(&twice, 1).collect::<Vec<_>>(), [twice.key(3)]);
        assert_eq!(earlier.of(&twice, 2).count(), 2);
        assert_eq!(earlier.of(&often, 7).count(), 999);
        assert_eq!(earlier.of(&exchange("http://a/new"), 1).count(), 0);
    }
}
