//! [`Cassette`]: the layer and its settings.

use std::{fmt, path::PathBuf, sync::Arc};

use http::{
    HeaderName,
    header::{
        ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, AUTHORIZATION, CONTENT_RANGE, COOKIE, IF_MATCH,
        IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, PROXY_AUTHORIZATION,
        RANGE,
    },
};

use super::{mode::Mode, tape::Tape};
use crate::{
    error::ConfigError,
    key::Recipe,
    store::Result,
    time::{Clock, SystemClock},
};

/// The headers that choose a response (by negotiation, by condition, or a part of it), and those
/// that say what a request does, beside its method and URL.
const KEY_HEADERS: [HeaderName; 21] = [
    ACCEPT,
    ACCEPT_ENCODING,
    ACCEPT_LANGUAGE,
    RANGE,
    IF_RANGE,
    IF_MATCH,
    IF_NONE_MATCH,
    IF_MODIFIED_SINCE,
    IF_UNMODIFIED_SINCE,
    // RFC 7240: whether the response has a body, and which one.
    HeaderName::from_static("prefer"),
    // The operation of a service that has one URL for all: AWS, and SOAP 1.1.
    HeaderName::from_static("x-amz-target"),
    HeaderName::from_static("soapaction"),
    // The method behind the method.
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-method-override"),
    // WebDAV (RFC 4918).
    HeaderName::from_static("depth"),
    HeaderName::from_static("destination"),
    HeaderName::from_static("overwrite"),
    // Where a part of an upload belongs, and an event stream goes on.
    CONTENT_RANGE,
    HeaderName::from_static("upload-offset"),
    HeaderName::from_static("last-event-id"),
];

/// The names that carry tokens, as headers, query parameters and fields of bodies.
const TOKENS: [&str; 7] = [
    "x-api-key",
    "x-auth-token",
    "x-api-token",
    "x-access-token",
    "access_token",
    "api_key",
    "apikey",
];

/// A layer around any client that records exchanges into a folder, and replays them. The [module
/// documentation](super) has a test to copy.
///
/// Three constructors choose the mode:
///
/// | mode | a recorded request | another request |
/// |---|---|---|
/// | [`record_or_replay`](Cassette::record_or_replay) | is replayed | is sent, and recorded |
/// | [`replay`](Cassette::replay) | is replayed | fails with [`Unrecorded`](super::Unrecorded) |
/// | [`record`](Cassette::record) | is sent, and recorded anew | is sent, and recorded |
///
/// A request that this cassette has recorded itself is sent again, and not replayed: see
/// [`in_order`](Cassette::in_order).
///
/// Requests are the same if their method, URL, body and a few headers are, as the settings say. A
/// setting whose name begins with `add_` adds to what earlier calls and the defaults have set. Use
/// the same settings to record and to replay.
///
/// Clones share the folder and the counts of [`in_order`](Cassette::in_order).
#[derive(Clone)]
#[must_use = "a layer does nothing until it is applied to a service"]
pub struct Cassette {
    pub(super) settings: Arc<Settings>,
    pub(super) mode: Mode,
    /// `None` if the cassette is off.
    pub(super) tape: Option<Arc<Tape>>,
}

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) recipe: Recipe,
    pub(super) in_order: bool,
    pub(super) clock: Arc<dyn Clock>,
}

impl Cassette {
    /// Replays what is recorded in the folder at `path`, and sends and records all other requests.
    /// Creates the folder and its parents if they are missing. This blocks briefly.
    ///
    /// The environment variable `LARDER_CASSETTE` overrides this mode for a run of the tests:
    ///
    /// - `record` is the mode of [`record`](Cassette::record),
    /// - `replay` is the mode of [`replay`](Cassette::replay), for a build that must not need a
    ///   network,
    /// - `off` sends every request and leaves the folder alone.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](crate::store::ErrorKind::Invalid) if the variable has another value,
    /// and as [`replay`](Cassette::replay) and [`record`](Cassette::record).
    pub fn record_or_replay(path: impl Into<PathBuf>) -> Result<Self> {
        Self::open(path.into(), Mode::from_env()?)
    }

