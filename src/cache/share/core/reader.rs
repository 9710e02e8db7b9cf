//! One of those who read a body: what it reads next, and what it does for that.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use http_body::SizeHint;

use super::{Core, End, Next, Place, Work};

/// One of those who read a body. When the last one is dropped, the work is dropped with it.
pub(crate) struct Reader<W: Work> {
    pub(super) core: Arc<Core<W>>,
    pub(super) id: usize,
}

/// What a reader has to do for what it reads next.
enum Turn<C> {
    Take(Next<C>),
    /// Go on with the work, for lack of anything to read.
    Drive,
    /// Go on with the work once, for the end may be there: nobody may come to look for it any more behind what comes
    /// next.
    LookForEnd,
}

/// Of how many chunks a body is read ahead, at most: what says how short it is may still be a lie, or never end.
const AHEAD_CHUNKS: u64 = 64;

/// How many steps a reader takes in one go, before it lets other tasks have their turn: one that waits for the end of a
/// body that is all there would not pause otherwise.
const STEPS: usize = 128;

/// How often a reader looks for an end that is due: it may stand behind an empty chunk or two.
const LOOKS: usize = 4;

impl<W: Work> Reader<W> {
    /// What comes next. Pending where it has to come yet, or has not been stored yet: the last chunk and the end are not
    /// handed out before the entry is published or given up.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next<W::Copy>> {
        let mut looks = 0;
        for _ in 0..STEPS {
            match self.turn(looks < LOOKS) {
                Turn::Take(next) => return Poll::Ready(next),
                Turn::LookForEnd => {
                    looks += 1;
                    if !self.core.drive(self.id, cx) {
                        looks = LOOKS;
                    }
                }
                Turn::Drive => {
                    if !self.core.drive(self.id, cx) {
                        return Poll::Pending;
                    }
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn turn(&mut self, may_look: bool) -> Turn<W::Copy> {
        let mut guard = self.core.lock();
        let state = &mut *guard;
        let reading = &mut state.readers[self.id];
        if reading.has_ended {
            return Turn::Take(Next::End);
        }
        if reading.place != Place::Window {
            if state.shape.is_storing {
                return Turn::Drive;
            }
            reading.has_ended = true;
            let offset = reading.offset;
            let copy = state.copies.pop();
            return Turn::Take(copy.map_or(Next::Lost, |copy| Next::Copy(copy, offset)));
        }
        if reading.next < state.window.end() {
            if state.shape.is_storing && state.window.is_last(reading.next) {
                if state.end.is_some() {
                    return Turn::Drive;
                }
                if state.shape.is_complete && may_look && !state.is_polled {
                    return Turn::LookForEnd;
                }
            }
            let Some(chunk) = state.window.read(reading.next) else { return Turn::Drive };
            reading.next += 1;
            reading.offset += chunk.len() as u64;
            state.trim();
            return Turn::Take(Next::Chunk(chunk));
        }
        if state.end.is_none() || state.shape.is_storing {
            return Turn::Drive;
        }
        reading.has_ended = true;
        Turn::Take(match &state.end {
            Some(End::Whole(Some(trailers))) => Next::Trailers(trailers.clone()),
            Some(End::Whole(None)) | None => Next::End,
            Some(End::Failed) => Next::Failed,
        })
    }

    /// Ready when the entry has been published or given up. Until then, it goes on with the work.
    pub(crate) fn poll_settled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..STEPS {
            if !self.core.lock().shape.is_storing {
                return Poll::Ready(());
            }
            if !self.core.drive(self.id, cx) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads ahead what is there at once, up to about `bytes`; ready when that is it, or when the whole body is stored.
    pub(crate) fn poll_ahead(&mut self, bytes: u64, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let has_ended = {
                let state = self.core.lock();
                let is_enough =
                    state.window.received() >= bytes || state.window.end() >= AHEAD_CHUNKS;
                let has_ended = state.end.is_some();
                if !state.shape.is_storing || (is_enough && !has_ended) {
                    return Poll::Ready(());
                }
                has_ended
            };
            if !self.core.drive(self.id, cx) {
                return if has_ended { Poll::Pending } else { Poll::Ready(()) };
            }
        }
    }

    /// Whether there is nothing more to read.
    pub(crate) fn is_end_stream(&self) -> bool {
        let state = self.core.lock();
        let reading = &state.readers[self.id];
        let has_read_all = reading.place == Place::Window && reading.next == state.window.end();
        reading.has_ended
            || (has_read_all
                && !state.shape.is_storing
                && matches!(state.end, Some(End::Whole(None))))
    }

    /// How many bytes are still to come.
    pub(crate) fn size_hint(&self) -> SizeHint {
        let state = self.core.lock();
        let reading = &state.readers[self.id];
        let unread = state.window.received().saturating_sub(reading.offset);
        let rest = match &state.end {
            _ if reading.has_ended => return SizeHint::with_exact(0),
            None => state.shape.rest,
            Some(End::Whole(_)) => SizeHint::with_exact(0),
            Some(End::Failed) => SizeHint::new(),
        };
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(unread));
        if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(unread)) {
            hint.set_upper(upper);
        }
        hint
    }
}

impl<W: Work> Drop for Reader<W> {
    fn drop(&mut self) {
        let mut guard = self.core.lock();
        let state = &mut *guard;
        state.detach(self.id);
        let left = state.readers.remove(self.id);
        // The last one takes the work along, and with it what was written of the entry.
        let work = if state.readers.is_empty() { state.work.take() } else { None };
        drop(guard);
        drop((left, work));
    }
}
