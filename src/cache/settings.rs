//! The settings of a layer, each set in one way. Those that can make no sense are refused when they are given.

use std::{sync::Arc, time::Duration};

use globset::{GlobBuilder, GlobSetBuilder};
use http::{HeaderName, Method, StatusCode, request, response};

use super::CacheLayer;
#[cfg(feature = "tokio")]
use super::failure::{OnRefreshFailure, RefreshFailure};
use crate::{
    error::ConfigError,
    key::Recipe,
    pattern::UrlPatterns,
    policy::{Expiration, Rules, Scope, StaleLimit},
    status,
    time::{Clock, SystemClock},
};

/// Everything that is set on a layer.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) rules: Rules,
    pub(crate) recipe: Recipe,
    pub(crate) max_body: u64,
    pub(crate) max_request_body: u64,
    pub(crate) invalidate: bool,
    pub(crate) calls: CallSettings,
    /// The cache's name as an sf-item.
    pub(crate) cache_status: Option<String>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// What is set on calls to the inner service.
#[derive(Clone, Debug)]
pub(crate) struct CallSettings {
    pub(crate) coalesce: bool,
    /// The longest wait for another request's call.
    pub(crate) coalesce_wait: Option<Duration>,
    /// The time limit of one refresh in the background.
    #[cfg(feature = "tokio")]
    pub(crate) refresh_timeout: Duration,
    #[cfg(feature = "tokio")]
    pub(crate) on_refresh_failure: OnRefreshFailure,
}

impl Default for CallSettings {
    fn default() -> Self {
        Self {
            coalesce: true,
            coalesce_wait: None,
            #[cfg(feature = "tokio")]
            refresh_timeout: Duration::from_secs(30),
            #[cfg(feature = "tokio")]
            on_refresh_failure: OnRefreshFailure::default(),
        }
    }
}

impl Settings {
    pub(crate) fn new(scope: Scope) -> Self {
        Self {
            rules: Rules::new(scope),
            recipe: Recipe { as_sent: scope == Scope::Shared, ..Recipe::default() },
            max_body: 64 * 1024 * 1024,
            max_request_body: 1024 * 1024,
            invalidate: true,
            calls: CallSettings::default(),
            cache_status: None,
            clock: Arc::new(SystemClock),
        }
    }
}

/// # What is cached
impl<B> CacheLayer<B> {
    fn set(mut self, set: impl FnOnce(&mut Settings)) -> Self {
        set(Arc::make_mut(&mut self.settings));
        self
    }

    /// The methods whose responses are kept. Default: `GET` and `HEAD`.
    ///
    /// A `HEAD` is answered from the stored response to a `GET` as well. A method that is named here is taken for a
    /// query: its body is part of the key, and it removes nothing that is stored for its URL.
    ///
    /// # Errors
    ///
    /// Where there are none, or `CONNECT`, whose responses are tunnels.
    pub fn methods(self, methods: impl IntoIterator<Item = Method>) -> Result<Self, ConfigError> {
        let methods: Vec<Method> = methods.into_iter().collect();
        if methods.is_empty() {
            let message = "no method would be cached; name at least one, or use set_enabled(false)";
            return Err(ConfigError::new("methods", message));
        }
        if methods.contains(&Method::CONNECT) {
            return Err(ConfigError::new("methods", "CONNECT opens a tunnel; leave it out"));
        }
        Ok(self.set(|settings| settings.rules.methods = methods))
    }

    /// The statuses whose responses are kept. Default: 200.
    ///
    /// # Errors
    ///
    /// Where there are none; where one is no final status (1xx); and for 206 and 304, which are no whole responses.
    pub fn statuses(
        self,
        statuses: impl IntoIterator<Item = StatusCode>,
    ) -> Result<Self, ConfigError> {
        let statuses: Vec<StatusCode> = statuses.into_iter().collect();
        if statuses.is_empty() {
            let message = "no status would be kept; name at least one, or use read_only(true)";
            return Err(ConfigError::new("statuses", message));
        }
        for status in &statuses {
            check_status("statuses", *status)?;
        }
        Ok(self.set(|settings| settings.rules.statuses = statuses))
    }

    /// Keep only responses for which `predicate` says yes, by the heads of request and response. Default: all that the
    /// other settings allow.
    pub fn store_if(
        self,
        predicate: impl Fn(&request::Parts, &response::Parts) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.set(|settings| settings.rules.store_if = Some(Arc::new(predicate)))
    }

