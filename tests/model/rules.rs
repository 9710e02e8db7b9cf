//! The rules for an answer of the origin, in the simplest form: whether it may be stored, how long
//! it is fresh, and which responses it ends.

use crate::{
    history::{Answer, CacheControl, History, Kind, Vary, Version},
    plan::{Ask, Demand, FIXED_LIFETIME, Method, Settings},
};

/// Why an answer is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The origin forbids it.
    ByOrigin,
    /// For another reason.
    Otherwise,
}

/// The seconds after its expiry in which a response may be used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StaleUse {
    /// Whether a request may allow it.
    pub(crate) by_request: bool,
    pub(crate) while_revalidate: u64,
    pub(crate) if_error: u64,
}

impl History {
    /// The answer's status. For a 304, this is the status of the response that it freshens.
    pub(crate) fn status(&self, answer: &Answer) -> Option<u16> {
        answer.version().map(|version| self.versions[version].status)
    }

    /// The reason for which the answer, or the response that it freshens, is not stored. A
    /// prohibition by the origin takes precedence over all other reasons.
    pub(crate) fn refused(&self, settings: &Settings, answer: &Answer) -> Option<Refused> {
        let (Some(version), Some(status)) = (answer.version(), self.status(answer)) else {
            return Some(Refused::Otherwise);
        };
        if self.is_forbidden(settings, answer, version) {
            return Some(Refused::ByOrigin);
        }
        let said = answer.said;
        let is_user = answer.selects.user.is_some();
        let asks_for_it =
            matches!(self.asks[answer.ask].ask.demand, Demand::NoStore | Demand::NoCacheAndNoStore);
        let is_refused = (asks_for_it && settings.http)
            || answer.method == Method::Post
            || (settings.shared && !settings.http && is_user)
            || (!settings.http && status != 200)
            || self.lacks_freshness(settings, answer)
            || (settings.http && settings.shared && is_user && !allows_users(said.cache))
            || (settings.shared && said.sets_cookie);
        is_refused.then_some(Refused::Otherwise)
    }

    /// Whether the origin's own fields forbid storing the answer, or the response that it freshens.
    fn is_forbidden(&self, settings: &Settings, answer: &Answer, version: Version) -> bool {
        let said = answer.said;
        let is_not_modified = matches!(answer.kind, Kind::NotModified(_));
        let has_moved = is_not_modified && said.vary != self.born(version).said.vary;
        let by_directive = match said.cache {
            _ if !settings.http => false,
            CacheControl::NoStore => true,
            CacheControl::Private(_) => settings.shared,
            CacheControl::NoCache => !self.can_be_freshened(answer),
            _ => false,
        };
        // An answer to a HEAD may leave out the freshness that an answer to a GET has.
        let by_silence = answer.method != Method::Head && self.lacks_freshness(settings, answer);
        // The cookie of a 304 is for the caller. The stored response has none.
        let by_cookie = settings.shared && said.sets_cookie && !is_not_modified;
        by_directive || by_silence || by_cookie || said.vary == Vary::Anything || has_moved
    }

    fn can_be_freshened(&self, answer: &Answer) -> bool {
        let has_validator = answer.said.etag || answer.said.last_modified;
        self.status(answer) == Some(200) && has_validator
    }

    fn lacks_freshness(&self, settings: &Settings, answer: &Answer) -> bool {
        let says_nothing = match answer.said.cache {
            CacheControl::Nothing => true,
            CacheControl::SharedMaxAge(_) => !settings.shared,
            _ => false,
        };
        settings.http && says_nothing && !self.can_be_freshened(answer)
    }

    /// The seconds for which it is fresh from its arrival on.
    pub(crate) fn lifetime(&self, settings: &Settings, answer: &Answer) -> u64 {
        if !settings.http {
            return FIXED_LIFETIME;
        }
        match answer.said.cache {
            CacheControl::MaxAge(age)
            | CacheControl::Public(age)
            | CacheControl::MustRevalidate(age)
            | CacheControl::StaleWhileRevalidate(age, _)
            | CacheControl::StaleIfError(age, _)
            | CacheControl::Private(age) => age,
            CacheControl::SharedMaxAge(age) if settings.shared => age,
            _ => 0,
        }
    }

    /// How long it may be used after that.
    pub(crate) fn stale_use(&self, settings: &Settings, answer: &Answer) -> StaleUse {
        let while_revalidate = settings.while_revalidate.unwrap_or(0);
        let if_error = settings.if_error.unwrap_or(0);
        let by_settings = StaleUse { by_request: settings.http, while_revalidate, if_error };
        match answer.said.cache {
            _ if !settings.http => by_settings,
            CacheControl::MustRevalidate(_) | CacheControl::NoCache => StaleUse::default(),
            CacheControl::SharedMaxAge(_) if settings.shared => StaleUse::default(),
            CacheControl::StaleWhileRevalidate(_, limit) => {
                StaleUse { while_revalidate: limit, ..by_settings }
            }
            CacheControl::StaleIfError(_, limit) => StaleUse { if_error: limit, ..by_settings },
            _ => by_settings,
        }
    }

