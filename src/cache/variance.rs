//! Where the variants of a response are stored (RFC 9111 §4.1).
//!
//! Most responses vary, and most of them have one variant that is asked for. So the first response
//! under a primary key is stored under that very key, whether it varies or not. If it varies, it is
//! the [`Resident`]: its head has the names of the request headers that select it, and a digest of
//! their values. A request with these values finds it with one read.
//!
//! The other variants are stored beside the resident, under keys of their own. Such a key is made
//! of the primary key, the names and values, and the family of the resident, which is a random
//! number. A request with other values reads the resident first, for the names and the family, and
//! then the variant that it selects.
//!
//! So a variant can be found as long as the resident is there. When the resident is evicted,
//! removed, or replaced by one of another family, its variants are out of reach. They never come
//! back, because no later resident has the same family.
//!
//! The head of the resident says whether there are other variants, and the resident is kept as long
//! as they are. Before another variant is published, a [`ResidentUpdate`] changes that head by
//! compare and swap. The time is raised further than needed, so that few variants cost such a
//! write. A resident in flight cannot be changed in the store yet. Its call learns of the variants,
//! and the head is changed right after it is published.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::SystemTime,
};

use http::HeaderName;

use crate::{
    cache::handle::{Handle, later},
    entry::{Head, Others, Variance},
    key::Key,
    status::Progress,
    store::{Hit, Result, Store},
    time::Timestamp,
};

/// How often a resident's head is written while others change it.
const TRIES: usize = 8;

/// The response under a primary key, if it varies.
#[derive(Clone, Debug)]
pub(crate) struct Resident {
    pub(crate) head: Arc<Head>,
    /// Whether it is stored by now, if it was seen on its way into the store.
    pub(crate) in_flight: Option<Progress>,
}

/// The resident beside which a variant lies.
#[derive(Clone, Debug)]
pub(crate) struct ResidentId {
    pub(crate) primary: Key,
    pub(crate) family: u64,
    /// Whether it is stored by now, if it was seen on its way into the store.
    pub(crate) in_flight: Option<Progress>,
}

/// Where a response that varies is stored.
#[derive(Clone, Debug)]
pub(crate) enum Placement {
    /// Under the primary key: it becomes the resident.
    Resident(Variance),
    /// Beside this resident, under a key made with its family.
    Beside(ResidentId),
}

impl Resident {
    /// Whether the resident itself is still of use. It may be kept for its variants alone.
    pub(crate) fn is_kept_for_itself(&self, now: Timestamp) -> bool {
        self.head.own_keep_until().is_none_or(|end| now < end)
    }

    /// The request headers that select a variant.
    pub(crate) fn names(&self) -> &[HeaderName] {
        self.head.variance().map_or(&[], |variance| &variance.names)
    }

    /// Its family.
    pub(crate) fn family(&self) -> u64 {
        self.head.variance().map_or(0, |variance| variance.family)
    }

    /// The id by which a variant beside this resident refers to it.
    pub(crate) fn id(&self, primary: Key) -> ResidentId {
        ResidentId { primary, family: self.family(), in_flight: self.in_flight.clone() }
    }
}

impl Placement {
    /// Where to store a response that varies by `names`. `variant` is the key that these names make
    /// of its request.
    ///
    /// It becomes the resident in four cases: there is none, both are selected by the same request
    /// headers, the resident is kept for the others alone, or the response varies by more names. In
    /// all but the second case, it begins a family of its own: variants of the old one may be
    /// older, or lie under keys that miss a name.
    pub(crate) fn of(
        primary: &Key,
        resident: Option<&Resident>,
        names: &[HeaderName],
        variant: &Key,
        now: Timestamp,
    ) -> Self {
        let selector = selector(variant);
        let begin = || {
            let family = RandomState::new().hash_one(SystemTime::now());
            Self::Resident(Variance { names: names.into(), selector, family, others: None })
        };
        let Some(resident) = resident else { return begin() };
        match resident.head.variance() {
            Some(old) if *old.names != *names => begin(),
            Some(old) if old.selector == selector => Self::Resident(old.clone()),
            Some(_) if resident.is_kept_for_itself(now) => Self::Beside(resident.id(*primary)),
            _ => begin(),
        }
    }
}

/// The selector of the requests that select `variant`. A resident has the selector of its own
/// request.
pub(crate) fn selector(variant: &Key) -> [u8; Variance::SELECTOR] {
    let mut selector = [0; Variance::SELECTOR];
    selector.copy_from_slice(&variant.as_bytes()[..Variance::SELECTOR]);
    selector
}

/// A change of a resident's head, so that it leads to one more variant and is kept as long.
#[derive(Clone, Debug)]
pub(crate) struct ResidentUpdate {
    pub(crate) resident: ResidentId,
    /// Until when the variant is kept. `None` is forever.
    pub(crate) until: Option<Timestamp>,
    pub(crate) now: Timestamp,
}

