//! The settings of a [`MongoDb`](super::MongoDb).

use std::{fmt, sync::Mutex, time::Duration};

use mongodb::{
    Client, Database,
    error::Error as MongoError,
    options::{Acknowledgment, ClientOptions, DatabaseOptions, ReadPreference, SelectionCriteria},
};
use tokio::sync::OnceCell;

use super::{
    collections::{Collections, check_database, check_namespace},
    fault::STORE,
    link::Link,
    order::Order,
    shared::Shared,
};
use crate::store::{
    Error, ErrorKind, Result,
    server::{Circuit, Settings, invalid, needs_runtime},
};

/// The database if neither the URL nor the settings name one.
const DATABASE: &str = "larder";

/// The largest body that surely leaves room for an ordinary head in a document, in MiB.
const MAX_INLINE: usize = 15;

/// The settings of a [`MongoDb`](super::MongoDb). [`MongoDb::builder`](super::MongoDb::builder)
/// creates them, and so do [`from_client`](Builder::from_client) and
/// [`from_database`](Builder::from_database).
#[derive(Clone)]
#[must_use = "a builder does nothing until `connect` or `build` is called"]
pub struct Builder {
    source: Source,
    database: Option<String>,
    settings: Settings,
    pub(super) keeps_grace: bool,
}

#[derive(Clone)]
pub(super) enum Source {
    Url(String),
    Client(Client),
    Database(Database),
}

impl Builder {
    pub(super) fn new(source: Source) -> Self {
        let settings = Settings::new("larder", 256 << 10, 255 << 10);
        Self { source, database: None, settings, keeps_grace: false }
    }

    /// Creates the settings for a store with your client, in its default database, or `larder`. The
    /// store reads from primaries, whatever the client prefers. [`timeout`](Builder::timeout)
    /// bounds whatever the client waits for.
    pub fn from_client(client: Client) -> Self {
        Self::new(Source::Client(client))
    }

    /// Creates the settings for a store in your database. Otherwise like
    /// [`from_client`](Builder::from_client).
    pub fn from_database(database: Database) -> Self {
        Self::new(Source::Database(database))
    }

    /// Sets the database, instead of the one that the URL names after the hosts; `larder` by
    /// default.
    pub fn database(mut self, name: impl Into<String>) -> Self {
        self.database = Some(name.into());
        self
    }

