//! [`Allowance`]: the time that a client may take.
//!
//! A connection holds one of the gateway's places. A client holds it at no cost: it sends nothing,
//! or a byte now and then, or pings of HTTP/2, or it does not read. So the gateway counts the time
//! for which it waits for the client: for the head of a request while none is in flight, for a part
//! of a request's body, or for the client to take a part of a response. A client may take `limit`
//! of that. It gets time back for each byte, at [`RATE`], and all of it for each request. Time in
//! which the gateway waits for the upstream does not count.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
    time::Duration,
};

use crate::awake;

/// The bytes of a body for which a client may take a second.
const RATE: u32 = 100;

/// The allowance of one connection.
#[derive(Clone)]
pub(crate) struct Allowance(Arc<Shared>);

struct Shared {
    limit: Duration,
    state: Mutex<State>,
}

struct State {
    left: Duration,
    /// The time up to which `left` is settled.
    since: Duration,
    /// How many requests are in flight.
    requests: usize,
    /// How many waits for the client there are.
    waits: usize,
    /// The tasks to wake when the client has no time left, by the number of their wait.
    wakers: HashMap<u64, Waker>,
    next_wait: u64,
    is_over: bool,
}

impl Allowance {
    pub(crate) fn new(limit: Duration) -> Self {
        let state = State {
            left: limit,
            since: awake::now(),
            requests: 0,
            waits: 0,
            wakers: HashMap::new(),
            next_wait: 0,
            is_over: false,
        };
        Self(Arc::new(Shared { limit, state: Mutex::new(state) }))
    }

    /// The state as it is now.
    fn settled(&self) -> MutexGuard<'_, State> {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = awake::now();
        if state.requests == 0 || state.waits > 0 {
            state.left = state.left.saturating_sub(now.saturating_sub(state.since));
        }
        state.since = now;
        state
    }

    /// Notes a request, which is in flight until what this returns is dropped.
    pub(crate) fn request(&self) -> InFlight {
        let mut state = self.settled();
        state.requests += 1;
        state.left = self.0.limit;
        InFlight(self.clone())
    }

    /// Notes that the gateway waits for the client, until what this returns is dropped.
    pub(crate) fn wait(&self) -> Wait {
        let mut state = self.settled();
        let number = state.next_wait;
        state.next_wait += 1;
        state.waits += 1;
        Wait { allowance: self.clone(), number, has_waker: false, bytes: 0 }
    }

    /// Waits until the client has taken all of its time.
    pub(crate) async fn spent(&self) {
        loop {
            let left = self.settled().left;
            if left.is_zero() {
                return;
            }
            awake::sleep(left).await;
        }
    }

    /// Ends each wait for a part of a body. Returns whether there is one.
    pub(crate) fn end_waits(&self) -> bool {
        let mut state = self.settled();
        state.is_over = true;
        let wakers = mem::take(&mut state.wakers);
        drop(state);
        let is_any = !wakers.is_empty();
        wakers.into_values().for_each(Waker::wake);
        is_any
    }

    /// Whether the waits have been ended.
    pub(crate) fn is_over(&self) -> bool {
        self.settled().is_over
    }
}

/// A request in flight.
pub(crate) struct InFlight(Allowance);

impl InFlight {
    pub(crate) fn allowance(&self) -> &Allowance {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut state = self.0.settled();
        state.requests -= 1;
        if state.requests == 0 {
            state.left = self.0.0.limit;
        }
    }
}

/// A wait for the client.
pub(crate) struct Wait {
    allowance: Allowance,
    number: u64,
    has_waker: bool,
    /// How many bytes the client has sent or taken.
    bytes: usize,
}

impl Wait {
    /// Has the task of this waker woken when the time is over.
    pub(crate) fn wake(&mut self, waker: &Waker) {
        self.has_waker = true;
        self.allowance.settled().wakers.insert(self.number, waker.clone());
    }

    /// Ends the wait, since the client has sent or taken so many bytes.
    pub(crate) fn end(mut self, bytes: usize) {
        self.bytes = bytes;
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut state = self.allowance.settled();
        let bytes = u32::try_from(self.bytes).unwrap_or(u32::MAX);
        let earned = Duration::from_secs(1) * bytes / RATE;
        state.left = (state.left + earned).min(self.allowance.0.limit);
        state.waits -= 1;
        if self.has_waker {
            state.wakers.remove(&self.number);
        }
    }
}
