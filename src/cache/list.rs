//! The list of variants under a primary key: the names of the request headers that select one.
//!
//! Several calls may write it at the same time, in this process and in others, so it is changed by
//! compare and swap. A list whose names are not all among the new ones is left as it is: requests go
//! by its names, and would not find the new variant.

use super::share::put_head;
use crate::{
    entry::Head,
    event::{Observer, StoreOperation},
    key::Key,
    store::{Hit, Result, Store},
    time::Timestamp,
};

/// How often it is tried, while others change the list.
const TRIES: usize = 8;

/// The list of variants that leads to a new one.
#[derive(Clone, Debug)]
pub(crate) struct Listing {
    /// Where the list lies.
    pub(crate) primary: Key,
    /// The list, which lives as long as the new variant.
    pub(crate) head: Head,
}

impl Listing {
    /// Whether requests that go by `there` find the new variant.
    pub(crate) fn is_found_by(&self, there: &Head) -> bool {
        let names = self.head.variant_names().unwrap_or_default();
        there.variant_names().is_none_or(|there| there.iter().all(|name| names.contains(name)))
    }

    /// The list to put in the place of `there`; `None` where `there` leads to the new variant for
    /// long enough.
    fn over(&self, there: &Head) -> Option<Head> {
        let ends = (
            later(there.expires_at(), self.head.expires_at()),
            later(there.keep_until(), self.head.keep_until()),
        );
        let is_said = there.variant_names() == self.head.variant_names()
            && ends == (there.expires_at(), there.keep_until());
        (!is_said).then(|| self.head.clone().with_expires_at(ends.0).with_keep_until(ends.1))
    }

    /// Writes the list, unless `there`, which lies in its place, leads to the variant.
    pub(crate) async fn lay<B: Store>(
        self,
        store: &B,
        observer: &Observer,
        mut there: Option<Hit>,
    ) -> Result<()> {
        for _ in 0..TRIES {
            let Some(hit) = there.take_if(|hit| hit.head.variant_names().is_some()) else { break };
            if !self.is_found_by(&hit.head) {
                return Ok(());
            }
            let Some(head) = self.over(&hit.head) else { return Ok(()) };
            let update = store.update(&self.primary, hit.version, head);
            if observer.asked(StoreOperation::Update, &self.primary, update).await? {
                return Ok(());
            }
            let get = store.get(&self.primary);
            there = observer.asked(StoreOperation::Get, &self.primary, get).await?;
        }
        let is_list = |hit: &Hit| hit.head.variant_names().is_some();
        if there.is_some_and(|hit| is_list(&hit) && !self.is_found_by(&hit.head)) {
            return Ok(());
        }
        put_head(store, observer, &self.primary, self.head).await
    }
}

/// The later of two ends, of which `None` is never.
pub(crate) fn later(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    Some(one?.max(other?))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, Method, header};

    use super::*;

    fn at(secs: u64) -> Option<Timestamp> {
        Some(Timestamp::from_millis(secs * 1000))
    }

    fn head(names: &[HeaderName], ends_at: Option<Timestamp>) -> Head {
        Head::variants(Method::GET, "http://a/", names.to_vec(), Timestamp::MIN)
            .with_expires_at(ends_at)
    }

    fn listing(names: &[HeaderName], ends_at: Option<Timestamp>) -> Listing {
        Listing { primary: Key::digest("primary"), head: head(names, ends_at) }
    }

    #[test]
    fn the_list_lives_as_long_as_the_longest_lived() {
        let names = [header::ACCEPT];
        for (there, own, expected) in
            [(at(5), at(9), at(9)), (at(9), at(5), at(9)), (None, at(5), None), (at(5), None, None)]
        {
            let over = listing(&names, own).over(&head(&names, there));
            let ends_at = over.map_or(there, |head| head.expires_at());
            assert_eq!(ends_at, expected);
        }
        for (there, own) in [(at(9), at(9)), (at(9), at(5)), (None, at(5)), (None, None)] {
            let over = listing(&names, own).over(&head(&names, there));
            assert_eq!(over, None, "nothing has to be written");
        }
    }

    #[test]
    fn with_other_names_the_keys_are_others() {
        let (few, many) = ([header::ACCEPT], [header::ACCEPT, header::ORIGIN]);
        let there = head(&few, at(5));
        let own = listing(&many, at(5));
        assert!(own.is_found_by(&there));
        assert_eq!(own.over(&there), Some(head(&many, at(5))));
        assert!(!listing(&few, at(5)).is_found_by(&head(&many, at(5))));
    }
}
