//! One call for many: requests for the same thing at the same time go behind one of them.
//!
//! Every call that may store something is registered here, followed or not: what is removed while it is on its way is not
//! to be brought back by it.

use std::{cell::RefCell, fmt, sync::Arc};

use http::{HeaderName, StatusCode};

use self::lonely::Lonely;
use super::share::{Carried, Joined, Spare};
use crate::{
    entry::Head,
    key::Key,
    status::{Refusal, Stored},
    store::Version,
};

mod lead;
mod lonely;
mod removed;
mod table;

pub(crate) use self::{lead::Lead, removed::Removed, table::Join};

type Table = table::Table<Bound, Landed>;
/// A lead as the table gives it, to be made a [`Lead`] of.
pub(crate) type Uncounted = table::Lead<Bound, Landed>;
pub(crate) type Boarding = table::Boarding<Bound, Landed>;
pub(crate) type Followed = table::Followed<Bound, Landed>;
pub(crate) type CallId = table::CallId<Key>;

/// How many locks the flights are spread over.
const SHARDS: usize = 64;

/// The calls that a layer and its clones have under way.
#[derive(Clone)]
pub(crate) struct Flights {
    table: Arc<Table>,
    lonely: Arc<Lonely>,
    /// What their bodies may hold in memory beside their windows.
    pub(crate) spare: Arc<Spare>,
}

impl Default for Flights {
    fn default() -> Self {
        Self { table: Arc::new(Table::new(SHARDS)), lonely: Arc::default(), spare: Arc::default() }
    }
}

impl fmt::Debug for Flights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flights").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl Flights {
    /// To be asked before the store is looked into for `key`, and given to [`board`](Self::board).
    pub(crate) fn arrivals(&self, key: &Key) -> u64 {
        self.table.arrivals(key)
    }

    /// A place in the flight for `key`, or one of its own. A follower gives up after `patience` leaders have failed.
    pub(crate) fn board(
        &self,
        key: &Key,
        bound: Bound,
        arrivals: u64,
        join: Join,
        patience: u32,
    ) -> Boarding {
        // Whatever the response turns out to vary by, it lies under the primary key, or below it.
        let group = bound.primary;
        self.table.board(&group, key, bound, arrivals, join, patience)
    }

    /// How many calls are under way, without those of requests that go past the cache.
    pub(crate) fn len(&self) -> u64 {
        self.table.len()
    }

    /// What tells these flights from those of other layers.
    pub(crate) fn id(&self) -> usize {
        Arc::as_ptr(&self.table).addr()
    }

    /// Whether the last response for `key` was none that can be shared, nor will the next one be.
    pub(crate) fn is_lonely(&self, key: &Key) -> bool {
        self.lonely.contains(key)
    }

    /// A response for `key` was not stored. Where that was no accident, the next requests do not wait for each other only
    /// to learn it again.
    pub(crate) fn refused(&self, key: &Key, refusal: Refusal, status: StatusCode) {
        let is_failure = refusal == Refusal::Status && status.is_server_error();
        if refusal.is_persistent() && !is_failure {
            self.lonely.insert(key, refusal == Refusal::Status);
        }
    }

    /// The origin answered 304 to a caller's own condition for `key`. A refusal by status is then
    /// outdated, since the resource has a response with 200. Other refusals stay remembered: a 304
    /// says nothing new of them.
    pub(crate) fn not_modified(&self, key: &Key) {
        self.lonely.remove_by_status(key);
    }

    /// A response for `key` was stored.
    pub(crate) fn admitted(&self, key: &Key) {
        self.lonely.remove(key);
    }
}

/// What is known of a call from its request alone.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) primary: Key,
    /// Where the part lies that the response may make a whole of; what removes that removes the whole.
    pub(crate) part: Option<Key>,
    pub(crate) url: Box<str>,
    pub(crate) tags: Vec<Box<str>>,
    /// What has been removed since the call began, for the response to be held against.
    pub(crate) removed: Removed,
}

