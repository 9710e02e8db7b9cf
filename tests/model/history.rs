//! The history: the origin's answers, the removals, and the times of the clock.

use std::collections::HashMap;

use bytes::Bytes;
use larder::Key;

use crate::plan::{Ask, Method, Removal, Selects};

/// A moment. Later moments have greater numbers.
pub(crate) type Moment = u64;

/// The body of an answer, as an index into the [versions](History::versions).
pub(crate) type Version = usize;

#[derive(Default)]
pub(crate) struct History {
    now: Moment,
    pub(crate) asks: Vec<Asked>,
    pub(crate) answers: Vec<Answer>,
    pub(crate) versions: Vec<Content>,
    pub(crate) removals: Vec<Removed>,
    /// The times of the clock, in milliseconds, each with the moment from which it holds.
    clock: Vec<(Moment, u64)>,
    /// The keys under which versions were seen.
    pub(crate) keys: HashMap<Version, Vec<Key>>,
    /// The events of each step, as lines of text.
    pub(crate) log: Vec<Vec<String>>,
}

/// A request that was sent to the cache.
pub(crate) struct Asked {
    pub(crate) ask: Ask,
    pub(crate) at: Moment,
    /// The number of calls to the origin for this request.
    pub(crate) calls: u64,
}

/// The content of a version.
pub(crate) struct Content {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
    pub(crate) breaks: bool,
    /// The answer that created it.
    pub(crate) born: usize,
}

/// An answer of the origin.
pub(crate) struct Answer {
    /// The request for which the origin was called.
    pub(crate) ask: usize,
    pub(crate) method: Method,
    pub(crate) path: u8,
    pub(crate) selects: Selects,
    /// The moment of the call.
    pub(crate) asked: Moment,
    pub(crate) answered: Moment,
    /// When the cache had processed its head, as far as this can be seen from outside.
    pub(crate) heard: Option<Moment>,
    /// When its body had been read to the end.
    pub(crate) complete: Option<Moment>,
    /// Whether the cache reported it as stored.
    pub(crate) is_stored: bool,
    pub(crate) kind: Kind,
    pub(crate) said: Said,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A response of its own. An answer to a `HEAD` has the version of the current `GET` response,
    /// if this has not changed.
    Full(Version),
    /// A part of a response.
    Part(Version),
    /// 304: the version is still valid.
    NotModified(Version),
    /// An error instead of a response.
    Error,
}

/// The fields of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) cache: CacheControl,
    pub(crate) vary: Vary,
    /// A bit for each tag.
    pub(crate) tags: u8,
    pub(crate) sets_cookie: bool,
    pub(crate) etag: bool,
    pub(crate) last_modified: bool,
}

/// The values are in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CacheControl {
    Nothing,
    MaxAge(u64),
    Public(u64),
    SharedMaxAge(u64),
    MustRevalidate(u64),
    StaleWhileRevalidate(u64, u64),
    StaleIfError(u64, u64),
    Private(u64),
    NoCache,
    NoStore,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vary {
    Nothing,
    Accept,
    Anything,
}

/// A removal, from its start to its end.
pub(crate) struct Removed {
    pub(crate) what: Removal,
    /// The key that was removed, if the removal was by key.
    pub(crate) key: Option<Key>,
    pub(crate) from: Moment,
    pub(crate) to: Option<Moment>,
}

impl Answer {
    /// The version that the answer concerns.
    pub(crate) fn version(&self) -> Option<Version> {
        match self.kind {
            Kind::Full(version) | Kind::Part(version) | Kind::NotModified(version) => Some(version),
            Kind::Error => None,
        }
    }
}

impl History {
    /// The next moment.
    pub(crate) fn tick(&mut self) -> Moment {
        self.now += 1;
        self.now
    }

    pub(crate) fn say(&mut self, line: String) {
        let moment = self.now;
        self.log.last_mut().unwrap().push(format!("  [{moment}] {line}"));
    }

    pub(crate) fn clock_shows(&mut self, millis: u64) {
        let now = self.tick();
        self.clock.push((now, millis));
    }

    /// All times of the clock from one moment to another.
    pub(crate) fn times(&self, from: Moment, to: Moment) -> impl Iterator<Item = u64> + '_ {
        let first = self.clock.iter().rposition(|(at, _)| *at <= from).unwrap_or(0);
        self.clock[first..].iter().take_while(move |(at, _)| *at <= to).map(|(_, time)| *time)
    }

    /// Adds a version of `pieces` pieces.
    pub(crate) fn add_version(&mut self, status: u16, pieces: u64, breaks: bool) -> Version {
        let version = self.versions.len();
        let body = (0..pieces).map(|piece| format!("{version:04x}{piece:04x}")).collect::<String>();
        let born = self.answers.len();
        self.versions.push(Content { status, body: body.into(), breaks, born });
        version
    }

    /// The answer that created a version.
    pub(crate) fn born(&self, version: Version) -> &Answer {
        &self.answers[self.versions[version].born]
    }

    /// Records that the cache has processed the heads of all answers to a request.
    pub(crate) fn heard(&mut self, ask: usize) {
        let now = self.tick();
        for answer in self.answers.iter_mut().filter(|answer| answer.ask == ask) {
            answer.heard.get_or_insert(now);
        }
    }
}

impl CacheControl {
    pub(crate) fn line(self) -> Option<String> {
        Some(match self {
            Self::Nothing => return None,
            Self::MaxAge(age) => format!("max-age={age}"),
            Self::Public(age) => format!("public, max-age={age}"),
            Self::SharedMaxAge(age) => format!("s-maxage={age}"),
            Self::MustRevalidate(age) => format!("max-age={age}, must-revalidate"),
            Self::StaleWhileRevalidate(age, limit) => {
                format!("max-age={age}, stale-while-revalidate={limit}")
            }
            Self::StaleIfError(age, limit) => format!("max-age={age}, stale-if-error={limit}"),
            Self::Private(age) => format!("private, max-age={age}"),
            Self::NoCache => "no-cache".to_owned(),
            Self::NoStore => "no-store".to_owned(),
        })
    }
}
