//! [`Tape`]: the folder of a cassette, and how far its equal requests have come.

use std::{collections::HashMap, path::PathBuf};

use tokio::sync::Mutex;

use super::{NAME, exchange::Exchange, mode::Mode};
use crate::{
    cache::Recorder,
    key::Key,
    store::{Error, ErrorKind, Files, Result},
};

/// What the clones of a cassette share.
#[derive(Debug)]
pub(super) struct Tape {
    pub(super) recorder: Recorder<Files>,
    /// How many requests with each key there were. It is locked while old recordings are removed.
    counts: Mutex<HashMap<Key, u32>>,
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

    /// The number of this request among equal ones, counted from 1. In a recording that replaces
    /// what is there, the first one removes the responses to later ones: there may be fewer of them
    /// this time.
    pub(super) async fn number(&self, exchange: &Exchange, mode: Mode) -> Result<u32> {
        let mut counts = self.counts.lock().await;
        let count = counts.entry(exchange.key(1)).or_default();
        *count = count.saturating_add(1);
        let number = *count;
        if mode == Mode::Record && number == 1 {
            let mut later = 2;
            while self.recorder.remove(&exchange.key(later)).await? {
                later += 1;
            }
        }
        Ok(number)
    }
}
