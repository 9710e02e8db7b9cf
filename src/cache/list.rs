//! The list of variants under a primary key: what an entry that lies below it has to have said there.
//!
//! Several may say something at the same time, in this process and in others, so that it is told by compare and swap, and
//! each tells of its own variant alone. What the list says besides is left as it is; what it does not say any more,
//! because it was removed or evicted, is not added again.

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

/// What a list of variants has to say.
#[derive(Clone, Debug)]
pub(crate) struct Listing {
    /// Where the list lies.
    pub(crate) primary: Key,
    /// The list, with what is known of the one variant, and nothing of others.
    pub(crate) head: Head,
    /// The variant that it is about.
    pub(crate) about: Key,
}

impl Listing {
    /// Whether requests that go by `there` find the variant that this is about.
    pub(crate) fn is_found_by(&self, there: &Head) -> bool {
        let names = self.head.variant_names().unwrap_or_default();
        there.variant_names().is_none_or(|there| there.iter().all(|name| names.contains(name)))
    }

    /// What `there` becomes with it; `None` where it says as much.
    fn over(&self, there: &Head) -> Option<Head> {
        let (own, known) = (self.head.list()?, there.list()?);
        let mut list = if own.names == known.names { known.clone() } else { own.clone() };
        list.tell(&self.about, own.of(&self.about).cloned());
        let ends = (
            later(there.expires_at(), self.head.expires_at()),
            later(there.keep_until(), self.head.keep_until()),
        );
        let is_said = list == *known && ends == (there.expires_at(), there.keep_until());
        (!is_said).then(|| {
            let head = self.head.clone().with_list(list);
            head.with_expires_at(ends.0).with_keep_until(ends.1)
        })
    }

    /// Sees to it that the list says so. `there` is what lies in its place, as far as that is known.
    pub(crate) async fn lay<B: Store>(
        self,
        store: &B,
        observer: &Observer,
        mut there: Option<Hit>,
    ) -> Result<()> {
        for _ in 0..TRIES {
            let Some(hit) = there.take_if(|hit| hit.head.list().is_some()) else { break };
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
        if there.is_some_and(|hit| hit.head.list().is_some() && !self.is_found_by(&hit.head)) {
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
    use crate::entry::{Variant, Variants};

    fn at(secs: u64) -> Option<Timestamp> {
        Some(Timestamp::from_millis(secs * 1000))
    }

    fn head(names: &[HeaderName], known: &[(u8, &str)], ends_at: Option<Timestamp>) -> Head {
        let known = known.iter().map(|(n, tag)| {
            let key = Key::digest([*n]);
            Variant::new(key, key, tag.as_bytes()).unwrap()
        });
        let list = Variants::new(names.to_vec()).with_known(known);
        Head::variants(Method::GET, "http://a/", names.to_vec(), Timestamp::MIN)
            .with_list(list)
            .with_expires_at(ends_at)
    }

    fn listing(names: &[HeaderName], known: &[(u8, &str)], ends_at: Option<Timestamp>) -> Listing {
        let head = head(names, known, ends_at);
        Listing { primary: Key::digest("primary"), head, about: Key::digest([1]) }
    }

    #[test]
    fn each_tells_of_its_own_variant_alone() {
        let names = [header::ACCEPT];
        let there = head(&names, &[(1, "\"a\""), (2, "\"b\"")], at(5));
        let over = |known| listing(&names, known, at(5)).over(&there);
        assert_eq!(over(&[(1, "\"a\"")]), None, "it is known");
        let expected = head(&names, &[(2, "\"b\""), (1, "\"c\"")], at(5));
        assert_eq!(over(&[(1, "\"c\"")]), Some(expected));
        assert_eq!(over(&[]), Some(head(&names, &[(2, "\"b\"")], at(5))), "it has no tag any more");
    }

    #[test]
    fn the_list_lives_as_long_as_the_longest_lived() {
        let names = [header::ACCEPT];
        for (there, own, expected) in
            [(at(5), at(9), at(9)), (at(9), at(5), at(9)), (None, at(5), None), (at(5), None, None)]
        {
            let over = listing(&names, &[(1, "\"a\"")], own).over(&head(&names, &[], there));
            assert_eq!(over.map(|head| head.expires_at()), Some(expected));
        }
    }

    #[test]
    fn with_other_names_the_keys_are_others() {
        let (few, many) = ([header::ACCEPT], [header::ACCEPT, header::ORIGIN]);
        let there = head(&few, &[(2, "\"b\"")], at(5));
        let own = listing(&many, &[(1, "\"a\"")], at(5));
        assert!(own.is_found_by(&there));
        assert_eq!(own.over(&there), Some(head(&many, &[(1, "\"a\"")], at(5))));
        assert!(!listing(&few, &[], at(5)).is_found_by(&head(&many, &[], at(5))));
    }
}