    /// The largest response body that is kept, in bytes. Default: 64 MiB.
    ///
    /// It is counted while the body streams; a larger one reaches the caller whole, and is not stored.
    pub fn max_body(self, bytes: u64) -> Self {
        self.set(|settings| settings.max_body = bytes)
    }

    /// Serve what is stored, and never write or remove anything. Default: `false`.
    pub fn read_only(self, read_only: bool) -> Self {
        self.set(|settings| settings.rules.read_only = read_only)
    }

    /// Keep responses with `Set-Cookie`, and replay the cookie to whoever asks. Default: `true` for a private cache,
    /// `false` for a shared one, where it hands one user's session to another.
    pub fn store_set_cookie(self, store: bool) -> Self {
        self.set(|settings| settings.rules.store_set_cookie = store)
    }

    /// Let requests with credentials (`Authorization`, `Cookie`, user information in the URL) use the cache. Default:
    /// `true` for a private cache, `false` for a shared one.
    ///
    /// Requests with different credentials still never share a response, unless
    /// [`ignore_headers`](CacheLayer::ignore_headers) names the header that carries them.
    pub fn store_credentialed(self, store: bool) -> Self {
        self.set(|settings| settings.rules.store_credentialed = store)
    }

    /// Whether a successful unsafe method (`POST`, `PUT`, `DELETE`, ...) removes what is stored for its URL, all
    /// variants (RFC 9111 §4.4). Default: `true`.
    pub fn invalidate_on_unsafe(self, invalidate: bool) -> Self {
        self.set(|settings| settings.invalidate = invalidate)
    }
}

/// # The key
impl<B> CacheLayer<B> {
    /// Adds request headers to the key: requests that differ in them do not share a response. `Authorization` and
    /// `Cookie` are part of it already.
    ///
    /// # Errors
    ///
    /// Where a name is no header name.
    pub fn key_headers<N: AsRef<str>>(
        self,
        names: impl IntoIterator<Item = N>,
    ) -> Result<Self, ConfigError> {
        let names = header_names("key_headers", names)?;
        Ok(self.set(|settings| {
            names.into_iter().for_each(|name| settings.recipe.add_header(name));
        }))
    }

    /// Takes request headers out of the key, the default `Authorization` and `Cookie` included, and out of what `Vary`
    /// selects by, where `Authorization` and `Cookie` stay.
    ///
    /// # Errors
    ///
    /// Where a name is no header name.
    pub fn ignore_headers<N: AsRef<str>>(
        self,
        names: impl IntoIterator<Item = N>,
    ) -> Result<Self, ConfigError> {
        let names = header_names("ignore_headers", names)?;
        Ok(self.set(|settings| {
            names.into_iter().for_each(|name| settings.recipe.ignore_header(name));
        }))
    }

    /// Query parameters that make no difference: they are neither part of the key nor of the stored URL. `*` stands for
    /// any number of characters; names are compared percent-decoded, and in their case. Adds to what is ignored already.
    ///
    /// Name here the parameters that carry secrets as well: they never reach the store.
    ///
    /// # Errors
    ///
    /// Where a pattern is empty or no glob.
    pub fn ignore_query<N: AsRef<str>>(
        self,
        names: impl IntoIterator<Item = N>,
    ) -> Result<Self, ConfigError> {
        let mut patterns = self.settings.recipe.ignored_query.0.clone();
        for name in names {
            let name = name.as_ref();
            let error = |message: String| {
                Err(ConfigError::new("ignore_query", format!("the pattern {name:?} {message}")))
            };
            if name.is_empty() {
                return error("is empty; write \"*\" forevery parameter".into());
            }
            match GlobBuilder::new(name).backslash_escape(true).build() {
                Ok(glob) => patterns.push(glob),
                Err(problem) => return error(format!("is no glob: {}", problem.kind())),
            }
        }
        let mut set = GlobSetBuilder::new();
        patterns.iter().for_each(|glob| {
            set.add(glob.clone());
        });
        let set =
            set.build().map_err(|error| ConfigError::new("ignore_query", error.to_string()))?;
        Ok(self.set(|settings| settings.recipe.ignored_query = (patterns, Some(set))))
    }

    /// Whether the order of query parameters makes no difference. Default: `false`, it does. Parameters of one name keep
    /// their order.
    pub fn sort_query(self, sort: bool) -> Self {
        self.set(|settings| settings.recipe.sort_query = sort)
    }