    /// Sets the prefix of the names of all collections, so that several caches and other data can
    /// share a database; `larder` by default. Entries are in `<namespace>.entries`, and
    /// `<namespace>` is the name of the GridFS bucket.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.settings.namespace = namespace.into();
        self
    }

    /// Sets up to how many bytes a body is kept with its head, in one document, and read in one
    /// round trip; 256 KiB by default, about one chunk in GridFS. The maximum is 15 MiB, since a
    /// document is limited to 16 MiB and the head needs room. With 0, every body that is not empty
    /// goes into GridFS. A body whose head is too large for one document with it goes there too.
    pub fn inline_limit(mut self, bytes: usize) -> Self {
        self.settings.inline_limit = bytes;
        self
    }

    /// Sets the size of the chunks in which a larger body is written and read; 255 KiB by default,
    /// as in GridFS, from 1 KiB to 8 MiB. A body takes about eight chunks of memory while it is
    /// read, or 2 MiB, and three while it is written.
    pub fn chunk_size(mut self, bytes: usize) -> Self {
        self.settings.chunk_size = bytes;
        self
    }

    /// Sets how long the answer to one command may take, including finding a server, connecting,
    /// and waiting for a free connection; 2 s by default. After that, the operation fails with
    /// [`ErrorKind::Unavailable`], and so do all others, at once, until the server has answered a
    /// `ping`. A large body takes many commands, one for each step.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.settings.timeout = limit;
        self
    }

    /// Sets for how long the server keeps an entry beyond the time until which the cache wants to
    /// [keep](crate::entry::Head::keep_until) it, which is its expiry, or later if stale responses
    /// are useful. Zero by default; whole seconds, rounded up. With more than 68 years, such as
    /// `Duration::MAX`, only [`remove_expired`](crate::store::Store::remove_expired) removes
    /// expired entries. It is a property of the index, and so of the namespace: the last store that
    /// connects sets it.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.settings.grace = grace;
        self
    }

    /// Takes over the grace that the index of the namespace has, instead of setting it. It is for
    /// programs that write to the cache of another one, such as the command `larder`. If there is
    /// no index yet, [`grace`](Builder::grace) counts. It takes effect in
    /// [`connect`](Builder::connect), and not in [`build`](Builder::build).
    pub fn keep_grace(mut self) -> Self {
        self.keeps_grace = true;
        self
    }

    /// Sets for how long a body in GridFS stays after its entry was replaced, removed or expired,
    /// counted from the last read of it; 60 s by default, and never less than
    /// [`timeout`](Builder::timeout). A reader that pauses for longer gets an error.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.settings.linger = linger;
        self
    }

    /// Checks the settings, and creates what all handles share.
    pub(super) async fn into_shared(mut self) -> Result<Shared> {
        check_namespace(&self.settings.namespace)?;
        if let Some(name) = &self.database {
            check_database(name)?;
        }
        self.settings.check(STORE, MAX_INLINE, 8)?;
        needs_runtime::when_made(STORE)?;
        let (database, server) = self.open().await?;
        let unacknowledged = Some(Acknowledgment::Nodes(0));
        if database.write_concern().is_some_and(|concern| concern.w == unacknowledged) {
            let message = "the write concern w=0 is not supported: the server would not confirm \
                           writes; use w=1 or w=majority";
            return Err(invalid(STORE, message));
        }
        // A chunk that is still being written must not outlive its file.
        self.settings.linger = self.settings.linger.max(self.settings.timeout);
        Ok(Shared {
            collections: Collections::new(&database, &self.settings.namespace),
            link: Link::new(database, Circuit::new(STORE, server, self.settings.timeout)),
            settings: self.settings,
            indexed: OnceCell::new(),
            order: Order::default(),
            sweeper: Mutex::default(),
        })
    }

    /// Returns the database, and the name of the servers in messages.
    async fn open(&self) -> Result<(Database, String)> {
        let (client, given) = match &self.source {
            Source::Url(url) => {
                let options = self.options(url).await?;
                let server: Vec<_> = options.hosts.iter().map(ToString::to_string).collect();
                let client = Client::with_options(options).map_err(|error| refused(url, error))?;
                let database = self.choose(&client, client.default_database().as_ref())?;
                return Ok((database, server.join(",")));
            }
            Source::Client(client) => (client, client.default_database()),
            Source::Database(database) => (database.client(), Some(database.clone())),
        };
        let database = self.choose(client, given.as_ref())?;
        Ok((database, "the server of the given client".to_owned()))
    }

    /// Selects the database by its name, with the concerns of the one that is `given`. Reads go to
    /// primaries: on a secondary, an entry may appear before its body.
    fn choose(&self, client: &Client, given: Option<&Database>) -> Result<Database> {
        let name = self.database.as_deref().or(given.map(Database::name)).unwrap_or(DATABASE);
        check_database(name)?;
        let mut options = DatabaseOptions::default();
        options.selection_criteria =
            Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
        options.read_concern = given.and_then(Database::read_concern).cloned();
        options.write_concern = given.and_then(Database::write_concern).cloned();
        Ok(client.database_with_options(name, options))
    }

    async fn options(&self, url: &str) -> Result<ClientOptions> {
        let timeout = self.settings.timeout;
        let parsed = ClientOptions::parse(url);
        let Ok(parsed) = tokio::time::timeout(timeout, async { parsed.await }).await else {
            let message = format!("the DNS did not answer within {timeout:?}");
            return Err(Error::new(ErrorKind::Unavailable, STORE, message));
        };
        let mut options = parsed.map_err(|error| refused(url, error))?;
        // Shorter than the limit, so that the driver's error comes first.
        let waits = timeout.mul_f64(0.75);
        let at_most = |limit: Duration, given: Option<Duration>| {
            Some(given.map_or(limit, |given| given.min(limit)))
        };
        options.server_selection_timeout = at_most(waits, options.server_selection_timeout);
        options.connect_timeout = at_most(timeout, options.connect_timeout);
        // A silent server is noticed after this time and that of a connection attempt.
        let often = timeout.clamp(Duration::from_millis(500), Duration::from_secs(10));
        options.heartbeat_freq = options.heartbeat_freq.or(Some(often));
        options.app_name = options.app_name.or_else(|| Some("larder".to_owned()));
        Ok(options)
    }
}

