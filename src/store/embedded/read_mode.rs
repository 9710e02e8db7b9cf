//! Where lookups run: on the calling thread, or off it while the disk is slow.
//!
//! This file decides, and does no I/O. The engine reads where it says.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// Where an embedded store reads.
///
/// A *lookup* finds an entry and reads its head with a body of up to 32 KiB, or the first 128 KiB
/// of a longer body. If the pages are in memory, that takes a few microseconds, and moving it to
/// another thread takes many times as long. If the disk must deliver the pages, the thread waits
/// for it. A lookup that would wait for something else moves to another thread, and does not show
/// whether the disk is fast.
///
/// # What a runtime thread can be held up by
///
/// A thread that reads in place does nothing else until the disk has answered. With
/// [`Adaptive`](Reads::Adaptive), that is at worst:
///
/// * three of each eight lookups, for up to 100 ms each. The third of them moves lookups to other
///   threads. While at most two of eight are slow, lookups stay where they are.
/// * one lookup that takes longer, until the disk answers. It moves lookups to other threads at
///   once, for at least a second. If the disk hangs, this happens to each runtime thread that is
///   reading, or begins to read, before the first answer.
/// * one lookup each second, on one thread, while the disk stays slow but answers within 100 ms. If
///   the last answer took longer, a blocking thread finds out whether the disk is fast again.
///
/// With [`InPlace`](Reads::InPlace), it is each read, for as long as the disk takes. With
/// [`OffThread`](Reads::OffThread), it is nothing. A disk that may hang, such as a network file
/// system, calls for `OffThread` or for [`Timeout`](crate::store::Timeout), which asks for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reads {
    /// Lookups run on the calling thread, and the further chunks of a large body on another one.
    /// When three of the last eight lookups took more than 1 ms, or one took more than 100 ms,
    /// lookups move to blocking threads for a second. Then one lookup tries whether the disk is
    /// fast again.
    #[default]
    Adaptive,
    /// Every read runs on the calling thread, further chunks of a large body as well. This is right
    /// if the file is in memory anyway.
    InPlace,
    /// Lookups run on blocking threads, and further chunks on a thread of the store.
    OffThread,
}

/// A read that takes longer is slow.
const SLOW: Duration = Duration::from_millis(1);

/// A read that takes longer is a stall.
const STALL: Duration = Duration::from_millis(100);

/// How many of the last eight reads must be slow for reads to move away.
const MOST_SLOW: u32 = 3;

/// How long reads stay away until one is tried.
const AWAY: Duration = Duration::from_secs(1);

/// Decides where each read of one file runs, and learns from how long reads take.
pub(in crate::store) struct ReadMode {
    setting: Reads,
    /// Reads run in place, and the last eight were fast. Such a read takes no lock.
    is_calm: AtomicBool,
    state: Mutex<State>,
    /// The time since some moment. It never goes back.
    now: Box<dyn Fn() -> Duration + Send + Sync>,
}

/// What was learnt from the reads so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    InPlace {
        /// Which of the last eight reads were slow, the last one in the lowest bit.
        slow: u8,
    },
    Away {
        /// When a read is tried.
        until: Duration,
        /// The disk has stalled, so the trial must not hold up a runtime thread.
        has_stalled: bool,
        /// A trial is under way.
        is_tried: bool,
    },
}

/// Where one read runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// On the calling thread, and not on another one.
    pub(super) is_here: bool,
    /// The read shows whether the disk is fast again.
    pub(super) is_trial: bool,
}

impl Place {
    pub(super) const HERE: Self = Self { is_here: true, is_trial: false };
    pub(super) const OFF: Self = Self { is_here: false, is_trial: false };
}

impl ReadMode {
    pub(in crate::store) fn new(setting: Reads) -> Self {
        let origin = Instant::now();
        Self::with_clock(setting, move || origin.elapsed())
    }

    pub(in crate::store) fn with_clock(
        setting: Reads,
        now: impl Fn() -> Duration + Send + Sync + 'static,
    ) -> Self {
        let (is_calm, state) = (AtomicBool::new(true), Mutex::new(State::CALM));
        Self { setting, is_calm, state, now: Box::new(now) }
    }

    pub(in crate::store) fn setting(&self) -> Reads {
        self.setting
    }

