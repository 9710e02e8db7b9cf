//! All that has happened: what the origin said, what was removed, and what the clock showed.

use std::collections::HashMap;

use bytes::Bytes;
use larder::Key;

use crate::plan::{Ask, Method, Removal, Selects};

/// A moment. Of two, the later one has the greater number.
pub(crate) type Moment = u64;

/// Identifies the body of an answer: its place among the [versions](History::versions).
pub(crate) type Version = usize;

#[derive(Default)]
pub(crate) struct History {
    now: Moment,
    pub(crate) asks: Vec<Asked>,
    pub(crate) answers: Vec<Answer>,
    pub(crate) versions: Vec<Content>,
    pub(crate) removals: Vec<Removed>,
    /// What the clock showed from a moment on, in milliseconds.
    clock: Vec<(Moment, u64)>,
    /// The keys under which versions were seen.
    pub(crate) keys: HashMap<Version, Vec<Key>>,
    /// What happened in each step, as lines to be read.
    pub(crate) log: Vec<Vec<String>>,
}

/// A request that was sent to the cache.
pub(crate) struct Asked {
    pub(crate) ask: Ask,
    pub(crate) at: Moment,
    /// How often the origin was asked on its behalf.
    pub(crate) calls: u64,
}

/// What a version is.
pub(crate) struct Content {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
    pub(crate) breaks: bool,
    /// The answer that brought it.
    pub(crate) born: usize,
}

/// What the origin said.
pub(crate) struct Answer {
    /// The request on whose behalf it was asked.
    pub(crate) ask: usize,
    pub(crate) method: Method,
    pub(crate) path: u8,
    pub(crate) selects: Selects,
    /// When the origin was asked.
    pub(crate) asked: Moment,
    pub(crate) answered: Moment,
    /// When the cache had dealt with its head, as far as can be seen from outside.
    pub(crate) heard: Option<Moment>,
    /// When its body had been read to the end.
    pub(crate) complete: Option<Moment>,
    /// Whether the cache has said that it is stored.
    pub(crate) is_stored: bool,
    pub(crate) kind: Kind,
    pub(crate) said: Said,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A response of its own. To a `HEAD`, the version is that of the current `GET` response where
    /// nothing has changed.
    Full(Version),
    /// A part of a response.
    Part(Version),
    /// 304: the version still holds.
    NotModified(Version),
    /// An error, without any response.
    Error,
}

/// What the fields of an answer say.
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

/// Seconds, where there are any.
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
    /// What lies there, where it was removed by key.
    pub(crate) key: Option<Key>,
    pub(crate) from: Moment,
    pub(crate) to: Option<Moment>,
}

impl Answer {
    /// The version that it speaks of.
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

    /// All times that the clock showed from one moment to another.
    pub(crate) fn times(&self, from: Moment, to: Moment) -> impl Iterator<Item = u64> + '_ {
        let first = self.clock.iter().rposition(|(at, _)| *at <= from).unwrap_or(0);
        self.clock[first..].iter().take_while(move |(at, _)| *at <= to).map(|(_, time)| *time)
    }

    /// Adds a version that is `pieces` long.
    pub(crate) fn add_version(&mut self, status: u16, pieces: u64, breaks: bool) -> Version {
        let version = self.versions.len();
        let body = (0..pieces).map(|piece| format!("{version:04x}{piece:04x}")).collect::<String>();
        let born = self.answers.len();
        self.versions.push(Content { status, body: body.into(), breaks, born });
        version
    }

    /// The answer that brought a version.
    pub(crate) fn born(&self, version: Version) -> &Answer {
        &self.answers[self.versions[version].born]
    }

    /// Says that the cache has dealt with the heads of all answers of a request.
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
