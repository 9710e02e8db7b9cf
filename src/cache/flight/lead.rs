//! [`Lead`]: the one that calls, and the gauge that counts its call.

use super::{Bound, CallId, Landed, Uncounted};
use crate::event::{CallGauge, Observer};

/// The one that calls. Dropped before it has landed or failed, it leaves the lead to a follower.
///
/// The gauge is kept here, and not in the flight: that one may go on with another leader, and is looked at under a lock,
/// where no recorder of metrics is to be called.
pub(crate) struct Lead {
    lead: Uncounted,
    _gauge: Option<CallGauge>,
}

impl Lead {
    /// That of a call which counts as under way from now on, until this is dropped.
    pub(crate) fn counted(lead: Uncounted, observer: &Observer) -> Self {
        Self { lead, _gauge: Some(observer.call_begins()) }
    }

    /// That of a request that goes past the cache, whose call is none of the cache's.
    pub(crate) fn aside(lead: Uncounted) -> Self {
        Self { lead, _gauge: None }
    }

    /// See [`Uncounted::land`].
    pub(crate) fn land(&mut self, landed: Landed) -> bool {
        self.lead.land(landed)
    }

    /// The call failed.
    pub(crate) fn fail(self) {
        self.lead.fail();
    }

    /// See [`Uncounted::arrived`].
    pub(crate) fn arrived(&mut self) {
        self.lead.arrived();
    }

    /// What is known of the flight.
    pub(crate) fn info<R>(&self, look: impl FnOnce(&Bound) -> R) -> R {
        self.lead.info(look)
    }

    /// What tells its call from others.
    pub(crate) fn id(&self) -> CallId {
        self.lead.id()
    }

    /// Whether what it brings was removed on its way.
    pub(crate) fn is_doomed(&self) -> bool {
        self.lead.is_doomed()
    }

    /// See [`Uncounted::is_superseded`].
    pub(crate) fn is_superseded(&self) -> bool {
        self.lead.is_superseded()
    }
}