    // Nothing panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_calm(&self) -> bool {
        self.is_calm.load(Ordering::Relaxed)
    }

    /// Decides where the read that begins now runs. The end of a trial must be
    /// [learnt](Self::learn).
    pub(super) fn place(&self) -> Place {
        match self.setting {
            Reads::InPlace => return Place::HERE,
            Reads::OffThread => return Place::OFF,
            Reads::Adaptive if self.is_calm() => return Place::HERE,
            Reads::Adaptive => {}
        }
        match &mut *self.lock() {
            State::InPlace { .. } => Place::HERE,
            State::Away { until, has_stalled, is_tried }
                if !*is_tried && (self.now)() >= *until =>
            {
                *is_tried = true;
                Place { is_here: !*has_stalled, is_trial: true }
            }
            State::Away { .. } => Place::OFF,
        }
    }

    /// The time at which a read begins, if it must be measured.
    pub(super) fn begin(&self) -> Option<Duration> {
        (self.setting == Reads::Adaptive).then(|| (self.now)())
    }

    /// Learns from a read on the calling thread that began at `began`, and ends now.
    ///
    /// If it would have had to wait, it `has_read` nothing. That says nothing of the disk, unless
    /// it took long. Returns whether anything was learnt; if not, a trial must go on.
    pub(super) fn learn_here(&self, began: Duration, has_read: bool, is_trial: bool) -> bool {
        let took = (self.now)().saturating_sub(began);
        let is_learnt = has_read || took > SLOW;
        if is_learnt {
            self.learn(Some(took), is_trial);
        }
        is_learnt
    }

    /// Learns from a read that took `took`, or that was given up before it began.
    fn learn(&self, took: Option<Duration>, is_trial: bool) {
        let is_fast = took.is_some_and(|took| took <= SLOW);
        // The usual case writes nothing.
        if is_fast && !is_trial && self.is_calm() {
            return;
        }
        let now = (self.now)();
        let mut state = self.lock();
        *state = state.after(took, now, is_trial);
        self.is_calm.store(*state == State::CALM, Ordering::Relaxed);
    }
}

impl fmt::Debug for ReadMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadMode").field("setting", &self.setting).finish_non_exhaustive()
    }
}

impl State {
    const CALM: Self = Self::InPlace { slow: 0 };

    /// The state after a read that took `took`, or that was given up before it began.
    fn after(self, took: Option<Duration>, now: Duration, is_trial: bool) -> Self {
        let is_slow = took.is_none_or(|took| took > SLOW);
        let is_stall = took.is_none_or(|took| took > STALL);
        let away = |has_stalled, is_tried| Self::Away { until: now + AWAY, has_stalled, is_tried };
        match self {
            Self::Away { .. } if is_trial && is_slow => away(is_stall, false),
            Self::Away { .. } if is_trial => Self::CALM,
            // It began in place before reads moved away.
            Self::Away { is_tried, .. } if is_stall => away(true, is_tried),
            Self::Away { .. } => self,
            Self::InPlace { slow } => {
                let slow = (slow << 1) | u8::from(is_slow);
                if is_stall || slow.count_ones() >= MOST_SLOW {
                    away(is_stall, false)
                } else {
                    Self::InPlace { slow }
                }
            }
        }
    }
}

/// A trial on another thread, which is learnt from when this is dropped. A trial that is given up
/// before it has [begun](Self::begun) counts as a stall: nobody knows how long it would have taken.
pub(super) struct Trial {
    mode: Arc<ReadMode>,
    began: Option<Duration>,
}

impl Trial {
    pub(super) fn new(mode: Arc<ReadMode>) -> Self {
        Self { mode, began: None }
    }

