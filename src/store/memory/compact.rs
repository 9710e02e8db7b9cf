//! Heads in memory of their own. A header value from the network is a slice of the connection's
//! read buffer: a value of ten bytes would keep ten or a hundred kilobytes alive that nobody
//! counts.

use http::{HeaderMap, HeaderValue, header::MaxSizeReached};

use super::body::exact;
use crate::entry::Head;

/// Returns the same head without the memory that it arrived in.
pub(super) fn compact(head: Head) -> Head {
    head.map_fields(map)
}

/// Returns the same lines in the same order, with all values in one allocation.
pub(super) fn map(map: &HeaderMap) -> HeaderMap {
    // The copy cannot exceed a limit that the original map kept.
    rebuild(map).unwrap_or_else(|_| map.clone())
}

fn rebuild(map: &HeaderMap) -> Result<HeaderMap, MaxSizeReached> {
    let mut values = Vec::with_capacity(map.values().map(HeaderValue::len).sum());
    map.values().for_each(|value| values.extend_from_slice(value.as_bytes()));
    let mut values = exact(values.into());
    let mut rebuilt = HeaderMap::try_with_capacity(map.keys_len())?;
    for (name, value) in map {
        let bytes = values.split_to(value.len());
        let mut copy = HeaderValue::from_maybe_shared(bytes).unwrap_or_else(|_| value.clone());
        copy.set_sensitive(value.is_sensitive());
        rebuilt.try_append(name, copy)?;
    }
    Ok(rebuilt)
}
