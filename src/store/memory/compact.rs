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
pub(super) fn map(mut map: HeaderMap) -> HeaderMap {
    // A map that has grown has room for twice its lines.
    if map.capacity() > 2 * map.keys_len() + 8 {
        map = resized(&map).unwrap_or(map);
    }
    let mut values = Vec::with_capacity(map.values().map(HeaderValue::len).sum());
    map.values_mut().for_each(|value| values.extend_from_slice(value.as_bytes()));
    let mut values = exact(values.into());
    for value in map.values_mut() {
        let bytes = values.split_to(value.len());
        if let Ok(mut copy) = HeaderValue::from_maybe_shared(bytes) {
            copy.set_sensitive(value.is_sensitive());
            *value = copy;
        }
    }
    map
}

/// The same lines in a map of their size. The copy cannot exceed a limit that the original kept.
fn resized(map: &HeaderMap) -> Result<HeaderMap, MaxSizeReached> {
    let mut resized = HeaderMap::try_with_capacity(map.keys_len())?;
    for (name, value) in map {
        resized.try_append(name, value.clone())?;
    }
    Ok(resized)
}
