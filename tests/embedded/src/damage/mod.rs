//! A damaged file. No operation panics or returns a wrong byte. The file heals, is rebuilt, or is
//! refused with advice. A file that opens is always usable.
//!
//! A child process opens one damaged file after the other, because a panic that a store catches is
//! visible only in the child's standard error. Each file is launched twice. In one half of the
//! cases, the first launch removes all entries. In the other half it does not, so that the second
//! launch finds the damage unchanged.
//!
//! `LARDER_DAMAGE_SEED` chooses other damage than the default.

mod injury;
mod launch;

use std::{
    env,
    io::Read,
    ops::Range,
    path::Path,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use larder::store::redb::Durability;

use self::{
    injury::Injury,
    launch::{ENTRIES, Launch, content, head, launch},
};
use crate::{
    child::{child, child_path, say},
    entries::{key, put},
    faults::{DONE, faults, note, notes, runtime, seed, summary},
    stores::Embedded,
};

/// The variable that gives a child its kind of damage and its rounds.
const ROUNDS: &str = "LARDER_TEST_DAMAGE_ROUNDS";

/// The prefix of the number of a case in the child's standard error.
const CASE: &str = "case ";

/// The number of files that one child opens.
const PER_CHILD: usize = 25;

/// The number of cases of random damage.
const RANDOM: usize = 50;

/// The largest number of pages that are zeroed, each in a case of its own. In a file with more
/// pages, only every second or third page is zeroed.
const ZEROED: usize = 256;

/// A child that takes longer than this hangs.
const NEVER: Duration = Duration::from_secs(300);

for_each_store! {
    file_with_a_zeroed_page_heals_or_is_refused,
    file_with_random_damage_heals_or_is_refused,
}

fn file_with_a_zeroed_page_heals_or_is_refused<S: Embedded>(name: &str) {
    survives::<S>(name, |number, len| {
        let pages = len.div_ceil(S::PAGE);
        let page = number * pages.div_ceil(ZEROED);
        (page < pages).then(|| Injury::page(page, S::PAGE))
    });
}

fn file_with_random_damage_heals_or_is_refused<S: Embedded>(name: &str) {
    let seed = seed("LARDER_DAMAGE_SEED", 1);
    survives::<S>(name, |number, len| {
        (number < RANDOM).then(|| Injury::random(seed, number as u64, len, S::PAGE))
    });
}

/// Damages a file in one way after the other, until `injury` returns `None`.
fn survives<S: Embedded>(name: &str, injury: impl Fn(usize, usize) -> Option<Injury>) {
    if let Some(place) = child_path() {
        return run::<S>(&place, injury);
    }
    let directory = tempfile::tempdir().unwrap();
    let whole = directory.path().join("whole");
    runtime().block_on(write::<S>(&whole));
    let len = std::fs::metadata(&whole).unwrap().len() as usize;
    let cases = (0..).take_while(|&number| injury(number, len).is_some()).count();
    let mut found = Vec::new();
    let mut refused = 0;
    let mut from = 0;
    while from < cases {
        let to = (from + PER_CHILD).min(cases);
        let (printed, errors) = child_output(name, directory.path(), from..to);
        found.extend(faults(&printed));
        refused += notes(&printed).len();
        found.extend(panics_in(&errors));
        from = if printed.contains(DONE) {
            to
        } else {
            // Skips the case that ended the child. Another child continues with the next one.
            let last = errors.lines().rfind(|line| line.starts_with(CASE));
            let last = last.unwrap_or_else(|| panic!("no case began: {errors}"));
            found.push(format!("the child ended in {last}"));
            let number = last[CASE.len()..].split(' ').next().unwrap();
            number.parse::<usize>().unwrap() + 1
        };
    }
    println!("{}: {cases} damaged files, {refused} launches refused", S::NAME);
    assert!(found.is_empty(), "{cases} damaged files of {len} bytes, {}", summary(&found));
}

/// Writes a file of 150 entries. It is synced once, so that its layout hardly depends on timing.
async fn write<S: Embedded>(path: &Path) {
    let store = S::open_durable(path, Durability::Every(Duration::from_secs(3_600))).unwrap();
    for number in 0..ENTRIES {
        put(&store, key(number), head(number), content(number)).await.unwrap();
    }
    store.close_file().await.unwrap();
}

/// Runs some rounds in a child. Returns its output and its standard error.
fn child_output(name: &str, place: &Path, rounds: Range<usize>) -> (String, String) {
    let mut command = child(name, place);
    command.env(ROUNDS, format!("{} {}", rounds.start, rounds.end)).env("RUST_BACKTRACE", "0");
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let (output, errors) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let read = |mut from: Box<dyn Read + Send>| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            from.read_to_end(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let (output, errors) = (read(Box::new(output)), read(Box::new(errors)));
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > NEVER {
            child.kill().unwrap();
        }
        thread::sleep(Duration::from_millis(20));
    }
    (output.join().unwrap(), errors.join().unwrap())
}

/// The panics in the standard error of a child, each with its case.
fn panics_in(errors: &str) -> Vec<String> {
    let mut case = "before the first case";
    let mut panics = Vec::new();
    let mut lines = errors.lines();
    while let Some(line) = lines.next() {
        if line.starts_with(CASE) {
            case = line;
        } else if line.contains("panicked") {
            // The message is in the next line.
            let message = lines.next().unwrap_or_default();
            let place = line.rsplit_once("panicked at ").map_or(line, |(_, place)| place);
            panics.push(format!("{case}: a panic at {place} {message}"));
        }
    }
    panics
}

/// The child: damages the file, and launches it twice.
fn run<S: Embedded>(place: &Path, injury: impl Fn(usize, usize) -> Option<Injury>) {
    let rounds = env::var(ROUNDS).unwrap();
    let (from, to) = rounds.split_once(' ').unwrap();
    let whole = std::fs::read(place.join("whole")).unwrap();
    for number in from.parse::<usize>().unwrap()..to.parse().unwrap() {
        let injury = injury(number, whole.len()).unwrap();
        for first in [Launch::Purge, Launch::Use] {
            let when = format!("{CASE}{number} ({injury}), {first:?} first");
            eprintln!("{when}");
            let directory = place.join(format!("{number}-{first:?}"));
            std::fs::create_dir(&directory).unwrap();
            let file = directory.join("cache");
            let mut bytes = whole.clone();
            injury.apply(&mut bytes);
            std::fs::write(&file, bytes).unwrap();
            for (turn, kind) in [("launch 1", first), ("launch 2", Launch::Purge)] {
                let when = format!("{when}, {turn}");
                // A store closes its file and ends its threads before the next launch.
                let opened = runtime().block_on(launch::<S>(&file, kind, &when));
                if !opened {
                    note(format!("{when} is refused"));
                }
            }
            std::fs::remove_dir_all(&directory).unwrap();
        }
    }
    say(DONE);
}
