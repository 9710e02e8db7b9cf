//! Scans: every entry's head, page by page. Each page is read on its own, so that a slow reader
//! blocks nothing.

use std::{collections::VecDeque, sync::Arc};

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
use crate::store::{
    Result, Scanned, Version,
    embedded::{PAGE, PAGE_BYTES, Page, ReadAhead},
};

/// The entries in the order in which they were added. A replaced or updated entry keeps its place.
pub(super) fn scan(inner: Arc<Inner>) -> impl Stream<Item = Result<Scanned>> {
    let read = move |after| off(&inner.shared, move |shared| page(shared, after));
    ReadAhead::new(VecDeque::new(), i64::MIN, read)
}

/// Returns the entry after which the next page begins, and the page.
fn page(shared: &Shared, after: i64) -> Result<Page<i64, Scanned>> {
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
