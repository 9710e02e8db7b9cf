//! Judges an answer of the cache: whether the rules allowed it at some moment between the start and
//! the end of the request.

mod removed;

use bytes::Bytes;

use crate::{
    history::{Answer, History, Kind, Moment, Vary, Version},
    plan::{Demand, Method, Removal, Settings},
    rules::{allows_users, is_failure},
};

/// An answer of the cache.
#[derive(Debug)]
pub(crate) struct Got {
    /// The request.
    pub(crate) ask: usize,
    /// When the head arrived.
    pub(crate) at: Moment,
    pub(crate) status: u16,
    pub(crate) version: Option<Version>,
    /// `Content-Range`.
    pub(crate) range: Option<String>,
    pub(crate) body: Bytes,
    pub(crate) end: End,
}

/// How the body ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    Whole,
    Broken(String),
    /// The client went away.
    Stopped,
}

type Verdict = Result<(), String>;

pub(crate) fn judge(history: &History, settings: &Settings, got: &Got) -> Verdict {
    let asked = &history.asks[got.ask];
    let ask = &asked.ask;
    let Some(version) = got.version else {
        // The cache's own response: the request forbids a call, or there is no such range.
        let is_own = match got.status {
            504 => ask.demand == Demand::OnlyIfCached,
            416 => ask.range.is_some(),
            _ => false,
        };
        return is_own.then_some(()).ok_or_else(|| "the response has no source".to_owned());
    };
    if ask.demand == Demand::OnlyIfCached && asked.calls > 0 {
        return Err("the origin was asked although the request forbids it".to_owned());
    }
    judge_content(history, got, version)?;
    let judge = Judge { history, settings, got, asked: asked.at, version };
    let mut whys = Vec::new();
    for (number, said) in history.answers.iter().enumerate() {
        if said.version() == Some(version) {
            match judge.allows(said) {
                Ok(()) => return Ok(()),
                Err(why) => whys.push(format!("by answer {number} at {}: {why}", said.answered)),
            }
        }
    }
    Err(whys.join("; "))
}

/// Judges an error instead of a response.
pub(crate) fn judge_error(history: &History, ask: usize, at: Moment) -> Verdict {
    let asked = &history.asks[ask];
    let has_failed = history.answers.iter().any(|answer| {
        answer.path == asked.ask.path
            && answer.kind == Kind::Error
            && (asked.at..at).contains(&answer.answered)
    });
    has_failed.then_some(()).ok_or_else(|| "the origin did not fail meanwhile".to_owned())
}

/// Checks that the body is that of the version: the whole, or the requested part.
fn judge_content(history: &History, got: &Got, version: Version) -> Verdict {
    let content = &history.versions[version];
    let is_head = history.asks[got.ask].ask.method == Method::Head;
    let is_part = got.status == 206;
    let (expected, status) = match (is_head, is_part) {
        (true, _) => (Bytes::new(), content.status),
        (false, false) => (content.body.clone(), content.status),
        (false, true) => (part(got, &content.body)?, 206),
    };
    if got.status != status {
        return Err(format!("version {version} has status {}", content.status));
    }
    match &got.end {
        End::Whole if got.body == expected => Ok(()),
        End::Stopped if expected.starts_with(&got.body) => Ok(()),
        End::Broken(_) if expected.starts_with(&got.body) && content.breaks => Ok(()),
        end => {
            let shown = String::from_utf8_lossy(&got.body[..got.body.len().min(64)]);
            Err(format!(
                "the body is not that of version {version}: {} of {} bytes, {end:?}: {shown}",
                got.body.len(),
                expected.len()
            ))
        }
    }
}

fn part(got: &Got, whole: &Bytes) -> Result<Bytes, String> {
    let line = got.range.as_deref().unwrap_or_default();
    let numbers = || -> Option<(usize, usize, usize)> {
        let (range, all) = line.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        Some((first.parse().ok()?, last.parse().ok()?, all.parse().ok()?))
    };
    match numbers() {
        Some((first, last, all)) if first <= last && last < all && all == whole.len() => {
            Ok(whole.slice(first..=last))
        }
        _ => Err(format!("Content-Range: {line}")),
    }
}