    /// Replays what is recorded in the folder at `path`. It never calls the client and never writes
    /// to the folder, whatever the environment says. This blocks while it reads the heads of all
    /// recorded exchanges.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`](crate::store::ErrorKind::Unavailable) if there is no folder.
    /// [`ErrorKind::Corrupt`](crate::store::ErrorKind::Corrupt) if the head of a recording cannot
    /// be read, such as one with the marks of a merge conflict: it would count as not recorded. And
    /// as [`files::Builder::open`](crate::store::files::Builder::open).
    pub fn replay(path: impl Into<PathBuf>) -> Result<Self> {
        Self::open(path.into(), Mode::Replay)
    }

    /// Sends every request, and records the responses in the folder at `path`, in place of those
    /// that are recorded, whatever the environment says. Creates the folder and its parents if they
    /// are missing. This blocks briefly.
    ///
    /// Exchanges that are not requested any more stay in the folder. To be rid of them, remove the
    /// folder before you record.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`](crate::store::ErrorKind::Corrupt) if the head of a recording cannot
    /// be read, and as [`files::Builder::open`](crate::store::files::Builder::open).
    pub fn record(path: impl Into<PathBuf>) -> Result<Self> {
        Self::open(path.into(), Mode::Record)
    }

    fn open(path: PathBuf, mode: Mode) -> Result<Self> {
        let tape = match mode {
            Mode::Off => None,
            _ => Some(Arc::new(Tape::open(path, mode)?)),
        };
        let settings = Settings { recipe: recipe(), in_order: false, clock: Arc::new(SystemClock) };
        Ok(Self { settings: Arc::new(settings), mode, tape })
    }

    /// Whether equal requests are replayed in the order in which they were recorded: the n-th one
    /// gets the n-th recorded response. Default: `false`, and every equal request gets the same
    /// response. A request that is sent again by the cassette that has recorded it then fails if
    /// the response has another status, body, `Location` or `Content-Location`; otherwise its
    /// caller receives the new response, and the recorded one stays. Its body is read whole for
    /// that.
    ///
    /// Set it to record and to replay, for requests whose responses change, such as one that asks
    /// whether a job is done. A request that is sent more often than it was recorded is
    /// [unrecorded](super::Unrecorded). The clones of a cassette count together, and a new cassette
    /// begins anew, so each test has a cassette of its own. A request that fails while it is
    /// recorded counts too, and a replay fails at it. If equal requests are sent at the same time,
    /// their order is left to chance.
    pub fn in_order(self, in_order: bool) -> Self {
        self.set(|settings| settings.in_order = in_order)
    }

    /// Adds request headers that distinguish requests. By default, these are `Accept`,
    /// `Accept-Encoding`, `Accept-Language`, `Range`, the conditional headers (`If-Match` and so
    /// on), and those that name an operation: `Prefer`, `X-Amz-Target`, `SOAPAction`,
    /// `X-HTTP-Method-Override`, `X-HTTP-Method`, `X-Method-Override`, `Depth`, `Destination`,
    /// `Overwrite`, `Content-Range`, `Upload-Offset` and `Last-Event-ID`.
    ///
    /// Their values are recorded, in clear, apart from those of ignored headers and of headers with
    /// the [name of a secret](super#secrets): of these, only the key depends on the value. Who can
    /// guess such a value can confirm the guess.
    ///
    /// # Errors
    ///
    /// If a name is not a valid header name.
    pub fn add_key_headers<N: AsRef<str>>(
        self,
        names: impl IntoIterator<Item = N>,
    ) -> Result<Self, ConfigError> {
        self.try_set(|recipe| recipe.add_key_headers(names))
    }

