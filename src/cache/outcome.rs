//! [`CallOutcome`]: the result of a call, and what each of its followers receives.

use std::sync::Arc;

use super::{
    coalesce::{self, CallId, Removable, Shareable, StoredAt, View},
    tee::{self, Publishing, Tee},
};
use crate::{
    entry::{Head, Others},
    event::{Event, RequestLine},
    key::Key,
    status::{Refusal, Stored},
    store::Version,
};

pub(crate) type Calls = coalesce::Calls<CallOutcome>;
pub(crate) type Leader = coalesce::Leader<CallOutcome>;
pub(crate) type Uncounted = coalesce::Uncounted<CallOutcome>;
pub(crate) type Role = coalesce::Role<CallOutcome>;
pub(crate) type Follower = coalesce::Follower<CallOutcome>;
pub(crate) type Followed = coalesce::Followed<CallOutcome>;

/// The result of a call.
#[derive(Clone)]
pub(crate) enum CallOutcome {
    /// A response whose body is on its way into the store.
    Body(Tee),
    /// The stored response was freshened.
    Freshened(Arc<Freshened>),
    /// A response that cannot be shared.
    Independent,
    /// The store has something newer, or the response was removed.
    LookAgain,
}

/// A stored response with the head that a 304 made of it.
#[derive(Debug)]
pub(crate) struct Freshened {
    pub(crate) key: Key,
    /// The version of the entry that was revalidated.
    pub(crate) version: Version,
    pub(crate) head: Arc<Head>,
    /// Whether the store has the new head.
    pub(crate) stored: Stored,
}

/// What a follower receives.
pub(crate) enum Share {
    Body(Tee, tee::JoinedBody),
    Freshened(Arc<Freshened>),
    /// The follower makes its own call.
    Independent,
    LookAgain,
}

impl Shareable for CallOutcome {
    type Key = Key;
    type Share = Share;

    fn share(&self) -> Option<Share> {
        match self {
            Self::Body(tee) => tee.join().map(|joined| Share::Body(tee.clone(), joined)),
            Self::Freshened(freshened) => Some(Share::Freshened(freshened.clone())),
            Self::Independent => Some(Share::Independent),
            Self::LookAgain => Some(Share::LookAgain),
        }
    }

    fn stored_for(&self) -> Option<&Key> {
        match self {
            Self::Body(tee) => Some(&tee.call_key),
            // A freshened response is stored already, by compare and swap.
            Self::Freshened(_) | Self::Independent | Self::LookAgain => None,
        }
    }
}

impl Removable for CallOutcome {
    fn view(&self) -> View<'_> {
        match self {
            Self::Body(tee) => View::Storing {
                key: &tee.key,
                call_key: &tee.call_key,
                head: &tee.head,
                names: tee.names.as_deref(),
                progress: &tee.progress,
            },
            Self::Freshened(it) => View::Freshened { key: &it.key, head: &it.head },
            Self::Independent | Self::LookAgain => View::Nothing,
        }
    }

    async fn keep_out(&self, why: Refusal) {
        if let Self::Body(tee) = self {
            tee.keep_out(why).await;
        }
    }
}

/// The leader's permission to store the response of its call.
pub(crate) struct Permit {
    leader: Leader,
    calls: Calls,
    /// The response.
    tee: Tee,
    /// The key under which requests joined this call. It is not the tee's `call_key` if the lookup
    /// did not know by which headers the response varies.
    joined_key: Key,
    /// The key of the `GET` of the whole response, if this is a part of it, or the response to a
    /// `HEAD`.
    of_get: Option<Key>,
}

impl Permit {
    /// Settles the call with a response whose body is about to start. If the response was removed
    /// in flight or is superseded, it must not be stored.
    pub(crate) fn settle(
        mut leader: Leader,
        tee: Tee,
        calls: Calls,
        joined_key: Key,
        of_get: Option<Key>,
    ) -> Self {
        let may_store = leader.settle(CallOutcome::Body(tee.clone()));
        if !may_store {
            let superseded = || leader.superseded(Some(&tee.call_key));
            tee.forbid(match leader.is_invalidated() {
                true => Refusal::Removed,
                false => superseded().unwrap_or(Refusal::Superseded),
            });
        }
        Self { leader, calls, tee, joined_key, of_get }
    }

    fn call(&self) -> CallId {
        self.leader.id()
    }
}

impl tee::Permit for Permit {
    fn is_invalidated(&self) -> bool {
        self.leader.is_invalidated()
    }

    fn publishing(&self) -> impl Publishing {
        let (calls, call) = (self.calls.clone(), self.call());
        CallPublishing { calls, call, tee: self.tee.clone() }
    }

    fn finish(mut self, stored: Result<u64, Refusal>) {
        let (request, code) = (RequestLine::stored(&self.tee.head), self.tee.head.status());
        match stored {
            Ok(bytes) => {
                self.tee.observer.tell(&Event::Stored { request, code, key: &self.tee.key, bytes });
                self.calls.stored(&self.joined_key);
                self.calls.stored(&self.tee.call_key);
                // Answers to such a GET may end this response.
                self.of_get.iter().for_each(|key| self.calls.stored(key));
                let group = self.leader.id().group;
                self.calls.ended().stored(self.of_get.as_ref().unwrap_or(&group));
                let is_primary = self.tee.key == group;
                self.leader.has_stored(if is_primary { StoredAt::Group } else { StoredAt::Key });
            }
            Err(refusal) => {
                self.calls.refused(&self.joined_key, refusal, false);
                self.tee.observer.tell(&Event::NotStored {
                    request,
                    code,
                    key: &self.tee.key,
                    refusal,
                });
            }
        }
    }
}

/// The response of a call, when it is published.
struct CallPublishing {
    calls: Calls,
    call: CallId,
    tee: Tee,
}

impl Publishing for CallPublishing {
    async fn begin(&self) -> Result<(), Refusal> {
        let Self { calls, call, tee } = self;
        if !calls.begin_publishing(call) {
            return Err(Refusal::Removed);
        }
        calls.supersede(call, &tee.call_key).await;
        if tee.key != call.group {
            calls.announce_variant(&call.group, tee.head.keep_until());
        }
        Ok(())
    }

    fn others(&self) -> Option<Others> {
        self.calls.others(&self.call)
    }
}
