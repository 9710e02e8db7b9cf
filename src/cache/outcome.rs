//! [`CallOutcome`]: what a call comes to, and what each of its followers receives.

use std::sync::Arc;

use super::{
    coalesce::{self, CallId, Removable, Shareable, StoredAt, View},
    tee::{self, Publishing, Tee},
};
use crate::{
    entry::{Head, Others},
    event::{Event, Observer, RequestLine},
    key::Key,
    status::{Refusal, Stored},
    store::Version,
    time::Timestamp,
};
use http::StatusCode;

pub(crate) type Calls = coalesce::Calls<CallOutcome>;
pub(crate) type Leader = coalesce::Leader<CallOutcome>;
pub(crate) type Uncounted = coalesce::Uncounted<CallOutcome>;
pub(crate) type Role = coalesce::Role<CallOutcome>;
pub(crate) type Follower = coalesce::Follower<CallOutcome>;
pub(crate) type Followed = coalesce::Followed<CallOutcome>;

/// What a call comes to.
#[derive(Clone)]
pub(crate) enum CallOutcome {
    /// A response whose body is on its way into the store.
    Body(Arc<Tee>),
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
    Body(Arc<Tee>, tee::JoinedBody),
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
    observer: Arc<Observer>,
    /// The key under which the response is stored.
    key: Key,
    /// The key under which requests for it join calls.
    call_key: Key,
    /// The head that it is stored with.
    head: Arc<Head>,
    /// The key under which requests joined this call. It differs from `call_key` if the lookup did
    /// not know by which headers the response varies.
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
        tee: &Arc<Tee>,
        calls: Calls,
        observer: Arc<Observer>,
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
        let (key, call_key, head) = (tee.key, tee.call_key, tee.head.clone());
        Self { leader, calls, observer, key, call_key, head, joined_key, of_get }
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
        let (key, call_key, until) = (self.key, self.call_key, self.head.keep_until());
        CallPublishing { calls, call, key, call_key, until }
    }

    fn finish(mut self, stored: Result<u64, Refusal>) {
        let (request, code) = (RequestLine::stored(&self.head), self.head.status());
        match stored {
            Ok(bytes) => {
                self.observer.tell(&Event::Stored { request, code, key: &self.key, bytes });
                self.calls.stored(&self.joined_key);
                self.calls.stored(&self.call_key);
                // Answers to such a GET may end this response.
                self.of_get.iter().for_each(|key| self.calls.stored(key));
                let group = self.leader.id().group;
                self.calls.ended().stored(self.of_get.as_ref().unwrap_or(&group));
                let is_primary = self.key == group;
                self.leader.has_stored(if is_primary { StoredAt::Group } else { StoredAt::Key });
            }
            Err(refusal) => {
                self.calls.refused(&self.joined_key, refusal, StatusCode::OK);
                self.observer.tell(&Event::NotStored { request, code, key: &self.key, refusal });
            }
        }
    }
}

/// The response of a call, when it is published.
struct CallPublishing {
    calls: Calls,
    call: CallId,
    /// The key under which it is stored.
    key: Key,
    /// The key under which requests for it join calls.
    call_key: Key,
    /// Until when it is kept. `None` is forever.
    until: Option<Timestamp>,
}

impl Publishing for CallPublishing {
    async fn begin(&self) -> Result<(), Refusal> {
        let Self { calls, call, key, call_key, until } = self;
        if !calls.begin_publishing(call) {
            return Err(Refusal::Removed);
        }
        calls.supersede(call, call_key).await;
        if *key != call.group {
            calls.announce_variant(&call.group, *until);
        }
        Ok(())
    }

    fn others(&self) -> Option<Others> {
        self.calls.others(&self.call)
    }
}