    /// Ignores headers: they do not distinguish requests, and are recorded neither of a request nor
    /// of a response. By default, these are `Authorization`, `Proxy-Authorization`, `Cookie`,
    /// `X-API-Key`, `X-Auth-Token`, `X-API-Token` and `X-Access-Token`. Other fields with the [name
    /// of a secret](super#secrets), such as `Set-Cookie`, are not recorded either.
    ///
    /// # Errors
    ///
    /// If a name is not a valid header name.
    pub fn add_ignored_headers<N: AsRef<str>>(
        self,
        names: impl IntoIterator<Item = N>,
    ) -> Result<Self, ConfigError> {
        self.try_set(|recipe| recipe.add_ignored_headers(names))
    }

    /// Ignores query parameters: they do not distinguish requests and are not recorded. They are
    /// also removed from URLs in headers, such as `Location`. By default, these are `access_token`,
    /// `api_key` and `apikey`, and the names of the headers above.
    ///
    /// A request with more than 32 ignored parameters is distinguished by its query as it was sent,
    /// since servers drop parameters beyond a number.
    ///
    /// `*` stands for any number of characters. Names are compared percent-decoded, and without
    /// regard to the case of ASCII letters.
    ///
    /// # Errors
    ///
    /// If a pattern is empty, or is not a valid glob.
    pub fn add_ignored_parameters<N: AsRef<str>>(
        self,
        names: impl IntoIterator<Item = N>,
    ) -> Result<Self, ConfigError> {
        self.try_set(|recipe| recipe.add_ignored_parameters(names))
    }

    /// Ignores fields of request bodies: they do not distinguish requests and are not recorded. By
    /// default, these are the fields with the names of the
    /// [parameters](Cassette::add_ignored_parameters) above.
    /// [`CacheLayer::add_ignored_request_body_fields`] says what a field is: the name of a form
    /// field or of a JSON member at the top, or a JSON pointer such as `/auth/token`.
    ///
    /// # Errors
    ///
    /// If a text is empty, is not a valid pointer, or has a `/` but does not begin with one.
    ///
    /// [`CacheLayer::add_ignored_request_body_fields`]: crate::CacheLayer::add_ignored_request_body_fields
    pub fn add_ignored_request_body_fields<N: AsRef<str>>(
        self,
        fields: impl IntoIterator<Item = N>,
    ) -> Result<Self, ConfigError> {
        self.try_set(|recipe| recipe.add_ignored_request_body_fields(fields))
    }

    /// The clock of the times that are recorded. Default: [`SystemClock`]. With a
    /// [`ManualClock`](crate::time::ManualClock), a new recording of the same responses has the
    /// same bytes.
    pub fn clock(self, clock: impl Clock) -> Self {
        self.set(|settings| settings.clock = Arc::new(clock))
    }

    fn set(mut self, set: impl FnOnce(&mut Settings)) -> Self {
        set(Arc::make_mut(&mut self.settings));
        self
    }

    fn try_set(
        mut self,
        set: impl FnOnce(&mut Recipe) -> Result<(), ConfigError>,
    ) -> Result<Self, ConfigError> {
        set(&mut Arc::make_mut(&mut self.settings).recipe)?;
        Ok(self)
    }
}

/// The keys of a cassette before any setting.
fn recipe() -> Recipe {
    let mut recipe = Recipe { sort_query: true, ..Recipe::default() };
    recipe.body.is_on = true;
    KEY_HEADERS.into_iter().for_each(|name| recipe.headers.add(name));
    let credentials = [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE];
    credentials.into_iter().for_each(|name| recipe.headers.ignore(name));
    let tokens = recipe
        .add_ignored_headers(TOKENS)
        .and_then(|()| recipe.add_ignored_parameters(TOKENS))
        .and_then(|()| recipe.add_ignored_request_body_fields(TOKENS));
    debug_assert!(tokens.is_ok(), "the names are valid: {tokens:?}");
    recipe
}

impl fmt::Debug for Cassette {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.tape.as_ref().map(|tape| tape.recorder.store().path());
        f.debug_struct("Cassette")
            .field("mode", &self.mode)
            .field("path", &path)
            .field("in_order", &self.settings.in_order)
            .field("recipe", &self.settings.recipe)
            .finish_non_exhaustive()
    }
}
