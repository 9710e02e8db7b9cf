//! Scans: every entry's head, page by page. Each page is read on its own, so that a slow reader
//! blocks nothing.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_core::Stream;
use rusqlite::{Row, params};

use super::{
    change::{Raw, place},
    fault,
    inner::Inner,
    read::decode,
    schema::key_of,
    shared::Shared,
    task::off,
};
use crate::store::{Result, Scanned, Version, embedded::Task};

/// How many entries are listed at a time, and at most how many bytes of heads.
const PAGE: usize = 256;
const PAGE_BYTES: usize = 1 << 20;

/// The entries in the order in which they were added. A replaced or updated entry keeps its place.
pub(super) struct Scan {
    inner: Arc<Inner>,
    ready: VecDeque<Result<Scanned>>,
    ahead: Option<Task<Page>>,
    after: Option<i64>,
}

/// The entry after which the next page begins, and the current page.
type Page = (Option<i64>, VecDeque<Result<Scanned>>);

impl Scan {
    pub(super) fn new(inner: Arc<Inner>) -> Self {
        Self { inner, ready: VecDeque::new(), ahead: None, after: Some(i64::MIN) }
    }
}

impl Stream for Scan {
    type Item = Result<Scanned>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(item) = this.ready.pop_front() {
                return Poll::Ready(Some(item));
            }
            if let Some(after) = this.after.take() {
                this.ahead = Some(off(&this.inner.shared, move |shared| page(shared, after)));
            }
            let Some(ahead) = &mut this.ahead else { return Poll::Ready(None) };
            let result = ready!(Pin::new(ahead).poll(cx));
            this.ahead = None;
            match result {
                Ok((after, ready)) => (this.after, this.ready) = (after, ready),
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }
}

fn page(shared: &Shared, after: i64) -> Result<Page> {
    let link = shared.link()?;
    let page = link.patiently(|conn| {
        let mut select = conn.prepare_cached(
            "SELECT id, key, version, checksum, head, body, body_bytes, content_checksum
             FROM entries WHERE id > ?1 ORDER BY id LIMIT ?2",
        )?;
        let mut rows = select.query(params![after, PAGE])?;
        let (mut items, mut bytes) = (VecDeque::new(), 0);
        while let Some(row) = rows.next()? {
            let id = row.get(0)?;
            let item = scanned(row);
            bytes += item.as_ref().map_or(0, |item| item.head.size());
            items.push_back(item);
            if items.len() == PAGE || bytes >= PAGE_BYTES {
                return Ok((Some(id), items));
            }
        }
        Ok((None, items))
    });
    page.map_err(|error| shared.read_fault(error))
}

fn scanned(row: &Row<'_>) -> Result<Scanned> {
    let columns = || -> Raw<_> {
        let key = row.get_ref(1)?.as_blob()?;
        let head = Bytes::copy_from_slice(row.get_ref(4)?.as_blob()?);
        Ok((key_of(key), row.get::<_, i64>(2)?, row.get::<_, u32>(3)?, head, place(row, 5)?))
    };
    let damaged = || fault::corrupt("an entry has a row that does not decode");
    let (key, version, checksum, head, place) =
        columns().map_err(|error| damaged().with_source(error))?;
    let key = key.ok_or_else(damaged)?;
    let head = decode(&key, checksum, &place, head)?;
    Ok(Scanned::new(key, Version::new(version as u64), Arc::new(head)))
}