    pub(super) fn begun(mut self) -> Self {
        self.began = self.mode.begin();
        self
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        let took = self.began.map(|began| (self.mode.now)().saturating_sub(began));
        self.mode.learn(took, true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads whose places are counted, at a time that the test sets.
    struct Fake {
        mode: Arc<ReadMode>,
        time: Arc<Mutex<Duration>>,
        here: usize,
        off: usize,
    }

    const FAST: Duration = Duration::from_micros(20);
    const MILLISECOND: Duration = Duration::from_millis(1);
    const TRIAL_HERE: Place = Place { is_here: true, is_trial: true };
    const TRIAL_OFF: Place = Place { is_here: false, is_trial: true };

    impl Fake {
        fn new(setting: Reads) -> Self {
            let time = Arc::new(Mutex::new(Duration::ZERO));
            let clock = time.clone();
            let mode = ReadMode::with_clock(setting, move || *clock.lock().unwrap());
            Self { mode: Arc::new(mode), time, here: 0, off: 0 }
        }

        fn pass(&self, time: Duration) {
            *self.time.lock().unwrap() += time;
        }

        fn began(&self) -> Duration {
            *self.time.lock().unwrap()
        }

        fn end(&self, began: Duration, is_trial: bool) {
            assert!(self.mode.learn_here(began, true, is_trial));
        }

        /// One read that takes `time`.
        fn read(&mut self, time: Duration) -> Place {
            let place = self.mode.place();
            *if place.is_here { &mut self.here } else { &mut self.off } += 1;
            let began = self.began();
            self.pass(time);
            if place != Place::OFF {
                self.end(began, place.is_trial);
            }
            place
        }

        fn reads(&mut self, count: usize, time: Duration) -> (usize, usize) {
            (self.here, self.off) = (0, 0);
            for _ in 0..count {
                self.read(time);
            }
            (self.here, self.off)
        }
    }

    #[test]
    fn fast_reads_run_in_place() {
        let mut fake = Fake::new(Reads::Adaptive);
        assert_eq!(fake.reads(1_000, FAST), (1_000, 0));
        // Exactly a millisecond is not over a millisecond.
        assert_eq!(fake.reads(1_000, MILLISECOND), (1_000, 0));
    }

    #[test]
    fn two_slow_reads_of_eight_stay_in_place() {
        let mut fake = Fake::new(Reads::Adaptive);
        for _ in 0..100 {
            assert_eq!(fake.reads(2, 50 * MILLISECOND), (2, 0));
            assert_eq!(fake.reads(6, FAST), (6, 0));
        }
    }

    #[test]
    fn three_slow_reads_of_eight_move_reads_away_for_a_second() {
        let mut fake = Fake::new(Reads::Adaptive);
        for _ in 0..2 {
            assert_eq!(fake.reads(1, 2 * MILLISECOND), (1, 0));
            assert_eq!(fake.reads(2, FAST), (2, 0));
        }
        assert_eq!(fake.reads(1, 2 * MILLISECOND), (1, 0));
        assert_eq!(fake.reads(99, 10 * MILLISECOND), (0, 99));
        fake.pass(10 * MILLISECOND);
        assert_eq!(fake.read(FAST), TRIAL_HERE);
        assert_eq!(fake.reads(1_000, FAST), (1_000, 0));
    }

    #[test]
    fn a_slow_trial_keeps_reads_away_for_another_second() {
        let mut fake = Fake::new(Reads::Adaptive);
        fake.reads(3, 2 * MILLISECOND);
        for _ in 0..10 {
            fake.pass(AWAY);
            assert_eq!(fake.read(2 * MILLISECOND), TRIAL_HERE);
            assert_eq!(fake.reads(99, 10 * MILLISECOND), (0, 99));
        }
    }

    #[test]
    fn a_stall_moves_reads_away_at_once_and_is_tried_off_the_calling_thread() {
        let mut fake = Fake::new(Reads::Adaptive);
        assert_eq!(fake.read(101 * MILLISECOND), Place::HERE);
        assert_eq!(fake.read(FAST), Place::OFF);
        fake.pass(AWAY);
        assert_eq!(fake.read(101 * MILLISECOND), TRIAL_OFF);
        assert_eq!(fake.read(FAST), Place::OFF);
        fake.pass(AWAY);
        // Slow, but no stall: the next trial may run on the calling thread.
        assert_eq!(fake.read(20 * MILLISECOND), TRIAL_OFF);
        fake.pass(AWAY);
        assert_eq!(fake.read(FAST), TRIAL_HERE);
        assert_eq!(fake.read(FAST), Place::HERE);
    }

    #[test]
    fn one_trial_runs_at_a_time() {
        let mut fake = Fake::new(Reads::Adaptive);
        fake.reads(3, 2 * MILLISECOND);
        fake.pass(AWAY);
        assert_eq!(fake.mode.place(), TRIAL_HERE);
        let trial = fake.began();
        for _ in 0..5 {
            fake.pass(AWAY);
            assert_eq!(fake.read(FAST), Place::OFF);
        }
        fake.end(trial, true);
        // It took five seconds.
        assert_eq!(fake.read(FAST), Place::OFF);
        fake.pass(AWAY);
        assert_eq!(fake.read(FAST), TRIAL_OFF);
        assert_eq!(fake.read(FAST), Place::HERE);
    }

    #[test]
    fn a_trial_that_is_given_up_is_repeated_off_the_calling_thread() {
        let mut fake = Fake::new(Reads::Adaptive);
        fake.read(101 * MILLISECOND);
        fake.pass(AWAY);
        assert_eq!(fake.mode.place(), TRIAL_OFF);
        drop(Trial::new(fake.mode.clone()));
        assert_eq!(fake.read(FAST), Place::OFF);
        fake.pass(AWAY);
        assert_eq!(fake.read(FAST), TRIAL_OFF);
    }

    #[test]
    fn a_read_that_stalls_while_others_are_away_already_counts_as_a_stall() {
        let mut fake = Fake::new(Reads::Adaptive);
        let began = fake.began();
        fake.reads(3, 2 * MILLISECOND);
        fake.pass(50 * MILLISECOND);
        fake.end(began, false);
        fake.pass(50 * MILLISECOND);
        fake.end(began, false);
        fake.pass(AWAY);
        assert_eq!(fake.read(FAST), TRIAL_OFF);
    }

    #[test]
    fn a_setting_forces_either_way() {
        let mut fake = Fake::new(Reads::InPlace);
        assert_eq!(fake.reads(100, 500 * MILLISECOND), (100, 0));
        let mut fake = Fake::new(Reads::OffThread);
        assert_eq!(fake.reads(100, FAST), (0, 100));
    }
}
