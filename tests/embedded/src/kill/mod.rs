//! Kills a writing process at a random moment. Afterwards, the file opens, its entries are whole,
//! and only the last operations are lost.
//!
//! Several tasks put, replace and remove entries. They report on a pipe when each operation begins
//! and when it is acknowledged. The test kills the process with `SIGKILL`, opens the file, and
//! compares every entry with the operations.
//!
//! `LARDER_KILLS` is the number of kills, and `LARDER_KILL_SEED` repeats the operations and the
//! moments of a run. The file and its entries stay from kill to kill, and every second process
//! syncs each commit.

mod history;
mod load;

use std::{
    env,
    io::{BufRead, BufReader},
    os::unix::process::ExitStatusExt,
    path::Path,
    thread,
    time::{Duration, SystemTime},
};

use futures_util::StreamExt;
use larder::store::redb::Durability;

use self::{
    history::{State, Task},
    load::{KEYS, Operation, TASKS, body_of, entry_id, head_of, key_of, now, work},
};
use crate::{
    child::{child, child_path},
    entries::put,
    faults::{random, runtime, seed},
    stores::Embedded,
};

/// The variable that gives a child its seed and its round.
const LOAD: &str = "LARDER_TEST_KILL_LOAD";

/// The interval of the syncs in rounds that do not sync each commit.
const INTERVAL: Duration = Duration::from_millis(50);

/// The time that a sync may take after the interval, on a busy machine.
const SLACK: Duration = Duration::from_secs(2);

for_each_store_and_files! {
    kill_loses_only_the_last_operations,
}

fn kill_loses_only_the_last_operations<S: Embedded>(name: &str) {
    if let Some(path) = child_path() {
        return write_until_killed::<S>(&path);
    }
    let chosen = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64 & 0xffff_ffff;
    let seed = seed("LARDER_KILL_SEED", chosen);
    let kills = crate::faults::seed("LARDER_KILLS", 10);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache");
    let mut state = history::empty();
    let (mut begun, mut lost) = (0, 0);
    for round in 0..kills {
        let outcome = kill_once::<S>(name, &path, seed, round, state);
        let round = match outcome {
            Ok(round) => round,
            Err(why) => panic!(
                "{} after kill {} of {kills}: {why}. LARDER_KILL_SEED={seed} repeats the moments.",
                S::NAME,
                round + 1,
            ),
        };
        state = round.state;
        begun += round.begun;
        lost += round.lost;
    }
    println!("{}: {kills} kills, {begun} operations, {lost} acknowledged ones lost", S::NAME);
    assert!(begun > 10 * kills as usize, "the processes did too little: {begun} operations");
}

/// The result of one kill.
struct Round {
    state: State,
    begun: usize,
    lost: usize,
}

/// Odd rounds sync each commit.
fn is_synced(round: u64) -> bool {
    round % 2 == 1
}

/// The child: writes until it is killed.
fn write_until_killed<S: Embedded>(path: &Path) {
    let load = env::var(LOAD).unwrap();
    let (seed, round) = load.split_once(' ').unwrap();
    let (seed, round) = (seed.parse().unwrap(), round.parse().unwrap());
    let durability =
        if is_synced(round) { Durability::EachCommit } else { Durability::Every(INTERVAL) };
    runtime().block_on(async {
        let store = S::open_durable(path, durability).unwrap();
        let tasks = (0..TASKS).map(|task| tokio::spawn(work(store.clone(), seed, round, task)));
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
    });
}

/// The time that a process lives. Some are killed while they open the file.
fn life(seed: u64, round: u64) -> Duration {
    let mut state = seed.wrapping_add(round << 32);
    let most = match random(&mut state) % 10 {
        0 => 30,
        1..8 => 700,
        _ => 2_700,
    };
    Duration::from_micros(random(&mut state) % (most * 1_000))
}

/// Lets a process write, kills it, and checks the file.
fn kill_once<S: Embedded>(
    name: &str,
    path: &Path,
    seed: u64,
    round: u64,
    before: State,
) -> Result<Round, String> {
    let mut command = child(name, path);
    let mut child = command.env(LOAD, format!("{seed} {round}")).spawn().unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let listener = thread::spawn(move || listen(output));
    thread::sleep(life(seed, round));
    let killed_at = now();
    child.kill().unwrap();
    let status = child.wait().unwrap();
    let lines = listener.join().unwrap();
    if status.signal() != Some(9) {
        return Err(format!("the process ended before it was killed: {status}"));
    }
    let tasks = tasks(&lines, seed, round)?;
    let after = runtime().block_on(left::<S>(path))?;
    let kept = if S::LOSES_UNSYNCED && !is_synced(round) {
        killed_at.saturating_sub((INTERVAL + SLACK).as_micros() as u64)
    } else {
        u64::MAX
    };
    let lost = history::check(&tasks, &before, &after, kept)?;
    let begun = tasks.iter().map(|task| task.begun.len()).sum();
    Ok(Round { state: after, begun, lost })
}

