//! Where the variants of a response lie.
//!
//! Most responses vary, and most of them have one variant that is asked for. The first response
//! that is stored under a primary key lies under that key, whether it varies or not: if it varies,
//! it is the [`Resident`], and its head has the names that select it and a digest of their values.
//! A request that it is the right variant for finds it with one read.
//!
//! The other variants lie beside it, under keys made of the primary key, the resident's family (a
//! random number), and the names and values (RFC 9111 §4.1). A lookup reads the resident first, and
//! then one of them. So a variant can be found as long as the resident is there. When the resident
//! is evicted, removed or replaced by one of another family, the others are forgotten and never come
//! back.
//!
//! The resident's head says whether there are others, and is kept as long as they are. A variant
//! that is stored changes it by compare and swap, before it is published. That costs a write now
//! and then: the time is raised further than needed. A resident that is on its way into the store
//! learns of the others from its call, and says so once it is published.

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
    store::{Hit, Result, Store, Version},
    time::Timestamp,
};

/// How often a write is tried while others change the resident.
const TRIES: usize = 8;

/// A response that varies, under its primary key.
#[derive(Clone, Debug)]
pub(crate) enum Resident {
    Stored(Arc<Head>, Version),
    /// It is on its way into the store.
    InFlight(Arc<Head>, Progress),
}

/// Where a response that varies belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// Under the primary key.
    Resident(Variance),
    /// Beside a resident of this family.
    Beside(u64),
}

impl Resident {
    pub(crate) fn head(&self) -> &Head {
        match self {
            Self::Stored(head, _) | Self::InFlight(head, _) => head,
        }
    }

    /// Whether the response itself may still be of use.
    pub(crate) fn is_of_use(&self, now: Timestamp) -> bool {
        self.head().own_keep_until().is_none_or(|end| now < end)
    }

    /// The request headers that select a variant.
    pub(crate) fn names(&self) -> &[HeaderName] {
        self.head().variance().map_or(&[], |variance| &variance.names)
    }

    /// Its family, if it is no plain response.
    pub(crate) fn family(&self) -> u64 {
        self.head().variance().map_or(0, |variance| variance.family)
    }
}

impl Slot {
    /// Where the response belongs that is selected by these names and by the `variant` key that
    /// they make.
    ///
    /// It takes the resident's place if it is selected by the same request headers, if the resident
    /// is of no more use, or if it varies by more names. In the last two cases it begins a family
    /// of its own: the other variants may be older, or lie under keys that miss a name.
    pub(crate) fn of(
        resident: Option<&Resident>,
        names: &[HeaderName],
        variant: &Key,
        now: Timestamp,
    ) -> Self {
        let selector = selector(variant);
        let begin = || {
            let family = RandomState::new().hash_one(SystemTime::now());
            Self::Resident(Variance { names: names.to_vec(), selector, family, others: None })
        };
        let Some(resident) = resident else { return begin() };
        match resident.head().variance() {
            Some(old) if old.names != names => begin(),
            Some(old) if old.selector == selector => Self::Resident(old.clone()),
            Some(old) if resident.is_of_use(now) => Self::Beside(old.family),
            _ => begin(),
        }
    }
}

/// What is compared to see whether a request selects a resident.
pub(crate) fn selector(variant: &Key) -> [u8; Variance::SELECTOR] {
    let mut selector = [0; Variance::SELECTOR];
    selector.copy_from_slice(&variant.as_bytes()[..Variance::SELECTOR]);
    selector
}

/// The resident leads to a variant beside it.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) primary: Key,
    pub(crate) resident: Resident,
    /// Until when the variant is kept. `None` is forever.
    pub(crate) until: Option<Timestamp>,
    pub(crate) now: Timestamp,
}

impl Link {
    /// Makes the resident lead to the variant. `false` if it is lost: nobody would find the
    /// variant.
    pub(crate) async fn write<B: Store>(self, handle: &Handle<B>) -> Result<bool> {
        let Self { primary, resident, until, now } = &self;
        let mut seen = match resident {
            Resident::Stored(head, version) => Some((head.clone(), *version)),
            Resident::InFlight(..) => read(handle, primary).await?,
        };
        for _ in 0..TRIES {
            let Some((head, version)) = seen else { break };
            if head.variance().is_none_or(|it| it.family != resident.family()) {
                break;
            }
            let Some(head) = leading(&head, *until, *now) else { return Ok(true) };
            if handle.update(primary, version, head).await? {
                return Ok(true);
            }
            seen = read(handle, primary).await?;
        }
        // One in flight has been told by its call.
        Ok(matches!(resident, Resident::InFlight(_, progress) if progress.get().is_none()))
    }
}

/// Makes a resident that was just published lead to the variants that were stored meanwhile.
pub(crate) async fn lead_to_others<B: Store>(
    handle: &Handle<B>,
    primary: Key,
    head: &Head,
) -> Result<bool> {
    let (until, now) = (head.own_keep_until(), head.stored_at());
    let resident = Resident::InFlight(Arc::new(head.clone()), Progress::default());
    Link { primary, resident, until, now }.write(handle).await
}

async fn read<B: Store>(handle: &Handle<B>, key: &Key) -> Result<Option<(Arc<Head>, Version)>> {
    Ok(handle.get(key).await?.map(|Hit { head, version, .. }| (head, version)))
}

/// The resident's head, changed so that it leads to another variant that is kept `until` then.
/// `None` if it does so already.
fn leading(resident: &Head, until: Option<Timestamp>, now: Timestamp) -> Option<Head> {
    let known = resident.others();
    if known.is_some() && later(resident.keep_until(), until) == resident.keep_until() {
        return None;
    }
    // A little further, so that the variants that come next need no write.
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
        let (names, selector) = (names.to_vec(), selector(&key(name)));
        Head::new(Method::GET, "http://a/", parts, Timestamp::MIN)
            .with_expires_at(until)
            .with_variance(Some(Variance { names, selector, family: 7, others: None }))
    }

    #[test]
    fn a_response_takes_the_residents_place_only_where_that_is_its_own_or_of_no_use() {
        let (few, many) = ([header::ACCEPT], [header::ACCEPT, header::ORIGIN]);
        let stored = |until| {
            let head = resident(&few, "de", until);
            Resident::Stored(head.into(), Version::new(1))
        };
        let place = |resident: Option<&Resident>, names: &[HeaderName], name| match Slot::of(
            resident,
            names,
            &key(name),
            at(5),
        ) {
            Slot::Beside(family) => (false, family == 7),
            Slot::Resident(variance) => (true, variance.family == 7),
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