    /// Makes the key from what `material` returns for the head and the whole body of a request, in place of URL,
    /// headers and body. The method stays part of it.
    ///
    /// Requests with equal material share a response, so take up whatever tells users apart. The body is buffered up to
    /// [`max_request_body`](CacheLayer::max_request_body).
    pub fn key_with<K: Into<Vec<u8>>>(
        self,
        material: impl Fn(&request::Parts, &[u8]) -> K + Send + Sync + 'static,
    ) -> Self {
        self.set(|settings| {
            settings.recipe.custom =
                Some(Arc::new(move |parts, body| material(parts, body).into()));
        })
    }

    /// Keys the digest with a secret (HMAC-SHA-256), so that whoever reads the store cannot test guesses of what a key
    /// was made from. What was stored under another secret, or none, is not found any more. Default: none.
    pub fn key_secret(self, secret: [u8; 32]) -> Self {
        self.set(|settings| settings.recipe.secret = Some(secret))
    }

    /// The largest request body that is buffered for the key, in bytes. Default: 1 MiB. Requests with a larger one go
    /// past the cache, streaming.
    pub fn max_request_body(self, bytes: u64) -> Self {
        self.set(|settings| settings.max_request_body = bytes)
    }
}

/// # Expiry
///
/// Who decides how long a response is kept, the first that has an opinion:
///
/// | | set by |
/// |---|---|
/// | 1 | the request: [`CacheOptions::expire_after`](crate::CacheOptions::expire_after) |
/// | 2 | the closure: [`expire_with`](CacheLayer::expire_with) |
/// | 3 | the URL: [`expire_urls`](CacheLayer::expire_urls), the first pattern that matches |
/// | 4 | the status: [`expire_status`](CacheLayer::expire_status) |
/// | 5 | the layer: [`expire_after`](CacheLayer::expire_after) |
/// | 6 | the scope: a private cache keeps forever, a shared one not at all |
///
/// It is decided when a response arrives. An entry keeps the expiry it was stored with; see
/// [`Entries::reset_expiration`](crate::Entries::reset_expiration).
impl<B> CacheLayer<B> {
    /// How long responses are kept where nothing more particular applies. Default: forever in a private cache, not at
    /// all in a shared one.
    pub fn expire_after(self, expiration: impl Into<Expiration>) -> Self {
        let expiration = expiration.into();
        self.set(|settings| settings.rules.expiration.layer = Some(expiration))
    }

    /// How long responses are kept by URL: pairs of a pattern and an expiration, of which the first match counts.
    /// Replaces what was set before.
    ///
    /// Patterns are globs on host and path; scheme and query take no part.
    ///
    /// | pattern | matches |
    /// |---|---|
    /// | `api.example.com` | everything on that host |
    /// | `*.example.com/api/**` | everything below `/api/` on any subdomain |
    /// | `example.com/*/feed` | one segment in the star's place |
    /// | `/static/**` | everything below `/static/` on any host |
    /// | `localhost:8080/**` | that port only; without a port, any port matches |
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use larder::{CacheLayer, Expiration, store::Memory};
    /// let layer = CacheLayer::new(Memory::default()).expire_urls([
    ///     ("*.example.com/api/**", Duration::from_secs(60).into()),
    ///     ("/static/**", Expiration::Never),
    ///     ("**", Expiration::DoNotStore),
    /// ])?;
    /// # Ok::<(), larder::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Where a pattern is empty, has a scheme, or is no glob.
    pub fn expire_urls<P, E>(
        self,
        rules: impl IntoIterator<Item = (P, E)>,
    ) -> Result<Self, ConfigError>
    where
        P: AsRef<str>,
        E: Into<Expiration>,
    {
        let (patterns, expirations): (Vec<P>, Vec<Expiration>) =
            rules.into_iter().map(|(pattern, expiration)| (pattern, expiration.into())).unzip();
        let patterns = UrlPatterns::new("expire_urls", patterns.iter().map(AsRef::as_ref))?;
        Ok(self.set(|settings| settings.rules.expiration.urls = Some((patterns, expirations))))
    }

    /// How long responses of one status are kept; they are kept then, whether [`statuses`](CacheLayer::statuses) names the
    /// status or not.
    ///
    /// # Errors
    ///
    /// For what is no final status (1xx), and for 206 and 304, which are no whole responses.
    pub fn expire_status(
        self,
        status: StatusCode,
        expiration: impl Into<Expiration>,
    ) -> Result<Self, ConfigError> {
        check_status("expire_status", status)?;
        let expiration = expiration.into();
        Ok(self.set(|settings| {
            let statuses = &mut settings.rules.expiration.statuses;
            statuses.retain(|(have, _)| *have != status);
            statuses.push((status, expiration));
        }))
    }

