//! Searches for a run that fails, and shortens it.

use std::{
    collections::BTreeMap,
    env,
    fmt::Write as _,
    hash::{BuildHasher, RandomState},
    io::{self, Write as _},
    time::{Duration, Instant},
};

use larder::store::AnyStore;

use crate::{
    paced::Pace,
    plan::{Settings, Step},
    rng::Rng,
    run::{Failure, play},
};

/// The number of steps in a run over one store. An event depends on a few steps before it, and a
/// short run can soon be repeated.
const RUN: u64 = 40;
/// The default number of steps in all runs over one kind of store.
const STEPS: u64 = 10_000;
/// The number of steps that are shown.
const SHOWN: usize = 40;
/// The time that is spent to shorten a failing run.
const SHRINKING: Duration = Duration::from_secs(30);

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

/// Plays runs until all steps are done. Fails with the first run that gives a wrong answer.
pub(crate) fn search(name: &str, store: impl Fn(&Pace) -> AnyStore) {
    let seed = number("LARDER_MODEL_SEED").unwrap_or_else(|| RandomState::new().hash_one(0) >> 16);
    let steps = number("LARDER_MODEL_STEPS").unwrap_or(STEPS);
    // Not with a macro, because the test harness hides its output when the test passes.
    let _ = writeln!(io::stderr(), "{name}: LARDER_MODEL_SEED={seed}, {steps} steps");
    let began = Instant::now();
    let mut outcomes = BTreeMap::<&str, u64>::new();
    for run in 0..steps.div_ceil(RUN) {
        let seed = seed.wrapping_add(run);
        let mut rng = Rng::new(seed);
        let settings = Settings::random(&mut rng);
        let count = RUN.min(steps - run * RUN);
        let plan: Vec<_> = (0..count).map(|_| Step::random(&mut rng)).collect();
        match play(&settings, &store, &plan) {
            Ok(seen) => {
                for (outcome, count) in seen {
                    *outcomes.entry(outcome).or_default() += count;
                }
            }
            Err(failure) => {
                let whole = shown(&failure);
                let shortened = shorten(&settings, &store, plan, *failure);
                let short = shown(&shortened);
                panic!(
                    "{name}, {settings:?}\nagain with LARDER_MODEL_SEED={seed}\n{whole}\n\n\
                     The same with fewer steps:\n{short}"
                );
            }
        }
    }
    let _ = writeln!(io::stderr(), "{name}: {:.1?}, {outcomes:?}", began.elapsed());
}

/// Leaves out steps, and operations of steps, as long as the run still fails.
fn shorten(
    settings: &Settings,
    store: impl Fn(&Pace) -> AnyStore,
    mut plan: Vec<Step>,
    mut failure: Failure,
) -> Failure {
    let began = Instant::now();
    plan.truncate(failure.step + 1);
    let mut size = plan.len().div_ceil(2);
    let fails = |plan: &[Step]| {
        (began.elapsed() < SHRINKING).then(|| play(settings, &store, plan).err()).flatten()
    };
    while size > 0 {
        let mut at = 0;
        while at < plan.len() {
            let mut fewer = plan.clone();
            fewer.drain(at..(at + size).min(plan.len()));
            match fails(&fewer) {
                Some(found) => {
                    fewer.truncate(found.step + 1);
                    (plan, failure) = (fewer, *found);
                }
                None => at += size,
            }
        }
        size /= 2;
    }
    for step in 0..plan.len() {
        let mut op = 0;
        while step < plan.len() && op < plan[step].ops.len() {
            let mut fewer = plan.clone();
            fewer[step].ops.remove(op);
            match fails(&fewer) {
                Some(found) => (plan, failure) = (fewer, *found),
                None => op += 1,
            }
        }
    }
    failure
}

/// The last steps, and the failure.
fn shown(failure: &Failure) -> String {
    let mut text = String::new();
    for step in failure.log.iter().skip(failure.log.len().saturating_sub(SHOWN)) {
        for line in step {
            writeln!(text, "{line}").unwrap();
        }
    }
    write!(text, "{}", failure.why).unwrap();
    text
}
