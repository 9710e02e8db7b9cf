//! What calls learn of removals.

use std::cell::Cell;

use super::removals::{MOST, Mark, RemovalLog, Since};

struct Log {
    log: RemovalLog,
    number: Cell<u64>,
}

impl Log {
    fn new() -> Self {
        Self { log: RemovalLog::new(), number: Cell::new(0) }
    }

    fn number(&self) -> u64 {
        self.number.set(self.number.get() + 1);
        self.number.get()
    }

    fn note(&self, mark: Option<Mark>, spared: Option<u64>) {
        self.log.add(mark, spared, || true, || self.number());
    }

    /// Whether a removal of `mark` concerns the call.
    fn concerns(&self, call: u64, began: u64, mark: Mark) -> bool {
        let since = Since { call, began, until: u64::MAX };
        self.log.concern(since, [mark].into_iter())
    }
}

#[test]
fn a_removal_concerns_calls_that_began_before_it() {
    let log = Log::new();
    let (one, other) = (Mark::new(1), Mark::new(2));
    let old = log.number();
    log.note(Some(one), None);
    let new = log.number();
    assert!(log.concerns(7, old, one) && !log.concerns(7, old, other));
    assert!(!log.concerns(8, new, one));
    log.note(None, None);
    assert!(log.concerns(7, old, other) && log.concerns(8, new, one));
}

#[test]
fn a_removal_spares_one_call_and_no_other() {
    let log = Log::new();
    let mark = Mark::new(1);
    let began = log.number();
    log.note(Some(mark), Some(7));
    assert!(!log.concerns(7, began, mark) && log.concerns(8, began, mark));
    log.note(Some(mark), Some(7));
    assert!(!log.concerns(7, began, mark), "both spare it");
    log.note(Some(mark), Some(8));
    assert!(log.concerns(7, began, mark), "the last one spares another");
    assert!(log.concerns(8, began, mark), "the first two do not spare it");
    log.note(Some(mark), None);
    assert!(log.concerns(7, began, mark) && log.concerns(8, began, mark));
}

#[test]
fn a_request_that_joined_before_a_removal_is_not_concerned() {
    let log = Log::new();
    let mark = Mark::new(1);
    let began = log.number();
    let joined = log.log.last();
    log.note(Some(mark), None);
    let concerns = |until| log.log.concern(Since { call: 7, began, until }, [mark].into_iter());
    assert!(!concerns(joined) && concerns(log.log.last()));
    log.note(Some(mark), None);
    assert!(!concerns(joined), "a later removal changes nothing");
}

#[test]
fn removals_before_a_call_began_do_not_concern_its_followers() {
    let log = Log::new();
    let (mark, other) = (Mark::new(1), Mark::new(2));
    let concerns =
        |began, until| log.log.concern(Since { call: 7, began, until }, [mark].into_iter());
    log.note(Some(mark), None);
    let began = log.number();
    log.note(Some(other), None);
    let joined = log.log.last();
    log.note(Some(mark), None);
    assert!(!concerns(began, joined) && concerns(began, log.log.last()));
    let late = log.log.last();
    log.note(Some(mark), None);
    assert!(!concerns(began, joined) || !concerns(began, began), "before it began");
    assert!(concerns(began, late), "the last but one came before it joined");
}

#[test]
fn old_removals_are_forgotten_and_too_many_count_as_everything() {
    let log = Log::new();
    let old = log.number();
    for n in 0..MOST {
        assert!(!log.log.is_full());
        log.note(Some(Mark::new(n)), None);
    }
    let new = log.number();
    assert!(log.log.is_full());
    log.log.forget(new);
    assert!(!log.log.is_full() && !log.concerns(7, old, Mark::new(0)));
    for n in 0..MOST {
        log.note(Some(Mark::new(n)), None);
    }
    let newer = log.number();
    log.log.forget(new);
    assert!(!log.log.is_full() && log.concerns(7, new, Mark::new("another")));
    assert!(log.concerns(7, new, Mark::new(MOST - 1)), "the newer half is known");
    assert!(!log.concerns(7, newer, Mark::new("another")), "only older calls are concerned");
}

#[test]
fn without_calls_nothing_is_remembered() {
    let log = Log::new();
    log.note(Some(Mark::new(1)), None);
    log.log.add(Some(Mark::new(2)), None, || false, || log.number());
    log.note(Some(Mark::new(3)), None);
    assert!(!log.concerns(7, 0, Mark::new(1)) && !log.concerns(7, 0, Mark::new(2)));
    assert!(log.concerns(7, 0, Mark::new(3)));
}