    /// How long responses are kept by a closure over the heads of request and response; `None` leaves it to the
    /// settings after it.
    pub fn expire_with(
        self,
        expiration: impl Fn(&request::Parts, &response::Parts) -> Option<Expiration>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.set(|settings| settings.rules.expiration.with = Some(Arc::new(expiration)))
    }
}

/// # Calls to the origin, and stale answers
///
/// Requests that miss at the same time share one call. What has expired is not lost: the origin is asked whether it
/// still holds, and it may be served, for as long as is set here, while a new response is fetched or where the origin
/// fails.
/// Each request can set the limits otherwise: [`CacheOptions`](crate::CacheOptions).
///
/// | what is stored | is answered with | set by |
/// |---|---|---|
/// | is fresh, and ends soon | at once; refreshed in the background | `refresh_ahead` |
/// | has expired | at once; refreshed in the background | `stale_while_revalidate` |
/// | has expired, the origin fails | in the failure's place | [`stale_if_error`](CacheLayer::stale_if_error) |
/// | has expired, has a validator | after the origin's 304 | [`keep_expired`](CacheLayer::keep_expired) |
///
/// These settings count for what is stored from then on: an entry is kept no longer than it was stored for.
impl<B> CacheLayer<B> {
    /// Whether requests that miss for the same response at the same time share one call to the inner service. Default:
    /// `true`.
    ///
    /// One of them leads: it makes the call, and the others get its response as soon as its head is there, each reading
    /// the body at its own pace. Hits never wait.
    ///
    /// - A response that may not be stored is the leader's alone: the others make their calls at once, beside each other.
    ///   Such keys are remembered, and their next requests do not wait for each other.
    /// - If the leader is cancelled or fails, another takes the lead; its error stays its own. After two calls that
    ///   failed, those that still wait call beside each other. One that may be answered with a
    ///   [stale](CacheLayer::stale_if_error) response is, after the first.
    /// - One that comes when the beginning of the body has left memory (256 KiB are kept) waits until the response is
    ///   stored where its length is known, and makes its own call where it is not.
    /// - One that reads more than 256 KiB behind the others goes on from the store once the response is there. Where it
    ///   cannot be stored after all, so much of it as [`max_body`](CacheLayer::max_body) is held for such readers; beyond
    ///   that, their bodies end in an error.
    pub fn coalesce(self, coalesce: bool) -> Self {
        self.set(|settings| settings.calls.coalesce = coalesce)
    }