impl ResidentUpdate {
    /// Changes the resident's head in the store. `false` if the resident is lost: no lookup would
    /// find the variant.
    pub(crate) async fn write<B: Store>(&self, handle: &Handle<B>) -> Result<bool> {
        let Self { resident: ResidentId { primary, family, in_flight }, until, now } = self;
        for _ in 0..TRIES {
            let Some(Hit { head, version, .. }) = handle.get(primary).await? else { break };
            if head.variance().is_none_or(|it| it.family != *family) {
                break;
            }
            let Some(head) = leading(&head, *until, *now) else { return Ok(true) };
            if handle.update(primary, version, head).await? {
                return Ok(true);
            }
        }
        // A resident in flight changes its head itself, once it is published.
        Ok(in_flight.as_ref().is_some_and(|progress| progress.get().is_none()))
    }
}

/// The resident's head, changed so that it leads to another variant, which is kept `until` then.
/// `None` if the head need not change.
fn leading(resident: &Head, until: Option<Timestamp>, now: Timestamp) -> Option<Head> {
    let known = resident.others();
    if known.is_some() && later(resident.keep_until(), until) == resident.keep_until() {
        return None;
    }
    // A little further than needed, so that the next variants cost no write.
    let until = until.map(|end| end.saturating_add(end.saturating_since(now) / 8));
    let until = known.map_or(until, |others| later(others.until, until));
    Some(resident.clone().with_others(Some(Others { until })))
}

#[cfg(test)]
mod tests {
    use http::{Method, Response, header};

    use super::*;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_millis(secs * 1000)
    }

    fn key(name: &str) -> Key {
        Key::digest(name)
    }

    /// A resident that is selected like `name`, and kept until then.
    fn resident(names: &[HeaderName], name: &str, until: Option<Timestamp>) -> Head {
        let parts = Response::new(()).into_parts().0;
        let (names, selector) = (names.into(), selector(&key(name)));
        Head::new(Method::GET, "http://a/", parts, Timestamp::MIN)
            .with_expires_at(until)
            .with_variance(Some(Variance { names, selector, family: 7, others: None }))
    }

    #[test]
    fn a_response_takes_the_residents_place_only_where_that_is_its_own_or_of_no_use() {
        let (few, many) = ([header::ACCEPT], [header::ACCEPT, header::ORIGIN]);
        let stored = |until| {
            let head = resident(&few, "de", until);
            Resident { head: head.into(), in_flight: None }
        };
        let place = |resident: Option<&Resident>, names: &[HeaderName], name| match Placement::of(
            &key("primary"),
            resident,
            names,
            &key(name),
            at(5),
        ) {
            Placement::Beside(resident) => (false, resident.family == 7),
            Placement::Resident(variance) => (true, variance.family == 7),
        };
        let (good, dead) = (stored(Some(at(6))), stored(Some(at(5))));
        assert_eq!(place(None, &few, "de"), (true, false));
        for resident in [&good, &dead, &stored(None)] {
            assert_eq!(place(Some(resident), &few, "de"), (true, true), "the same requests");
            assert_eq!(place(Some(resident), &many, "de"), (true, false), "more names");
        }
        assert_eq!(place(Some(&good), &few, "en"), (false, true));
        assert_eq!(place(Some(&stored(None)), &few, "en"), (false, true));
        assert_eq!(place(Some(&dead), &few, "en"), (true, false), "it has expired");
    }

    #[test]
    fn a_resident_is_kept_as_long_as_the_longest_lived_variant() {
        let names = [header::ACCEPT];
        for (own, until, expected) in [
            (Some(at(100)), Some(at(50)), Some(at(100))),
            (Some(at(50)), Some(at(90)), Some(at(100))),
            (Some(at(50)), None, None),
            (None, Some(at(90)), None),
        ] {
            let head = resident(&names, "de", own);
            let leading = leading(&head, until, at(10)).unwrap();
            assert_eq!(leading.keep_until(), expected);
            assert_eq!((leading.expires_at(), leading.own_keep_until()), (own, own));
            assert!(leading.is_same_response(&head) && leading != head);
        }
    }

    #[test]
    fn a_resident_is_written_in_steps() {
        let mut head = resident(&[header::ACCEPT], "de", Some(at(100)));
        let mut writes = 0;
        for second in 0..1_000 {
            // Each variant is kept for 100 s.
            if let Some(raised) = leading(&head, Some(at(second + 100)), at(second)) {
                (head, writes) = (raised, writes + 1);
            }
            assert!(head.keep_until() >= Some(at(second + 100)));
        }
        assert!(writes < 100, "{writes}");
    }
}