/// Judges one response of a version for one request.
struct Judge<'a> {
    history: &'a History,
    settings: &'a Settings,
    got: &'a Got,
    /// When the request began.
    asked: Moment,
    version: Version,
}

impl Judge<'_> {
    fn demand(&self) -> Demand {
        self.history.asks[self.got.ask].ask.demand
    }

    /// Whether this response may be served, by the answer `said` of its version.
    fn allows(&self, said: &Answer) -> Verdict {
        if said.answered > self.got.at {
            return Err("it came later".to_owned());
        }
        if said.ask == self.got.ask {
            return Ok(());
        }
        self.is_selected(said)?;
        if self.history.refused(self.settings, said).is_some() {
            return Err("it may not be stored".to_owned());
        }
        self.is_not_removed(said)?;
        self.is_not_ended(said)?;
        self.is_new_enough(said)
    }

    /// Whether the answer is one to this request.
    fn is_selected(&self, said: &Answer) -> Verdict {
        let ask = &self.history.asks[self.got.ask].ask;
        let born = self.history.born(self.version);
        let (mine, its) = (ask.selects, said.selects);
        let is_users = match () {
            () if !self.settings.shared => mine.user == its.user,
            () if !self.settings.http => mine.user.is_none() && its.user.is_none(),
            () => its.user.is_none() || allows_users(said.said.cache),
        };
        if ask.path != said.path || !is_users {
            return Err("it belongs to another request".to_owned());
        }
        if said.said.vary == Vary::Accept && mine.accept != its.accept {
            return Err("it is another variant".to_owned());
        }
        let is_not_modified = matches!(said.kind, Kind::NotModified(_));
        let says_nothing = said.method == Method::Head && !self.settings.http && !is_not_modified;
        let is_of_method = match ask.method {
            Method::Get => {
                born.method == Method::Get && (said.method == Method::Get || !says_nothing)
            }
            Method::Head => true,
            Method::Post => false,
        };
        is_of_method.then_some(()).ok_or_else(|| "it answers another method".to_owned())
    }

    /// Checks that no later answer has ended or replaced this one.
    fn is_not_ended(&self, said: &Answer) -> Verdict {
        let request = &self.history.asks[self.got.ask].ask;
        let before = |moment: Option<Moment>| moment.is_some_and(|at| at < self.asked);
        let later = self.history.answers.iter().filter(|answer| {
            answer.path == said.path && answer.asked > said.answered && before(answer.heard)
        });
        for answer in later {
            if self.history.ends(self.settings, answer, said) {
                return Err(format!("the answer at {} ended it", answer.answered));
            }
            if before(answer.complete)
                && self.history.replaces(self.settings, answer, said, request)
                && (answer.is_stored || !self.is_contended(answer))
            {
                return Err(format!("the answer at {} replaced it", answer.answered));
            }
        }
        Ok(())
    }

    /// Whether other answers or removals arrived between an answer's call and its end.
    fn is_contended(&self, answer: &Answer) -> bool {
        let end = answer.complete.or(answer.heard).unwrap_or(Moment::MAX);
        // The cache looks up the stored response before it calls the origin.
        let looked = |answer: &Answer| self.history.asks[answer.ask].at;
        let meets = |from: Moment, to: Option<Moment>| {
            from < end && to.unwrap_or(Moment::MAX) > looked(answer)
        };
        self.history.removals.iter().any(|removal| meets(removal.from, removal.to))
            || self.history.answers.iter().any(|other| {
                other.path == answer.path
                    && other.answered != answer.answered
                    && meets(looked(other), other.complete.or(other.heard))
            })
    }

    /// Whether another head had replaced this one by then.
    fn is_superseded(&self, said: &Answer, by: Moment) -> bool {
        // An answer to a HEAD may be stored besides the one to a GET. It cannot be seen which of
        // them a 304 concerns.
        let are_two =
            self.history.answers.iter().any(|answer| {
                answer.kind == Kind::Full(self.version) && answer.method == Method::Head
            });
        self.history.answers.iter().any(|answer| {
            let is_of_same = !are_two || [answer, said].iter().all(|it| it.method == Method::Get);
            let is_of_user = self.settings.shared || answer.selects.user == said.selects.user;
            let says_nothing = answer.method == Method::Head
                && (!self.settings.http || !matches!(answer.kind, Kind::NotModified(_)));
            answer.version() == Some(self.version)
                && is_of_same
                && is_of_user
                && !says_nothing
                && answer.asked > said.answered
                && answer.heard.is_some_and(|heard| heard < by)
                && self.history.refused(self.settings, answer).is_none()
                && !self.is_contended(answer)
        })
    }

    /// The latest time at which the answer may have reached the cache.
    fn arrived(&self, said: &Answer) -> u64 {
        let until = said.heard.unwrap_or(self.got.at);
        self.history.times(said.answered, until).max().unwrap_or(0)
    }

    /// Checks that the answer may still be used, by its age and the request's demand.
    fn is_new_enough(&self, said: &Answer) -> Verdict {
        let demand = self.demand();
        // Until the cache has processed an answer, other requests may wait for it.
        let is_new = said.heard.is_none_or(|heard| heard > self.asked);
        let has_failed = self.history.answers.iter().any(|answer| {
            let end = answer.complete.or(answer.heard).unwrap_or(Moment::MAX);
            answer.path == said.path
                && is_failure(self.history, answer)
                && end > self.asked
                && answer.answered < self.got.at
        });
        if demand == Demand::ForceRefresh {
            let is_asked_since = said.asked > self.asked;
            return is_asked_since
                .then_some(())
                .ok_or_else(|| "the request must call the origin".to_owned());
        }
        if is_new {
            return Ok(());
        }
        let is_no_cache = matches!(demand, Demand::NoCache | Demand::NoCacheAndNoStore);
        let must_ask = demand == Demand::Refresh || (is_no_cache && self.settings.http);
        let stale_use = self.history.stale_use(self.settings, said);
        let ends = self.lifetimes(said);
        let arrived = self.arrived(said);
        for now in self.history.times(self.asked, self.got.at) {
            for lifetime in &ends {
                let end = arrived + lifetime * 1000;
                let is_within = |seconds: u64| seconds > 0 && now < end + seconds * 1000;
                if (has_failed || demand == Demand::OnlyIfCached) && is_within(stale_use.if_error) {
                    return Ok(());
                }
                let max_age = match demand {
                    Demand::MaxAge(seconds) if self.settings.http => Some(seconds),
                    _ => None,
                };
                let is_young = max_age.is_none_or(|seconds| now <= arrived + seconds * 1000 + 999);
                let may_wait = match demand {
                    Demand::MaxStale(seconds) if self.settings.http && stale_use.by_request => {
                        now <= end + seconds * 1000
                    }
                    _ => false,
                };
                let is_fresh = now < end;
                let may_be_stale = max_age.is_none() && is_within(stale_use.while_revalidate);
                if !must_ask && is_young && (is_fresh || may_be_stale || may_wait) {
                    return Ok(());
                }
            }
        }
        Err(format!("it is too old: fresh for {ends:?} s since {arrived}"))
    }

    /// The seconds for which the answer may be fresh: by its own fields, and by new expiries.
    fn lifetimes(&self, said: &Answer) -> Vec<u64> {
        let mut lifetimes = Vec::new();
        let mut is_own = !self.is_superseded(said, self.asked);
        for removal in &self.history.removals {
            let Removal::Reset(seconds) = removal.what else { continue };
            if removal.from < self.got.at {
                lifetimes.push(seconds);
                let is_over = removal.to.is_some_and(|to| to < self.asked);
                let was_there = match said.kind {
                    Kind::NotModified(_) => said.heard,
                    _ => said.complete,
                };
                is_own &= !(is_over && was_there.is_some_and(|there| there < removal.from));
            }
        }
        if is_own {
            lifetimes.push(self.history.lifetime(self.settings, said));
        }
        lifetimes
    }
}