/// What a call has come to.
#[derive(Clone)]
pub(crate) enum Landed {
    /// A response that may be stored; its body is on its way.
    Body(Arc<Carried>),
    /// What is stored still holds.
    Confirmed(Arc<Confirmed>),
    /// Nothing that could be shared.
    Alone,
    /// Nothing of its own: the store has something newer, or nothing any more.
    LookAgain,
}

/// What a 304 has made of a stored response.
#[derive(Debug)]
pub(crate) struct Confirmed {
    pub(crate) key: Key,
    /// The entry that was asked about.
    pub(crate) version: Version,
    pub(crate) head: Arc<Head>,
    /// Whether the store has it so.
    pub(crate) stored: Stored,
}

/// What a follower gets.
pub(crate) enum Seat {
    Body(Arc<Carried>, Joined),
    Confirmed(Arc<Confirmed>),
    /// It goes on its own.
    Alone,
    LookAgain,
}

impl table::Landing for Landed {
    type Key = Key;
    type Seat = Seat;

    fn seat(&self) -> Option<Seat> {
        match self {
            Self::Body(carried) => carried.join().map(|place| Seat::Body(carried.clone(), place)),
            Self::Confirmed(confirmed) => Some(Seat::Confirmed(confirmed.clone())),
            Self::Alone => Some(Seat::Alone),
            Self::LookAgain => Some(Seat::LookAgain),
        }
    }

    fn place(&self) -> Option<&Key> {
        match self {
            Self::Body(carried) => Some(&carried.key),
            // It is stored by now, and by compare and swap.
            Self::Confirmed(_) | Self::Alone | Self::LookAgain => None,
        }
    }
}

impl Bound {
    /// Whether what this call brings would lie under `key`, or under a variant's below it, or is made of what lies there.
    fn is_under(&self, key: &Key, own: &Key, landed: Option<&Landed>) -> bool {
        let stored_under = match landed {
            Some(Landed::Body(carried)) => Some(&carried.key),
            Some(Landed::Confirmed(confirmed)) => Some(&confirmed.key),
            _ => None,
        };
        *key == self.primary
            || key == own
            || stored_under == Some(key)
            || self.part.as_ref() == Some(key)
    }

    fn is_spared(&self, spared: Option<&Removed>) -> bool {
        spared.is_some_and(|spared| self.removed.is(spared))
    }
}

/// # Removal wins
///
/// Each returns when nothing of what was on its way can be stored any more. Of a call that has no response yet, it is not
/// known under which key that will lie, and with which tags: such a call remembers what was removed.
///
/// While a 304 freshens an entry, the store can still remove it by its key and its old tags, but
/// not by a tag that only the 304 brings. `doom_tag` returns such entries, and the removal removes
/// them too.
impl Flights {
    /// Who comes from now on joins no call that has no response yet and is for a URL that `is_near`: what it brings may be
    /// of what is about to be removed. To be asked for before that is told: what lands in between is known by then.
    pub(crate) fn close(&self, is_near: impl Fn(&str) -> bool) {
        self.table.close(|bound| is_near(&bound.url));
    }

    /// The calls whose response lies under `key`, or may turn out to.
    pub(crate) async fn doom_key(&self, key: &Key) {
        let landed = self.table.doom(|own, bound, landed| {
            if landed.is_none() {
                bound.removed.add_key(key);
            }
            bound.is_under(key, own, landed)
        });
        settle(landed).await;
    }

    /// The calls whose response a request selects that has this `primary` key: under `key`, as far as is known, and by
    /// the names that select a response on its way, under what `variant` makes of them.
    pub(crate) async fn doom_selected(
        &self,
        primary: &Key,
        key: &Key,
        variant: impl Fn(&[HeaderName]) -> Key,
    ) {
        let landed = self.table.doom(|own, bound, landed| {
            let is_selected = bound.primary == *primary
                && match landed {
                    Some(Landed::Body(carried)) => match &carried.names {
                        Some(names) => carried.key == variant(names),
                        None => true,
                    },
                    // Where no variants are known, any may be the one.
                    _ => own == key || own == primary || key == primary,
                };
            if landed.is_none() && bound.primary == *primary {
                bound.removed.add_key(key);
                // A response that does not vary is selected as well.
                bound.removed.add_key(primary);
            }
            is_selected || bound.is_under(key, own, landed) || bound.part == Some(*primary)
        });
        settle(landed).await;
    }