    /// Whether the answer ends the response of `said`, which is an earlier answer with the same
    /// version or an older one.
    pub(crate) fn ends(&self, settings: &Settings, answer: &Answer, said: &Answer) -> bool {
        let (Some(old), Some(version)) = (said.version(), answer.version()) else { return false };
        let is_selected =
            said.said.vary == Vary::Nothing || said.selects.accept == answer.selects.accept;
        let is_same_user = settings.shared || said.selects.user == answer.selects.user;
        if said.path != answer.path || !is_selected || !is_same_user {
            return false;
        }
        // A HEAD does not find a GET whose body is in flight.
        let is_on_its_way = !matches!(said.kind, Kind::NotModified(_))
            && said.complete.is_none_or(|complete| complete > answer.answered);
        if answer.method != said.method && is_on_its_way {
            return false;
        }
        if answer.method == Method::Get
            && said.method == Method::Head
            && self.is_refused_again(settings, answer)
        {
            return false;
        }
        if settings.shared && answer.selects.user.is_some() {
            // A full answer to bad credentials ends nothing. A 304 concerns the stored response. It
            // may forbid storing it, or no longer allow sharing it.
            let is_unshared = allows_users(said.said.cache) && !allows_users(answer.said.cache);
            let is_ended = self.refused(settings, answer) == Some(Refused::ByOrigin) || is_unshared;
            return settings.http && answer.kind == Kind::NotModified(old) && is_ended;
        }
        let refused = self.refused(settings, answer);
        let is_of_get = self.born(old).method == Method::Get;
        let status = self.versions[version].status;
        match answer.kind {
            Kind::Error | Kind::Part(_) => false,
            Kind::NotModified(version) => version == old && refused == Some(Refused::ByOrigin),
            Kind::Full(_) if answer.method == Method::Post => false,
            // A stored answer replaces it when its body is complete.
            Kind::Full(_) if refused.is_none() && answer.method == Method::Get => false,
            Kind::Full(_) if [301, 401, 403, 404, 410, 451].contains(&status) => true,
            // A body that breaks counts as a failure.
            Kind::Full(version) if status != 200 || self.versions[version].breaks => false,
            Kind::Full(_) if refused == Some(Refused::ByOrigin) => true,
            // It is another representation.
            Kind::Full(version) if answer.method == Method::Head && is_of_get => {
                settings.http && refused.is_none() && version != old
            }
            Kind::Full(_) => false,
        }
    }

    /// Whether an earlier answer to a `GET` was not stored either. In this case, the cache does not
    /// look for answers to a `HEAD`.
    fn is_refused_again(&self, settings: &Settings, answer: &Answer) -> bool {
        self.answers.iter().any(|other| {
            other.path == answer.path
                && other.method == Method::Get
                && other.answered < answer.answered
                && self.refused(settings, other).is_some()
        })
    }

    /// Whether the answer replaces the response of `said` once it is stored. The request selects
    /// both.
    pub(crate) fn replaces(
        &self,
        settings: &Settings,
        answer: &Answer,
        said: &Answer,
        request: &Ask,
    ) -> bool {
        let Kind::Full(version) = answer.kind else { return false };
        let Some(old) = said.version() else { return false };
        // A stored part stays when a whole response is stored. A whole response to a request for a
        // part is not stored.
        let is_aside = self.asks[answer.ask].ask.range.is_some();
        let is_part = self.answers.iter().any(|part| part.kind == Kind::Part(old));
        old != version
            && !is_part
            && !is_aside
            && self.refused(settings, answer).is_none()
            && answer.method
                == if request.method == Method::Get { Method::Get } else { said.method }
            && answer.path == said.path
            && answer.selects.user == said.selects.user
            && answer.selects.accept == said.selects.accept
            && (answer.said.vary == Vary::Nothing
                || answer.selects.accept == request.selects.accept)
    }
}

/// Whether a shared cache may serve an answer for a user to others.
pub(crate) fn allows_users(cache: CacheControl) -> bool {
    matches!(
        cache,
        CacheControl::Public(_) | CacheControl::SharedMaxAge(_) | CacheControl::MustRevalidate(_)
    )
}

/// Whether the status is a failure of the origin.
pub(crate) fn is_failure(history: &History, answer: &Answer) -> bool {
    match answer.kind {
        Kind::Error => true,
        Kind::Full(version) | Kind::Part(version) => {
            let content: &_ = &history.versions[version as Version];
            content.status >= 500 || content.breaks
        }
        Kind::NotModified(_) => false,
    }
}