/// The complete lines of the process. The kill may have cut the last one.
fn listen(mut output: impl BufRead) -> Vec<String> {
    let mut lines = Vec::new();
    loop {
        let mut line = Vec::new();
        output.read_until(b'\n', &mut line).unwrap();
        match line.pop() {
            Some(b'\n') => lines.push(String::from_utf8(line).unwrap()),
            _ => return lines,
        }
    }
}

/// The operations of the tasks, from the lines of the process.
fn tasks(lines: &[String], seed: u64, round: u64) -> Result<Vec<Task>, String> {
    let mut tasks = vec![Task::default(); TASKS as usize];
    for (at, line) in lines.iter().enumerate() {
        let words: Vec<_> = line.split(' ').collect();
        // The first line of the test program may precede a line of the load.
        let [.., what, task, number, time] = words[..] else { continue };
        let (Ok(task), Ok(number), Ok(time)) =
            (task.parse::<u64>(), number.parse::<u64>(), time.parse())
        else {
            continue;
        };
        let of = &mut tasks[task as usize];
        if what.ends_with("begin") {
            let operation = Operation::of(seed, round, task, number);
            of.operations.push((operation, entry_id(round, task, number)));
            of.begun.push(at);
        } else if what.ends_with("acknowledged") {
            of.acknowledged.push((at, time));
        }
        let (begun, acknowledged) = (of.begun.len(), of.acknowledged.len());
        if begun - acknowledged > 1 || begun as u64 != number + 1 {
            return Err(format!("the lines of task {task} are out of order: {line}"));
        }
    }
    Ok(tasks)
}

/// Opens the file and returns the entry under each key. Every entry must be whole.
async fn left<S: Embedded>(path: &Path) -> Result<State, String> {
    let store = S::open_file(path).map_err(|error| format!("the file does not open: {error:#}"))?;
    let mut state = history::empty();
    let mut entries = 0;
    for task in 0..TASKS {
        for number in 0..KEYS {
            let found = store.get(&key_of(task, number)).await;
            let found = found.map_err(|error| format!("a lookup failed: {error:#}"))?;
            let Some(hit) = found else { continue };
            let (head, id) = (hit.head.clone(), hit.head.stored_at().as_millis());
            let bytes = hit.body.bytes().await;
            let bytes = bytes.map_err(|error| format!("a body cannot be read: {error:#}"))?;
            let what = format!("key {number} of task {task}, entry {id:#x}");
            if bytes != body_of(id) {
                return Err(format!("{what}: a body of {} bytes is wrong", bytes.len()));
            }
            if *head != head_of(task, id).seal(bytes.len() as u64, None) {
                return Err(format!("{what}: the head is wrong: {head:?}"));
            }
            state[task as usize][number as usize] = Some(id);
            entries += 1;
        }
    }
    let listed: Vec<_> = store.scan().collect().await;
    if let Some(error) = listed.iter().find_map(|item| item.as_ref().err()) {
        return Err(format!("an entry cannot be listed: {error:#}"));
    }
    let len = store.len().await.map_err(|error| format!("no number of entries: {error:#}"))?;
    if (listed.len() as u64, len) != (entries, entries) {
        let listed = listed.len();
        return Err(format!("{entries} entries are there, {listed} listed, and {len} counted"));
    }
    // The store accepts writes again. No task uses this key.
    let (other, head) = (key_of(TASKS, 0), head_of(TASKS, 0));
    let written = put(&store, other, head, body_of(0)).await;
    written.map_err(|error| format!("no entry can be written: {error:#}"))?;
    let removed = store.remove(&other).await.map_err(|error| format!("no removal: {error:#}"))?;
    if !removed {
        return Err("a new entry cannot be found".to_owned());
    }
    store.close_file().await.map_err(|error| format!("the file does not close: {error:#}"))?;
    Ok(state)
}
