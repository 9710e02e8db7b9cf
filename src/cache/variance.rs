//! Which responses a primary key leads to.
//!
//! A response that does not vary lies under the primary key. Where responses vary, a [`Record`]
//! lies there: the names of the request headers that select a variant. Each variant lies under a
//! key made of the primary key, those names, and the request's values (RFC 9111 §4.1).
//!
//! Several calls may write the record at the same time, in this process and in others, so it is
//! changed by compare and swap. A record whose names are not all among the new ones is left as it
//! is: requests go by its names, and would not find the new variant.

use crate::{
    cache::handle::{Handle, later},
    entry::Head,
    key::Key,
    store::{Hit, Result, Store},
};

/// How often a write is tried while others change the record.
const TRIES: usize = 8;

/// The record that leads to a new variant.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) primary: Key,
    /// Expires with the longest-lived variant.
    pub(crate) head: Head,
}

impl Record {
    /// Whether requests that go by the `stored` record find the new variant.
    pub(crate) fn is_found_by(&self, stored: &Head) -> bool {
        let names = self.head.variant_names().unwrap_or_default();
        stored.variant_names().is_none_or(|stored| stored.iter().all(|name| names.contains(name)))
    }

    /// The record that replaces the `stored` one. `None` if that one leads to the new variant for
    /// long enough.
    fn merge(&self, stored: &Head) -> Option<Head> {
        let ends = (
            later(stored.expires_at(), self.head.expires_at()),
            later(stored.keep_until(), self.head.keep_until()),
        );
        let says_so = stored.variant_names() == self.head.variant_names()
            && ends == (stored.expires_at(), stored.keep_until());
        (!says_so).then(|| self.head.clone().with_expires_at(ends.0).with_keep_until(ends.1))
    }

    /// Reads the record under the primary key.
    pub(crate) async fn stored<B: Store>(&self, handle: &Handle<B>) -> Option<Hit> {
        let hit = handle.get(&self.primary).await.ok()?;
        hit.filter(|hit| hit.head.variant_names().is_some())
    }

    /// Writes the record, unless the `stored` one leads to the variant, or selects by a name that
    /// this one lacks.
    pub(crate) async fn write<B: Store>(
        self,
        handle: &Handle<B>,
        mut stored: Option<Hit>,
    ) -> Result<()> {
        let is_record = |hit: &Hit| hit.head.variant_names().is_some();
        for _ in 0..TRIES {
            let Some(hit) = stored.take_if(|hit| is_record(hit)) else { break };
            if !self.is_found_by(&hit.head) {
                return Ok(());
            }
            let Some(head) = self.merge(&hit.head) else { return Ok(()) };
            if handle.update(&self.primary, hit.version, head).await? {
                return Ok(());
            }
            stored = handle.get(&self.primary).await?;
        }
        if stored.is_some_and(|hit| is_record(&hit) && !self.is_found_by(&hit.head)) {
            return Ok(());
        }
        handle.put_head(&self.primary, self.head).await
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, Method, header};

    use super::*;
    use crate::time::Timestamp;

    fn at(secs: u64) -> Option<Timestamp> {
        Some(Timestamp::from_millis(secs * 1000))
    }

    fn head(names: &[HeaderName], ends_at: Option<Timestamp>) -> Head {
        Head::variants(Method::GET, "http://a/", names.to_vec(), Timestamp::MIN)
            .with_expires_at(ends_at)
    }

    fn record(names: &[HeaderName], ends_at: Option<Timestamp>) -> Record {
        Record { primary: Key::digest("primary"), head: head(names, ends_at) }
    }

    #[test]
    fn a_record_expires_with_the_longest_lived_variant() {
        let names = [header::ACCEPT];
        for (stored, own, expected) in
            [(at(5), at(9), at(9)), (at(9), at(5), at(9)), (None, at(5), None), (at(5), None, None)]
        {
            let merged = record(&names, own).merge(&head(&names, stored));
            let ends_at = merged.map_or(stored, |head| head.expires_at());
            assert_eq!(ends_at, expected);
        }
        for (stored, own) in [(at(9), at(9)), (at(9), at(5)), (None, at(5)), (None, None)] {
            let merged = record(&names, own).merge(&head(&names, stored));
            assert_eq!(merged, None, "nothing has to be written");
        }
    }

    #[test]
    fn a_record_with_fewer_names_is_not_replaced() {
        let (few, many) = ([header::ACCEPT], [header::ACCEPT, header::ORIGIN]);
        let stored = head(&few, at(5));
        let own = record(&many, at(5));
        assert!(own.is_found_by(&stored));
        assert_eq!(own.merge(&stored), Some(head(&many, at(5))));
        assert!(!record(&few, at(5)).is_found_by(&head(&many, at(5))));
    }
}
