//! Judges whether a removal has removed a response.

use super::{Judge, Verdict};
use crate::{
    history::{Answer, Kind, Removed, Vary},
    plan::{Method, Removal, Selects},
};

impl Judge<'_> {
    /// Checks that no removal has removed the version before the request began.
    pub(super) fn is_not_removed(&self, said: &Answer) -> Verdict {
        let is_tagged = |removal: &&Removed| {
            matches!(removal.what, Removal::Tag(tag) if said.said.tags & 1 << tag != 0)
                && said.asked < removal.from
                && removal.to.is_some_and(|to| to < self.asked)
        };
        if let Some(removal) = self.history.removals.iter().find(is_tagged) {
            return Err(format!("{:?} at {} removed it", removal.what, removal.from));
        }
        let is_head = self.history.asks[self.got.ask].ask.method == Method::Head;
        match said.kind {
            Kind::NotModified(_) if is_head => {
                // Each answer to a HEAD may be stored, although several have the same version.
                let full = |answer: &&Answer| answer.kind == Kind::Full(self.version);
                let stored = self.history.answers.iter().filter(full);
                let removed = stored.map(|answer| self.is_kept(answer));
                removed.min_by_key(Verdict::is_err).unwrap_or(Ok(()))
            }
            Kind::Full(_) if is_head => self.is_kept(said),
            _ => self.is_kept(self.history.born(self.version)),
        }
    }

    /// Checks that no removal has removed the response of this answer.
    fn is_kept(&self, born: &Answer) -> Verdict {
        for answer in &self.history.answers {
            // An unsafe request removes the stored responses for its URL.
            let is_change = answer.method == Method::Post
                && self.history.status(answer) == Some(200)
                && answer.path == born.path;
            if is_change
                && born.asked < answer.answered
                && answer.heard.is_some_and(|heard| heard < self.asked)
            {
                return Err(format!("the POST that was answered at {} ended it", answer.answered));
            }
        }
        for removal in &self.history.removals {
            let is_before = removal.to.is_some_and(|to| to < self.asked);
            if is_before && born.asked < removal.from && self.covers(removal, born) {
                return Err(format!("{:?} at {} removed it", removal.what, removal.from));
            }
        }
        Ok(())
    }

    /// Whether a removal concerns the response of an answer.
    fn covers(&self, removal: &Removed, born: &Answer) -> bool {
        match &removal.what {
            Removal::Url(path) | Removal::Where(path) => *path == born.path,
            Removal::Request(path, selects) => *path == born.path && self.is_for(born, *selects),
            Removal::Key(_) => {
                // A part has a key of its own.
                let is_part = |answer: &Answer| answer.kind == Kind::Part(self.version);
                let keys = self.history.keys.get(&self.version);
                keys.is_some_and(|keys| keys.iter().all(|key| Some(*key) == removal.key))
                    && !self.history.answers.iter().any(is_part)
            }
            Removal::Tag(tag) => self.all_heads(removal, |said| said.said.tags & 1 << tag != 0),
            Removal::WhereExpired => self.all_heads(removal, |said| {
                self.has_passed(removal, said, |said| {
                    self.history.lifetime(self.settings, said) * 1000
                })
            }),
            Removal::WhereOlder(seconds) => self
                .all_heads(removal, |said| self.has_passed(removal, said, |_| seconds * 1000 + 1)),
            Removal::Clear | Removal::ResetToDoNotStore => true,
            Removal::Expired | Removal::Reset(_) => false,
        }
    }

    /// Whether this time had passed since the answer when the removal began.
    fn has_passed(
        &self,
        removal: &Removed,
        said: &Answer,
        millis: impl Fn(&Answer) -> u64,
    ) -> bool {
        let now = self.history.times(removal.from, removal.from).last().unwrap_or(0);
        let is_reset =
            self.history.removals.iter().any(|other| matches!(other.what, Removal::Reset(_)));
        let was_there = said.heard.is_some_and(|heard| heard < removal.from);
        !is_reset && was_there && now >= self.arrived(said) + millis(said)
    }

    /// Whether all heads that the version may have had at the removal are like this.
    fn all_heads(&self, removal: &Removed, is_such: impl Fn(&Answer) -> bool) -> bool {
        let mut heads = self.history.answers.iter().filter(|said| {
            said.version() == Some(self.version) && removal.to.is_some_and(|to| said.asked < to)
        });
        heads.all(|said| is_such(said) || self.is_superseded(said, removal.from))
    }

    /// Whether a `GET` with these fields selects the answer.
    fn is_for(&self, answer: &Answer, selects: Selects) -> bool {
        let is_users = if self.settings.shared {
            selects.user.is_none() || self.settings.http
        } else {
            selects.user == answer.selects.user
        };
        let is_variant =
            answer.said.vary == Vary::Nothing || selects.accept == answer.selects.accept;
        answer.method == Method::Get && is_users && is_variant
    }
}