    /// The longest that a request waits for a call that another request made, before it makes its own: for the response
    /// head, or, where it comes too late to read the body along, for the entry. Default: none, it waits as long as the
    /// call takes. Without effect outside of a tokio runtime.
    ///
    /// # Errors
    ///
    /// For zero, which is no wait.
    #[cfg(feature = "tokio")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    pub fn coalesce_wait(self, longest: Duration) -> Result<Self, ConfigError> {
        if longest.is_zero() {
            let message = "a wait of zero is none; use coalesce(false)";
            return Err(ConfigError::new("coalesce_wait", message));
        }
        Ok(self.set(|settings| settings.calls.coalesce_wait = Some(longest)))
    }

    /// How long after its expiry a stored response is served while a new one is fetched in the background (RFC 5861
    /// §3). Default: not at all.
    ///
    /// It does not apply where a new response could not be kept: in a [read-only](CacheLayer::read_only) cache, and for
    /// a request with [`no_store`](crate::CacheOptions::no_store).
    #[cfg(feature = "tokio")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    pub fn stale_while_revalidate(self, limit: impl Into<StaleLimit>) -> Self {
        let limit = limit.into();
        self.set(|settings| settings.rules.stale_while_revalidate = limit)
    }

    /// How long after its expiry a stored response is served where the origin fails: with an error, or with one of the
    /// [`error_statuses`](CacheLayer::error_statuses) (RFC 5861 §4). Default: not at all.
    pub fn stale_if_error(self, limit: impl Into<StaleLimit>) -> Self {
        let limit = limit.into();
        self.set(|settings| settings.rules.stale_if_error = limit)
    }

    /// The statuses that count as a failure of the origin. Default: 500, 502, 503 and 504.
    ///
    /// Where nothing may stand in for it, such a response reaches the caller as it is, and is kept if it is one of the
    /// [`statuses`](CacheLayer::statuses) that are. A stored response of such a status stands in for nothing.
    ///
    /// # Errors
    ///
    /// Where there are none; and for 1xx, 2xx and 304, which are no failures.
    pub fn error_statuses(
        self,
        statuses: impl IntoIterator<Item = StatusCode>,
    ) -> Result<Self, ConfigError> {
        let statuses: Vec<StatusCode> = statuses.into_iter().collect();
        let refuse = |message: String| Err(ConfigError::new("error_statuses", message));
        if statuses.is_empty() {
            let message = "no status would be a failure; name at least one, or leave \
                           stale_if_error at StaleLimit::None";
            return refuse(message.into());
        }
        let is_none = |status: &&StatusCode| {
            status.is_informational() || status.is_success() || **status == StatusCode::NOT_MODIFIED
        };
        match statuses.iter().find(is_none) {
            Some(status) => refuse(format!("{} is no failure; leave it out", status.as_u16())),
            None => Ok(self.set(|settings| settings.rules.error_statuses = statuses)),
        }
    }

    /// How long a response that the origin can confirm (`ETag`, `Last-Modified`) is kept beyond its expiry, so that a
    /// 304 suffices to make it fresh again. Default: one hour. Zero keeps none for that.
    pub fn keep_expired(self, time: Duration) -> Self {
        self.set(|settings| settings.rules.keep_expired = time)
    }

    /// Refreshes what is asked for in the background when less than this fraction of its lifetime is left, so that what
    /// is in demand never expires: 0.2 is the last fifth. Default: not at all.
    ///
    /// # Errors
    ///
    /// Unless it is greater than 0 and less than 1.
    #[cfg(feature = "tokio")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    pub fn refresh_ahead(self, fraction: f64) -> Result<Self, ConfigError> {
        if !(fraction > 0.0 && fraction < 1.0) {
            let message = format!("{fraction} is no part of a lifetime; write one, such as 0.2");
            return Err(ConfigError::new("refresh_ahead", message));
        }
        Ok(self.set(|settings| settings.rules.refresh_ahead = Some(fraction)))
    }

    /// The time limit of one refresh in the background, body included. Default: 30 seconds.
    ///
    /// # Errors
    ///
    /// For zero, in which nothing can be refreshed.
    #[cfg(feature = "tokio")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    pub fn refresh_timeout(self, limit: Duration) -> Result<Self, ConfigError> {
        if limit.is_zero() {
            let message = "nothing is refreshed in no time; write a longer one, such as 30 s";
            return Err(ConfigError::new("refresh_timeout", message));
        }
        Ok(self.set(|settings| settings.calls.refresh_timeout = limit))
    }

    /// Tells `tell` of each refresh in the background that failed. It is called in that refresh's task, and should be
    /// quick. Default: nobody is told; the failures are [counted](crate::Stats::failed_refreshes) in any case.
    #[cfg(feature = "tokio")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    pub fn on_refresh_failure(
        self,
        tell: impl Fn(&RefreshFailure) + Send + Sync + 'static,
    ) -> Self {
        let tell = OnRefreshFailure(Some(Arc::new(tell)));
        self.set(|settings| settings.calls.on_refresh_failure = tell)
    }
}

/// # What is seen, and the time
impl<B> CacheLayer<B> {
    /// Writes a `Cache-Status` field (RFC 9211) into every response, under this name. Default: none.
    ///
    /// # Errors
    ///
    /// Where the name is empty or not printable ASCII.
    pub fn cache_status_header(self, name: &str) -> Result<Self, ConfigError> {
        let name = status::cache_name(name)?;
        Ok(self.set(|settings| settings.cache_status = Some(name)))
    }

    /// Where the time is read. Default: [`SystemClock`].
    pub fn clock(self, clock: impl Clock) -> Self {
        self.set(|settings| settings.clock = Arc::new(clock))
    }
}

fn check_status(setting: &'static str, status: StatusCode) -> Result<(), ConfigError> {
    let why = match status {
        StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED => "is no whole response",
        _ if status.is_informational() => "is no final status",
        _ => return Ok(()),
    };
    let message = format!("{} {why} and cannot be replayed; leave it out", status.as_u16());
    Err(ConfigError::new(setting, message))
}

fn header_names<N: AsRef<str>>(
    setting: &'static str,
    names: impl IntoIterator<Item = N>,
) -> Result<Vec<HeaderName>, ConfigError> {
    let parse = |name: N| {
        let name = name.as_ref();
        HeaderName::try_from(name).map_err(|_| {
            let message = format!("{name:?} is no header name; write one like \"accept-language\"");
            ConfigError::new(setting, message)
        })
    };
    names.into_iter().map(parse).collect()
}
