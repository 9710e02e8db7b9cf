//! What keeps responses in flight out of the store: a removal, and a later answer.

use std::{iter, sync::PoisonError};

use http::HeaderName;

use super::{CallId, CallInfo, Calls, Freshening, Removable, View, removals::Mark, table::Marked};
use crate::{entry::Head, key::Key, status::Refusal, store::Version};

/// The mark of the entry under this key.
fn entry_mark(key: &Key) -> Mark {
    Mark::new((0_u8, key))
}

/// The mark of what is stored for the requests that join under this key.
fn call_mark(key: &Key) -> Mark {
    Mark::new((1_u8, key))
}

/// The mark of the stored part under this key.
fn part_mark(key: &Key) -> Mark {
    Mark::new((4_u8, key))
}

fn url_mark(url: &str) -> Mark {
    Mark::new((2_u8, url))
}

fn tag_mark(tag: &str) -> Mark {
    Mark::new((3_u8, tag))
}

impl<O: Removable> Marked<O> for CallInfo {
    /// The response may lie under the primary key, under the key that requests join under, or
    /// combined with a part.
    fn marks<'a>(
        &'a self,
        key: &'a Key,
        outcome: Option<&'a O>,
    ) -> impl Iterator<Item = Mark> + 'a {
        let view = outcome.map(Removable::view);
        let (at, call_key) = match &view {
            Some(view) => (view.key(), view.call_key()),
            None => (None, None),
        };
        // The tags of a response contain those of its request.
        let tags = view.and_then(|view| view.head()).map_or(&*self.tags, Head::tags);
        let keys = [&self.primary, key].into_iter().chain(&self.part).chain(at);
        let keys = keys.map(entry_mark).chain(call_key.into_iter().map(call_mark));
        let keys = keys.chain(self.part.iter().map(part_mark));
        // Nobody asks for a mark as long as nothing was removed, so none is made before.
        let url = iter::once_with(|| url_mark(&self.url));
        keys.chain(url).chain(tags.iter().map(|tag| tag_mark(tag)))
    }

    fn inherit(&self, former: &Self) {
        self.others.set(former.others.get());
    }
}

/// # A removal wins
///
/// Each of these methods returns when nothing that it concerns can be stored any more. Requests
/// that join a call from then on do not receive what was removed.
///
/// An entry that is being freshened by a 304 stays in the store meanwhile. It can be removed there
/// by its key and by the tags that it has, but not by a tag that only the 304 brings.
/// `invalidate_tag` returns such entries, and the removal takes them out as well.
impl<O: Removable> Calls<O> {
    /// Invalidates the calls whose response lies under `key`.
    pub(crate) async fn invalidate_key(&self, key: &Key) {
        self.invalidate(entry_mark(key), None).await;
    }

    /// Invalidates the calls for `url`, except the spared one.
    pub(crate) async fn invalidate_url(&self, url: &str, spared: Option<&CallId>) {
        self.invalidate(url_mark(url), spared).await;
    }

    /// Invalidates the calls whose response carries `tag`, except the spared one. Returns the
    /// entries that are being freshened with `tag`, and may not carry it yet.
    pub(crate) async fn invalidate_tag(
        &self,
        tag: &str,
        spared: Option<&CallId>,
    ) -> Vec<(Key, Version)> {
        let mut freshened = Vec::new();
        let settled = self.0.table.invalidate(Some(tag_mark(tag)), spared, |info| {
            let freshening = info.freshening.lock().unwrap_or_else(PoisonError::into_inner);
            let carries = |it: &&Freshening| it.tags.iter().any(|own| **own == *tag);
            freshened.extend(freshening.as_ref().filter(carries).map(|it| (it.key, it.version)));
        });
        keep_out(settled, Refusal::Removed).await;
        freshened
    }

    pub(crate) async fn invalidate_all(&self) {
        keep_out(self.0.table.invalidate(None, None, |_| {}), Refusal::Removed).await;
    }

    async fn invalidate(&self, mark: Mark, spared: Option<&CallId>) {
        keep_out(self.0.table.invalidate(Some(mark), spared, |_| {}), Refusal::Removed).await;
    }

