//! The steps of a run, created from random numbers before it begins. So a failing run can be
//! shortened by leaving out steps.

use std::{fmt, time::Duration};

use crate::rng::Rng;

/// The number of paths of the origin. Responses of the first path never vary, those of the second
/// always do, and the others differ.
pub(crate) const PATHS: u8 = 4;
pub(crate) const TAGS: u8 = 3;

/// The settings of a cache for one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) shared: bool,
    pub(crate) http: bool,
    /// Whether the store waits at each of its operations.
    pub(crate) slow: bool,
    /// The seconds after its expiry in which a response may be served while it is revalidated.
    pub(crate) while_revalidate: Option<u64>,
    /// The seconds after its expiry in which a response may be served if the origin fails.
    pub(crate) if_error: Option<u64>,
}

/// The lifetime of a response without the HTTP rules, in seconds.
pub(crate) const FIXED_LIFETIME: u64 = 60;

/// Operations that happen at the same time.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// The seed for the random numbers of the origin and the store.
    pub(crate) seed: u64,
    pub(crate) ops: Vec<Timed>,
}

/// An operation that begins after a while.
#[derive(Clone, Debug)]
pub(crate) struct Timed {
    pub(crate) after: Duration,
    pub(crate) op: Op,
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Ask(Ask),
    Remove(Removal),
    /// The clock jumps forward by this number of seconds.
    Jump(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
    Post,
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) path: u8,
    pub(crate) selects: Selects,
    pub(crate) demand: Demand,
    /// The requested bytes, in pieces of a body.
    pub(crate) range: Option<(u64, u64)>,
    pub(crate) stop: Stop,
    pub(crate) seed: u64,
}

/// The fields of a request that select a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Selects {
    pub(crate) accept: Option<u8>,
    /// The user, by `Authorization`.
    pub(crate) user: Option<u8>,
}

/// The demand of a request on the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Demand {
    Nothing,
    /// `Cache-Control: no-cache`.
    NoCache,
    /// `Cache-Control: max-age`.
    MaxAge(u64),
    /// `Cache-Control: max-stale`.
    MaxStale(u64),
    /// `Cache-Control: no-store`.
    NoStore,
    /// `Cache-Control: no-cache, no-store`.
    NoCacheAndNoStore,
    /// The option of this name, as for the next two.
    Refresh,
    ForceRefresh,
    OnlyIfCached,
}

/// When the client goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Never,
    /// If there is no response by then.
    Before(Duration),
    /// After this number of frames of the body.
    Frames(u64),
}

/// A removal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Removal {
    Url(u8),
    Request(u8, Selects),
    /// The key under which a response of this path was seen last.
    Key(u8),
    Tag(u8),
    /// Every response of this path, by a filter.
    Where(u8),
    WhereExpired,
    /// Responses stored longer ago than this number of seconds.
    WhereOlder(u64),
    Expired,
    Clear,
    /// New expiries, this number of seconds after the responses were stored.
    Reset(u64),
    ResetToDoNotStore,
}

impl Settings {
    pub(crate) fn random(rng: &mut Rng) -> Self {
        Self {
            shared: rng.percent(50),
            http: rng.percent(65),
            slow: rng.percent(65),
            while_revalidate: rng.percent(35).then_some(30),
            if_error: rng.percent(35).then_some(50),
        }
    }
}

impl Step {
    pub(crate) fn random(rng: &mut Rng) -> Self {
        let seed = rng.next();
        let count = rng.weighted(&[(35, 1), (20, 2), (15, 3), (12, 4), (10, 5), (8, 6)]);
        // Operations of the same step mostly concern the same path.
        let path = u8::try_from(rng.below(u64::from(PATHS))).unwrap();
        let ops = (0..count)
            .map(|_| {
                let path = if rng.percent(80) { path } else { any_path(rng) };
                let after = if rng.percent(50) { 0 } else { rng.below(20) };
                Timed { after: Duration::from_millis(after), op: Op::random(rng, path) }
            })
            .collect();
        Self { seed, ops }
    }
}

fn any_path(rng: &mut Rng) -> u8 {
    u8::try_from(rng.below(u64::from(PATHS))).unwrap()
}

impl Op {
    fn random(rng: &mut Rng, path: u8) -> Self {
        match rng.below(100) {
            0..78 => Self::Ask(Ask::random(rng, path)),
            78..91 => Self::Remove(Removal::random(rng, path)),
            _ => Self::Jump(rng.weighted(&[(5, 1), (5, 7), (3, 31), (3, 61), (1, 400)])),
        }
    }
}

impl Ask {
    fn random(rng: &mut Rng, path: u8) -> Self {
        let method = rng.weighted(&[(80, Method::Get), (15, Method::Head), (5, Method::Post)]);
        let demand = rng.weighted(&[
            (59, Demand::Nothing),
            (12, Demand::NoCache),
            (3, Demand::MaxAge(4)),
            (4, Demand::MaxStale(40)),
            (2, Demand::NoStore),
            (3, Demand::NoCacheAndNoStore),
            (8, Demand::Refresh),
            (4, Demand::ForceRefresh),
            (5, Demand::OnlyIfCached),
        ]);
        let stop = match rng.below(100) {
            0..85 => Stop::Never,
            85..93 => Stop::Before(Duration::from_millis(rng.below(25))),
            _ => Stop::Frames(rng.below(3)),
        };
        let range = (method == Method::Get && rng.percent(8)).then(|| {
            let first = rng.below(4);
            (first, first + rng.below(4))
        });
        let seed = rng.next();
        Self { method, path, selects: Selects::random(rng), demand, range, stop, seed }
    }
}

impl Selects {
    fn random(rng: &mut Rng) -> Self {
        let accept = rng.weighted(&[(45, Some(0)), (35, Some(1)), (20, None)]);
        let user = rng.weighted(&[(84, None), (8, Some(0)), (8, Some(1))]);
        Self { accept, user }
    }
}

impl Removal {
    fn random(rng: &mut Rng, path: u8) -> Self {
        let tag = u8::try_from(rng.below(u64::from(TAGS))).unwrap();
        let selects = Selects::random(rng);
        match rng.below(100) {
            0..18 => Self::Url(path),
            18..32 => Self::Request(path, selects),
            32..40 => Self::Key(path),
            40..55 => Self::Tag(tag),
            55..69 => Self::Where(path),
            69..73 => Self::WhereExpired,
            73..78 => Self::WhereOlder(rng.pick(&[2, 20])),
            78..82 => Self::Expired,
            82..86 => Self::Clear,
            86..93 => Self::Reset(rng.pick(&[5, 50, 500])),
            _ => Self::ResetToDoNotStore,
        }
    }
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, path, selects, demand, range, stop, .. } = self;
        write!(f, "{} /{path}", format!("{method:?}").to_uppercase())?;
        if let Some(accept) = selects.accept {
            write!(f, " accept={accept}")?;
        }
        if let Some(user) = selects.user {
            write!(f, " user={user}")?;
        }
        if *demand != Demand::Nothing {
            write!(f, " {demand:?}")?;
        }
        if let Some((first, last)) = range {
            write!(f, " pieces {first} to {last}")?;
        }
        match stop {
            Stop::Never => Ok(()),
            stop => write!(f, " stops {stop:?}"),
        }
    }
}
