//! The operations that a killed process began and acknowledged. Checks that the surviving entries
//! are consistent with them.
//!
//! The lines of the process are in order: an operation that begins after another was acknowledged
//! stands below it.
//!
//! The surviving operations are a prefix if there is a *cut* for each task. The operations of the
//! task before the cut survived, and the others did not. Everything that was acknowledged before a
//! surviving operation began survived too.

use super::load::{KEYS, Operation, TASKS};

/// The entry under a key: its number, or nothing.
pub(super) type Left = Option<u64>;

/// The entry under each key of each task.
pub(super) type State = Vec<Vec<Left>>;

/// The state of an empty file.
pub(super) fn empty() -> State {
    vec![vec![None; KEYS as usize]; TASKS as usize]
}

/// The operations of one task.
#[derive(Clone, Debug, Default)]
pub(super) struct Task {
    /// The operations. A put has the number of its entry.
    pub(super) operations: Vec<(Operation, u64)>,
    /// The line in which each operation began.
    pub(super) begun: Vec<usize>,
    /// The line and the time in which each operation was acknowledged.
    pub(super) acknowledged: Vec<(usize, u64)>,
}

impl Task {
    /// The number of operations that were acknowledged above the line.
    fn acknowledged_above(&self, line: usize) -> usize {
        self.acknowledged.partition_point(|&(at, _)| at < line)
    }

    /// The number of operations that were acknowledged before the time.
    fn acknowledged_before(&self, time: u64) -> usize {
        self.acknowledged.partition_point(|&(_, at)| at < time)
    }

    /// The cuts that explain the surviving entries: for each number of operations, whether these
    /// operations leave the same entries.
    fn cuts(&self, before: &[Left], after: &[Left]) -> Vec<bool> {
        let mut cuts = vec![true; self.operations.len() + 1];
        for key in 0..KEYS {
            let (mut state, left) = (before[key as usize], after[key as usize]);
            cuts[0] &= state == left;
            for (number, &(operation, id)) in self.operations.iter().enumerate() {
                match operation {
                    Operation::Put(of) if of == key => state = Some(id),
                    Operation::Remove(of) if of == key => state = None,
                    Operation::RemoveTagged => state = None,
                    _ => {}
                }
                cuts[number + 1] &= state == left;
            }
        }
        cuts
    }
}

/// Checks that a prefix of the operations turns `before` into `after`. Operations that were
/// acknowledged before the time `kept` must have survived. Returns the number of acknowledged
/// operations that were lost.
pub(super) fn check(
    tasks: &[Task],
    before: &State,
    after: &State,
    kept: u64,
) -> Result<usize, String> {
    let possible: Vec<_> =
        tasks.iter().zip(before.iter().zip(after)).map(|(task, (b, a))| task.cuts(b, a)).collect();
    let least =
        |task: usize, from: usize| (from..possible[task].len()).find(|&c| possible[task][c]);
    let mut cuts = Vec::new();
    for (number, task) in tasks.iter().enumerate() {
        let Some(cut) = least(number, 0) else {
            return Err(format!(
                "what is left of task {number} is no prefix of its {} operations",
                task.operations.len()
            ));
        };
        let must = task.acknowledged_before(kept);
        cuts.push(least(number, must.max(cut)).ok_or_else(|| {
            format!(
                "task {number} lost operations that were acknowledged too long ago to be lost: {} \
                 must be there, and {} are",
                must,
                (0..must).rev().find(|&cut| possible[number][cut]).unwrap_or(0),
            )
        })?);
    }
    // Finds the lowest cuts that fit together. Each step only raises a cut, and only as far as it
    // must.
    loop {
        let mut moved = false;
        for later in 0..tasks.len() {
            let Some(last) = cuts[later].checked_sub(1) else { continue };
            let line = tasks[later].begun[last];
            for earlier in 0..tasks.len() {
                let must = tasks[earlier].acknowledged_above(line);
                if cuts[earlier] < must {
                    cuts[earlier] = least(earlier, must).ok_or_else(|| {
                        format!(
                            "operation {last} of task {later} survived, and operation {} of task \
                             {earlier}, acknowledged before it began, did not",
                            must - 1,
                        )
                    })?;
                    moved = true;
                }
            }
        }
        if !moved {
            break;
        }
    }
    let most = possible.iter().map(|cuts| cuts.iter().rposition(|&fits| fits).unwrap_or(0));
    Ok(tasks.iter().zip(most).map(|(task, cut)| task.acknowledged.len().saturating_sub(cut)).sum())
}

/// Two tasks that put under key 0. The first one's operation is acknowledged before the second one
/// begins.
fn two_puts() -> (Vec<Task>, State) {
    let task = |begun, acknowledged, id| Task {
        operations: vec![(Operation::Put(0), id)],
        begun: vec![begun],
        acknowledged: vec![(acknowledged, acknowledged as u64 * 1_000)],
    };
    (vec![task(0, 1, 7), task(2, 3, 8)], empty())
}

#[test]
fn check_of_kills_accepts_only_prefixes() {
    let (tasks, before) = two_puts();
    let state = |first, second| {
        let mut state = empty();
        (state[0][0], state[1][0]) = (first, second);
        state
    };
    let check = |first, second, kept| check(&tasks, &before, &state(first, second), kept);
    assert_eq!(check(Some(7), Some(8), 9_000), Ok(0));
    assert_eq!(check(Some(7), None, 2_000), Ok(1));
    assert_eq!(check(None, None, 0), Ok(2));
    // The later operation survived without the earlier one.
    assert!(check(None, Some(8), 0).unwrap_err().contains("acknowledged before it began"));
    // An operation that had to survive is lost, and an entry has an unknown number.
    assert!(check(Some(7), None, 9_000).unwrap_err().contains("too long ago"));
    assert!(check(Some(9), None, 0).unwrap_err().contains("no prefix"));
}

#[test]
fn check_of_kills_accepts_either_order_of_overlapping_operations() {
    let (mut tasks, before) = two_puts();
    tasks[0].acknowledged = vec![(3, 3_000)];
    let mut after = empty();
    after[1][0] = Some(8);
    assert_eq!(check(&tasks, &before, &after, 0), Ok(1));
}
