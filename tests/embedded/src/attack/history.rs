//! The operations of several tasks on a few keys. Checks that their reads are consistent.
//!
//! Time is a counter that advances at every beginning and end of an operation. An operation takes
//! effect at one moment between its beginning and its end. A value that was read must have been
//! current at some moment of the read.

use std::collections::HashMap;

/// The beginning and the end of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: u64,
    pub(super) to: u64,
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Done,
    /// It had no effect, or it failed.
    Failed,
    /// Its future was dropped. It may take effect before any operation that begins later.
    Abandoned,
}

/// An event of one key.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// A value was put, or became current by an update.
    Write(u64, End),
    /// The entry was removed.
    Remove(End),
    /// A value was read, or nothing.
    Read(Option<u64>),
}

#[derive(Clone, Debug, Default)]
pub(super) struct History {
    events: Vec<(Span, Event)>,
    purges: Vec<(Span, End, Vec<u64>)>,
}

impl History {
    pub(super) fn add(&mut self, span: Span, event: Event) {
        self.events.push((span, event));
    }

    /// Removes the values that `is_meant` selects from all that were written before.
    pub(super) fn purge(&mut self, span: Span, end: End, is_meant: &impl Fn(u64) -> bool) {
        let values = self.events.iter().filter_map(|(_, event)| match event {
            Event::Write(value, _) if is_meant(*value) => Some(*value),
            _ => None,
        });
        self.purges.push((span, end, values.collect()));
    }

    /// Finds reads that no order of the operations explains. If `may_forget`, an entry may
    /// disappear without a removal, but must not come back.
    pub(super) fn check(&self, may_forget: bool) -> Vec<String> {
        let mut writes = HashMap::new();
        for (span, event) in &self.events {
            if let Event::Write(value, end) = event {
                writes.insert(*value, (*span, *end));
            }
        }
        // A value that was read must have been written.
        let mut known: HashMap<u64, u64> =
            writes.iter().map(|(value, (span, _))| (*value, span.to)).collect();
        for (span, event) in &self.events {
            if let Event::Read(Some(value)) = event {
                known.entry(*value).and_modify(|to| *to = span.to.min(*to));
            }
        }
        // The spans in which another value was certainly current.
        let others: Vec<(Span, Option<u64>, bool)> = self
            .events
            .iter()
            .filter_map(|(span, event)| match event {
                Event::Write(value, End::Done) => {
                    Some((Span { from: span.from, to: known[value] }, Some(*value), true))
                }
                Event::Write(value, _) if known[value] < span.to => {
                    Some((Span { from: span.from, to: known[value] }, Some(*value), true))
                }
                Event::Remove(End::Done) => Some((*span, None, true)),
                Event::Read(None) => Some((*span, None, false)),
                _ => None,
            })
            .collect();
        let mut faults = Vec::new();
        for (read, event) in &self.events {
            match event {
                Event::Read(Some(value)) => {
                    let Some((written, end)) = writes.get(value) else {
                        faults.push(format!("{value:#x} was read, and nobody wrote it"));
                        continue;
                    };
                    if written.from > read.to {
                        faults.push(format!("{value:#x} was read before it was written"));
                    }
                    if *end == End::Failed && written.to < read.from {
                        faults.push(format!("{value:#x} failed {written:?} and was read {read:?}"));
                    }
                    let since = known[value];
                    // An abandoned write may take effect after a read, but not after a later
                    // change.
                    let is_open = *end == End::Abandoned && since == written.to;
                    let is_over = |(other, of, is_change): &&(Span, Option<u64>, bool)| {
                        *of != Some(*value)
                            && since < other.from
                            && other.to < read.from
                            && (*is_change || !is_open)
                    };
                    let is_purged = |purge: &&(Span, End, Vec<u64>)| {
                        purge.1 == End::Done
                            && since < purge.0.from
                            && purge.0.to < read.from
                            && purge.2.contains(value)
                    };
                    if let Some((purge, ..)) = self.purges.iter().find(is_purged) {
                        faults.push(format!(
                            "{value:#x}, there since {since}, was read {read:?} after a removal \
                             of many {purge:?}"
                        ));
                    }
                    if let Some(other) = others.iter().find(is_over) {
                        faults.push(format!(
                            "{value:#x}, there since {since}, was read {read:?} after {other:?}"
                        ));
                    }
                }
                Event::Read(None) if !may_forget => {
                    let last = writes
                        .iter()
                        .filter(|(_, (span, end))| *end == End::Done && span.to < read.from)
                        .max_by_key(|(_, (span, _))| span.from);
                    let Some((value, (written, _))) = last else { continue };
                    let is_removed = self.events.iter().any(|(span, event)| {
                        matches!(event, Event::Remove(_))
                            && span.to > written.from
                            && span.from < read.to
                    });
                    let is_purged = self
                        .purges
                        .iter()
                        .any(|(span, ..)| span.to > written.from && span.from < read.to);
                    if !is_removed && !is_purged {
                        faults.push(format!("{value:#x}, written {written:?}, is gone {read:?}"));
                    }
                }
                _ => {}
            }
        }
        faults
    }
}

#[test]
fn check_of_histories_finds_values_that_come_back() {
    let check = |events: &[(u64, u64, Event)]| {
        let mut history = History::default();
        for (from, to, event) in events {
            history.add(Span { from: *from, to: *to }, *event);
        }
        history.check(false).len()
    };
    let write = |value| Event::Write(value, End::Done);
    let (read, gone) = (|value| Event::Read(Some(value)), Event::Remove(End::Done));
    assert_eq!(check(&[(1, 2, write(7)), (3, 4, read(7)), (5, 6, gone)]), 0);
    assert_eq!(check(&[(1, 2, write(7)), (3, 4, gone), (5, 6, read(7))]), 1);
    // The operations overlap.
    assert_eq!(check(&[(1, 4, write(7)), (3, 5, gone), (6, 7, read(7))]), 0);
    // A value that was read once was stored before the removal.
    assert_eq!(check(&[(1, 9, write(7)), (2, 3, read(7)), (4, 5, gone), (6, 7, read(7))]), 1);
    assert_eq!(check(&[(1, 2, write(7)), (3, 4, Event::Read(None))]), 1);
    assert_eq!(check(&[(1, 2, Event::Write(7, End::Failed)), (3, 4, read(7))]), 1);
    // A read of a later value, and then of an older one.
    assert_eq!(check(&[(1, 2, write(7)), (3, 9, write(8)), (4, 5, read(8)), (6, 7, read(7))]), 1);
}
