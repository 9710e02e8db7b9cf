//! The results of a cache for all cases: verdicts, sections, and differences from the accepted
//! failures.

use std::{
    collections::{HashMap, HashSet},
    fmt,
};

use crate::{
    case::{Case, Kind, Suite},
    judge::Fault,
};

/// The result of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passed,
    /// It was played, and does not pass.
    Fault(Fault),
    /// A case on which it depends does not pass.
    Depends(String),
    /// It was not played.
    NeedsConnection,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("passed"),
            Self::Fault(Fault::Failed(seen)) => f.write_str(seen),
            Self::Fault(Fault::Setup(seen)) => write!(f, "setup: {seen}"),
            Self::Fault(Fault::Retry) => f.write_str("a request was sent twice"),
            Self::Depends(id) => write!(f, "depends on {id}"),
            Self::NeedsConnection => f.write_str("needs a connection"),
        }
    }
}

/// The verdicts over all suites.
pub(crate) struct Score<'a> {
    suites: &'a [Suite],
    verdicts: HashMap<&'a str, Verdict>,
}

impl<'a> Score<'a> {
    /// The verdicts from the outcomes of the cases. A case comes after those on which it depends.
    /// Cases without an outcome need a connection.
    pub(crate) fn new(suites: &'a [Suite], outcomes: &HashMap<&'a str, Result<(), Fault>>) -> Self {
        let cases: HashMap<&str, &Case> = cases(suites).map(|case| (&*case.id, case)).collect();
        let mut verdicts = HashMap::new();
        for case in cases.values() {
            verdicts.insert(&*case.id, verdict(case, &cases, outcomes));
        }
        Self { suites, verdicts }
    }

    pub(crate) fn verdict(&self, id: &str) -> &Verdict {
        self.verdicts.get(id).unwrap_or_else(|| panic!("there is no case {id}"))
    }

    /// The ids of the passed cases of `kind`.
    pub(crate) fn passed(&self, kind: Kind) -> Vec<&'a str> {
        let passed = cases(self.suites)
            .filter(|case| case.kind == kind && *self.verdict(&case.id) == Verdict::Passed);
        passed.map(|case| &*case.id).collect()
    }

    /// The differences between the cases that do not pass and those that are `accepted` with a
    /// reason. `None` if there are none.
    pub(crate) fn differences(&self, accepted: &[(&str, &str)]) -> Vec<String> {
        let mut differences = Vec::new();
        let mut reasons = HashMap::new();
        for (id, reason) in accepted {
            let case = cases(self.suites).find(|case| case.id == *id);
            if reasons.insert(*id, *reason).is_some() {
                differences.push(format!("{id}: accepted twice"));
            } else if case.is_none_or(|case| case.kind == Kind::Check || case.needs_a_connection) {
                differences.push(format!("{id}: accepted, but no case that could be missed"));
            } else if *self.verdict(id) == Verdict::Passed {
                differences.push(format!("{id}: accepted, but passed: take it off the list"));
            }
        }
        for case in cases(self.suites).filter(|case| case.kind != Kind::Check) {
            let verdict = self.verdict(&case.id);
            let is_well = matches!(verdict, Verdict::Passed | Verdict::NeedsConnection);
            if !is_well && !reasons.contains_key(&*case.id) {
                let Case { id, name, kind, .. } = case;
                differences.push(format!("{id} ({kind:?}: {name}): {verdict}"));
            }
        }
        differences
    }
}

fn verdict<'a>(
    case: &Case,
    cases: &HashMap<&'a str, &'a Case>,
    outcomes: &HashMap<&'a str, Result<(), Fault>>,
) -> Verdict {
    for id in &case.depends_on {
        let on = cases.get(&**id).unwrap_or_else(|| panic!("there is no case {id}"));
        if verdict(on, cases, outcomes) != Verdict::Passed {
            return Verdict::Depends(id.to_string());
        }
    }
    match outcomes.get(&*case.id) {
        None => Verdict::NeedsConnection,
        Some(Ok(())) => Verdict::Passed,
        Some(Err(fault)) => Verdict::Fault(fault.clone()),
    }
}

pub(crate) fn cases(suites: &[Suite]) -> impl Iterator<Item = &Case> {
    suites.iter().flat_map(|suite| &suite.cases)
}

/// The sections, each with the number of its passed cases.
impl fmt::Display for Score<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = Tally::default();
        writeln!(f, "{:<20} {:>9} {:>9} {:>9}", "", "required", "optimal", "yes")?;
        for suite in self.suites {
            let mut tally = Tally::default();
            for case in &suite.cases {
                let verdict = self.verdict(&case.id);
                tally.add(case, verdict);
                all.add(case, verdict);
            }
            writeln!(f, "{:<20} {tally}", suite.id)?;
        }
        write!(f, "{:<20} {all}", "all")
    }
}

/// The passed cases and all cases of each kind. Those that need a connection do not count.
#[derive(Debug, Default)]
struct Tally([(usize, usize); 3]);

impl Tally {
    fn add(&mut self, case: &Case, verdict: &Verdict) {
        let (passed, all) = &mut self.0[case.kind as usize];
        *passed += usize::from(*verdict == Verdict::Passed);
        *all += usize::from(*verdict != Verdict::NeedsConnection);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.0.map(|(passed, all)| match all {
            0 => String::new(),
            _ => format!("{passed}/{all}"),
        });
        let [required, optimal, checks] = columns;
        write!(f, "{required:>9} {optimal:>9} {checks:>9}")
    }
}

/// A complete table: no id occurs twice, and every dependency exists.
#[test]
fn the_table_has_all_cases_of_the_original() {
    let suites = crate::table::suites();
    let ids: HashSet<&str> = cases(&suites).map(|case| &*case.id).collect();
    let count = |kind| cases(&suites).filter(|case| case.kind == kind).count();
    assert_eq!((count(Kind::Required), count(Kind::Optimal), count(Kind::Check)), (160, 105, 100),);
    assert_eq!(ids.len(), 365, "an id stands twice");
    for id in crate::table::BROWSER_ONLY {
        assert!(!ids.contains(id), "{id} is for browsers");
    }
    for case in cases(&suites) {
        for id in &case.depends_on {
            assert!(ids.contains(&**id), "{} depends on {id}, which is not there", case.id);
        }
    }
    assert_eq!(cases(&suites).filter(|case| case.needs_a_connection).count(), 4);
}