    /// All but the call that is `spared`.
    pub(crate) async fn doom_url(&self, url: &str, spared: Option<&Removed>) {
        let landed = self.table.doom(|_, bound, _| *bound.url == *url && !bound.is_spared(spared));
        settle(landed).await;
    }

    /// All but the call that is `spared`. Returns the entries that are being renewed with `tag`, and need not carry it yet.
    pub(crate) async fn doom_tag(
        &self,
        tag: &str,
        spared: Option<&Removed>,
    ) -> Vec<(Key, Version)> {
        let is_tagged = |tags: &[Box<str>]| tags.iter().any(|own| **own == *tag);
        let renewed = RefCell::new(Vec::new());
        let landed = self.table.doom(|_, bound, landed| match landed {
            _ if bound.is_spared(spared) => false,
            Some(Landed::Body(carried)) => is_tagged(carried.head.tags()),
            Some(Landed::Confirmed(confirmed)) => is_tagged(confirmed.head.tags()),
            _ => {
                renewed.borrow_mut().extend(bound.removed.add_tag(tag));
                is_tagged(&bound.tags)
            }
        });
        let renewed = renewed.into_inner();
        settle(landed).await;
        renewed
    }

    /// Nothing that was asked for before `call` is stored over what it has brought, which is about to be stored under
    /// `key`. Returns when what was just being stored there has been.
    ///
    /// A response that does not vary replaces all variants. A variant is found by the list under
    /// the primary key, and an older response under that key would hide it.
    pub(crate) async fn overtake(&self, call: &CallId, key: &Key) {
        if *key == call.group {
            overtaken(self.table.overtake_all(call)).await;
        } else {
            overtaken(self.table.overtake(call, key)).await;
            overtaken(self.table.overtake(call, &call.group)).await;
        }
    }

    /// Supersedes older calls whose response the request of `call` selects: it lies under `key`, or
    /// under the key that `variant` makes of the names that select it. Waits for those that are
    /// being published. Returns whether there were any.
    pub(crate) async fn overtake_selected(
        &self,
        call: &CallId,
        key: &Key,
        variant: impl Fn(&[HeaderName]) -> Key,
    ) -> bool {
        let is_selected = |landed: &Landed| match landed {
            Landed::Body(carried) => match &carried.names {
                Some(names) => carried.key == variant(names),
                None => carried.key == *key || carried.key == call.group,
            },
            _ => false,
        };
        let landed = self.table.overtake_where(call, key, is_selected);
        let is_met = !landed.is_empty();
        overtaken(landed).await;
        is_met
    }

    /// Those whose response `matches`, and of those that have none yet, the ones for a URL for which it `may_match`.
    pub(crate) async fn doom_where(
        &self,
        may_match: impl Fn(&str) -> bool,
        matches: impl Fn(&Head) -> bool,
    ) {
        let landed = self.table.doom(|_, bound, landed| match landed {
            Some(Landed::Body(carried)) => matches(&carried.head),
            Some(Landed::Confirmed(confirmed)) => matches(&confirmed.head),
            Some(Landed::Alone | Landed::LookAgain) => false,
            None => may_match(&bound.url),
        });
        settle(landed).await;
    }

    pub(crate) async fn doom_all(&self) {
        settle(self.table.doom(|_, _, _| true)).await;
    }
}

async fn settle(landed: Vec<Landed>) {
    for landed in landed {
        if let Landed::Body(carried) = landed {
            carried.doom().await;
        }
    }
}

async fn overtaken(landed: Vec<Landed>) {
    for landed in landed {
        if let Landed::Body(carried) = landed {
            carried.overtaken().await;
        }
    }
}