    /// Invalidates the calls whose response a request selects. The lookup of the request has the
    /// keys `primary`, `call_key` and `entry`. `variant` makes its call key of the names that
    /// select a response in flight.
    pub(crate) async fn invalidate_selected(
        &self,
        primary: &Key,
        call_key: &Key,
        entry: &Key,
        variant: impl Fn(&[HeaderName]) -> Key,
    ) {
        let settled = self.0.table.invalidate_in_group(primary, |own, info, outcome| {
            match outcome.map(Removable::view) {
                Some(View::Storing { call_key, names: Some(names), .. }) => {
                    *call_key == variant(names)
                }
                Some(View::Storing { names: None, .. }) => true,
                // Where no variants are known, any response may be selected.
                _ => {
                    own == call_key
                        || own == primary
                        || call_key == primary
                        || *own == variant(&info.names)
                }
            }
        });
        keep_out(settled, Refusal::Removed).await;
        // Others may turn out to have what the request selects, such as one that does not vary.
        self.invalidate(call_mark(call_key), None).await;
        self.invalidate(call_mark(primary), None).await;
        // A response that completes a stored part contains it.
        self.invalidate(part_mark(primary), None).await;
        self.invalidate(part_mark(entry), None).await;
    }

    /// Invalidates the calls whose response matches, and the calls without a response whose URL may
    /// match.
    pub(crate) async fn invalidate_where(
        &self,
        may_match: impl Fn(&str) -> bool,
        matches: impl Fn(&Head) -> bool,
    ) {
        let settled = self.0.table.invalidate_where(|info, outcome| match outcome {
            Some(outcome) => outcome.view().head().is_some_and(&matches),
            None => may_match(&info.url),
        });
        keep_out(settled, Refusal::Removed).await;
    }

    /// The response of a call is about to be published. Returns `false` if it was removed.
    pub(crate) fn begin_publishing(&self, call: &CallId) -> bool {
        self.0.table.begin_publishing(call, |_| {}, iter::empty())
    }

    /// This `version` of the entry under `key` is about to be given this head, by `call`. Returns
    /// `false` if a response with this head was removed. From now on,
    /// [`invalidate_tag`](Self::invalidate_tag) returns the entry for its tags.
    pub(crate) fn begin_freshening(
        &self,
        call: &CallId,
        key: &Key,
        call_key: &Key,
        version: Version,
        head: &Head,
    ) -> bool {
        let tags = head.tags();
        let marks = [entry_mark(key), call_mark(call_key)].into_iter();
        let marks = marks.chain(tags.iter().map(|tag| tag_mark(tag)));
        let begin = |info: &CallInfo| {
            let freshening = Freshening { key: *key, version, tags: tags.to_vec() };
            *info.freshening.lock().unwrap_or_else(PoisonError::into_inner) = Some(freshening);
        };
        self.0.table.begin_publishing(call, begin, marks)
    }
}

/// # The latest answer wins
///
/// Each of these methods keeps the responses of older calls out of the store, and returns when none
/// of them can be stored any more.
impl<O: Removable> Calls<O> {
    /// Makes way for the response of `call`, which is about to be stored for the requests that join
    /// under `call_key`.
    ///
    /// A response that does not vary supersedes all variants. A variant supersedes responses that
    /// do not vary, since these would be found instead of it.
    pub(crate) async fn supersede(&self, call: &CallId, call_key: &Key) {
        if *call_key == call.group {
            keep_out(self.0.table.supersede_all(call), Refusal::Superseded).await;
        } else {
            keep_out(self.0.table.supersede(call, call_key), Refusal::Superseded).await;
            keep_out(self.0.table.supersede(call, &call.group), Refusal::Superseded).await;
        }
    }

    /// Ends the responses that the request of `call` selects, after an answer that is not stored in
    /// their place. The request joins under `call_key`. `variant` makes its call key of the names
    /// that select a response in flight. Returns whether any such response was in flight.
    pub(crate) async fn end_selected(
        &self,
        call: &CallId,
        call_key: &Key,
        variant: impl Fn(&[HeaderName]) -> Key,
    ) -> bool {
        let is_selected = |outcome: &O| match outcome.view() {
            View::Storing { call_key: own, names: Some(names), .. } => *own == variant(names),
            View::Storing { call_key: own, names: None, .. } => {
                own == call_key || *own == call.group
            }
            _ => false,
        };
        let mut settled = self.0.table.end_where(call, call_key, is_selected);
        if *call_key != call.group {
            // A response that has not arrived yet, and does not vary, would answer the request too.
            settled.extend(self.0.table.end_where(call, &call.group, is_selected));
        }
        let had_in_flight = !settled.is_empty();
        keep_out(settled, Refusal::Ended).await;
        had_in_flight
    }
}

async fn keep_out(settled: Vec<impl Removable>, why: Refusal) {
    if settled.is_empty() {
        return;
    }
    // Boxed: most calls find no older one.
    Box::pin(async {
        for outcome in settled {
            outcome.keep_out(why).await;
        }
    })
    .await;
}