/// What is wrong with a URL. If it may contain a secret, the driver's message, which repeats parts
/// of it, is left out.
fn refused(url: &str, error: MongoError) -> Error {
    use mongodb::error::ErrorKind as MongoKind;
    let secret = ["@", "assword", "roperties"].iter().any(|sign| url.contains(sign));
    let (kind, message) = match &*error.kind {
        MongoKind::DnsResolve { .. } | MongoKind::Io(_) => {
            (ErrorKind::Unavailable, "cannot resolve the host names of the servers")
        }
        _ => (
            ErrorKind::Invalid,
            "invalid server URL; write one like \
             mongodb://user:password@host:27017/database, and percent-encode special characters in \
             the name and the password",
        ),
    };
    let refused = Error::new(kind, STORE, message);
    if secret { refused } else { refused.with_source(error) }
}

/// Without the source, which may contain credentials.
impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("database", &self.database)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::MongoDb, *};

    fn builder(url: &str) -> Builder {
        MongoDb::builder(url)
    }

    #[test]
    fn the_store_needs_a_runtime() {
        needs_runtime::tests::a_runtime_is_needed(|| builder("mongodb://127.0.0.1:1").build());
    }

    #[tokio::test]
    async fn the_defaults_are_as_documented() {
        let store = builder("mongodb://localhost").build().await.unwrap();
        let shared = &store.shared;
        assert_eq!(store.namespace(), "larder");
        assert_eq!(shared.link.database().name(), "larder");
        let settings = &shared.settings;
        assert_eq!((settings.inline_limit, settings.chunk_size), (256 * 1024, 255 * 1024));
        assert_eq!((settings.grace, settings.linger), (Duration::ZERO, Duration::from_secs(60)));
        assert_eq!(shared.link.circuit().limit, Duration::from_secs(2));
        assert_eq!(shared.link.server(), "localhost:27017");
        let names = [&shared.collections.entries, &shared.collections.files]
            .map(|collection| collection.name().to_owned());
        assert_eq!(names, ["larder.entries", "larder.files"]);
    }

    #[tokio::test]
    async fn settings_override_the_database_of_the_url() {
        let name = async |builder: Builder| {
            builder.build().await.unwrap().shared.link.database().name().to_owned()
        };
        assert_eq!(name(builder("mongodb://localhost/shop")).await, "shop");
        assert_eq!(name(builder("mongodb://localhost/shop").database("mine")).await, "mine");
        let client = Client::with_uri_str("mongodb://localhost/shop").await.unwrap();
        assert_eq!(name(Builder::from_database(client.database("other"))).await, "other");
        assert_eq!(name(Builder::from_client(client)).await, "shop");
    }

    #[tokio::test]
    async fn invalid_settings_are_refused_without_the_password() {
        let cases = [
            builder("http://user:secret@localhost"),
            builder("mongodb://user:secret@localhost:port"),
            builder("mongodb://user:secret@@localhost"),
            builder("mongodb://user:se:cret/secret@localhost"),
            builder("mongodb://user:secret@localhost/?w=0"),
            builder("mongodb://localhost/?w=secret&tls=perhaps&password=secret"),
            builder("user:secret@localhost"),
            builder("mongodb://user:secret@localhost/a.b"),
            builder("mongodb://localhost").namespace(""),
            builder("mongodb://localhost").namespace("a$b"),
            builder("mongodb://localhost").namespace("a."),
            builder("mongodb://localhost").namespace("system.a"),
            builder("mongodb://localhost").database(""),
            builder("mongodb://localhost").database("a b"),
            builder("mongodb://localhost").chunk_size(0),
            builder("mongodb://localhost").chunk_size(16 << 20),
            builder("mongodb://localhost").inline_limit(16 << 20),
            builder("mongodb://localhost").timeout(Duration::ZERO),
        ];
        for case in cases {
            let shown = format!("{case:?}");
            let error = case.build().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
            let shown = format!("{error} {error:?} {shown}");
            assert!(!shown.contains("secret"), "{shown}");
        }
    }

    #[tokio::test]
    async fn debug_output_has_no_password() {
        let url = "mongodb://user:secret@localhost:1/?authSource=admin";
        let client = Client::with_uri_str(url).await.unwrap();
        let shown = [
            format!("{:?}", builder(url)),
            format!("{:?}", builder(url).build().await.unwrap()),
            format!("{:?}", Builder::from_client(client.clone())),
            format!("{:?}", Builder::from_client(client).build().await.unwrap()),
        ];
        for shown in shown {
            assert!(!shown.contains("secret"), "{shown}");
        }
    }
}
