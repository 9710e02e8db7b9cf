//! How a [`MongoDb`](super::MongoDb) is set up before it is asked anything.

use std::{fmt, sync::atomic::AtomicU8, time::Duration};

use mongodb::{
    Client, Database,
    error::Error as MongoError,
    options::{Acknowledgment, ClientOptions, DatabaseOptions, ReadPreference, SelectionCriteria},
};
use tokio::sync::OnceCell;

use super::{
    collections::{Collections, check_database, check_namespace},
    fault::{self, STORE, invalid},
    link::Link,
    order::Order,
    shared::Shared,
};
use crate::store::{Error, ErrorKind, Result, needs_runtime};

/// The database where neither the URL nor the settings name one.
const DATABASE: &str = "larder";

/// The largest body that is sure to leave room for an ordinary head in a document.
const LARGEST_INLINE: usize = 15 << 20;

/// Settings of a [`MongoDb`](super::MongoDb); [`MongoDb::builder`](super::MongoDb::builder) makes one, and so do [`from_client`](Builder::from_client) and
/// [`from_database`](Builder::from_database).
#[derive(Clone)]
#[must_use = "a builder does nothing until `connect` or `build` is called"]
pub struct Builder {
    source: Source,
    database: Option<String>,
    namespace: String,
    inline_limit: usize,
    chunk_size: usize,
    timeout: Duration,
    grace: Duration,
    linger: Duration,
}

#[derive(Clone)]
pub(super) enum Source {
    Url(String),
    Client(Client),
    Database(Database),
}

impl Builder {
    pub(super) fn new(source: Source) -> Self {
        Self {
            source,
            database: None,
            namespace: "larder".to_owned(),
            inline_limit: 256 << 10,
            chunk_size: 255 << 10,
            timeout: Duration::from_secs(2),
            grace: Duration::ZERO,
            linger: Duration::from_secs(60),
        }
    }

    /// Settings for a store behind a client of one's own, in its default database, or `larder`. It reads from primaries,
    /// whatever the client prefers; the store's [`timeout`](Builder::timeout) bounds whatever the client waits for.
    pub fn from_client(client: Client) -> Self {
        Self::new(Source::Client(client))
    }

    /// Settings for a store in a database of one's own. As [`from_client`](Builder::from_client) otherwise.
    pub fn from_database(database: Database) -> Self {
        Self::new(Source::Database(database))
    }

    /// The database, in server of the one that the URL names behind the hosts. Default `larder`.
    pub fn database(mut self, name: impl Into<String>) -> Self {
        self.database = Some(name.into());
        self
    }

    /// What the name of every collection begins with, so that several caches and other data can share a database: entries
    /// are in `<namespace>.entries`, and `<namespace>` is the name of the GridFS bucket. Default `larder`.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Up to how many bytes a body is kept with its head, in one document, and read in one round trip. Default 256 KiB,
    /// about what would be one chunk in GridFS; up to 15 MiB, for a document takes 16 MiB and the head needs room. 0
    /// puts every body that is not empty into GridFS. A body beside a head so large that both do not fit into a
    /// document goes there too.
    pub fn inline_limit(mut self, bytes: usize) -> Self {
        self.inline_limit = bytes;
        self
    }

    /// In chunks of how many bytes a larger body is written and read. Default 255 KiB, as is GridFS's own; from 1 KiB to
    /// 8 MiB. A body takes about eight such chunks of memory while it is read, or 2 MiB, and three while it is written.
    pub fn chunk_size(mut self, bytes: usize) -> Self {
        self.chunk_size = bytes;
        self
    }

    /// How long the answer to one command may take, with all that is needed to get it: to find a server, to connect, to
    /// wait for a connection that is free. Default 2 s. Beyond it, the operation is an error of kind
    /// [`ErrorKind::Unavailable`]. A large body is many commands, one for each step.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// For how long the server keeps an entry beyond the time until which the cache wants it
    /// [kept](crate::entry::Head::keep_until): the expiry, or later where stale responses are of use. Default none; whole
    /// seconds, rounded up. More than 68 years, such as `Duration::MAX`, leaves all removing to
    /// [`remove_expired`](crate::store::Store::remove_expired). It is a property of the index, and so of the namespace:
    /// who connects last sets it.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// For how long a body in GridFS stays after its entry was replaced, removed or expired, counted from the last time
    /// that somebody read of it. Default 60 s, and never less than [`timeout`](Builder::timeout). A reader that pauses
    /// for longer gets an error.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    /// Checks the settings, and makes what all handles share.
    pub(super) async fn into_shared(self) -> Result<Shared> {
        self.check()?;
        needs_runtime::when_made(STORE)?;
        let (database, server) = self.open().await?;
        let unacknowledged = Some(Acknowledgment::Nodes(0));
        if database.write_concern().is_some_and(|concern| concern.w == unacknowledged) {
            return Err(invalid(
                "the write concern w=0 is not supported: the server would not confirm writes; use w=1 or \
                 w=majority",
            ));
        }
        let collections = Collections::new(&database, self.namespace);
        Ok(Shared {
            link: Link::new(database, server, self.timeout),
            collections,
            inline_limit: self.inline_limit,
            chunk_size: self.chunk_size,
            grace: self.grace,
            linger: self.linger,
            indexed: OnceCell::new(),
            order: Order::default(),
            sweeper: AtomicU8::default(),
        })
    }

    fn check(&self) -> Result<()> {
        check_namespace(&self.namespace)?;
        if let Some(name) = &self.database {
            check_database(name)?;
        }
        if !(1 << 10..=8 << 20).contains(&self.chunk_size) {
            return Err(invalid("chunk_size must be from 1 KiB to 8 MiB"));
        }
        if self.inline_limit > LARGEST_INLINE {
            return Err(invalid(
                "inline_limit must be at most 15 MiB, because a document is limited to 16 MiB",
            ));
        }
        if self.timeout.is_zero() {
            return Err(invalid("the timeout must not be zero"));
        }
        Ok(())
    }

    /// The database, and the servers as messages name them.
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

    /// The database by its name, with the concerns of the one that is `given`. What is read comes from primaries: on
    /// another an entry may be there before its body is.
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
        let parsed = ClientOptions::parse(url);
        let Ok(parsed) = tokio::time::timeout(self.timeout, async { parsed.await }).await else {
            return Err(fault::slow("the DNS", self.timeout));
        };
        let mut options = parsed.map_err(|error| refused(url, error))?;
        // So that the driver says why before the limit passes.
        let waits = self.timeout.mul_f64(0.75);
        let at_most = |limit: Duration, given: Option<Duration>| {
            Some(given.map_or(limit, |given| given.min(limit)))
        };
        options.server_selection_timeout = at_most(waits, options.server_selection_timeout);
        options.connect_timeout = at_most(self.timeout, options.connect_timeout);
        // A server that is silent is noticed after this time and that of a connection attempt.
        let often = self.timeout.clamp(Duration::from_millis(500), Duration::from_secs(10));
        options.heartbeat_freq = options.heartbeat_freq.or(Some(often));
        options.app_name = options.app_name.or_else(|| Some("larder".to_owned()));
        Ok(options)
    }
}

/// What is wrong with a URL. Where it may hold a secret, the driver's words, which repeat parts of it, are left out.
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

/// Without the source, which may have credentials.
impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("database", &self.database)
            .field("namespace", &self.namespace)
            .field("inline_limit", &self.inline_limit)
            .field("chunk_size", &self.chunk_size)
            .field("timeout", &self.timeout)
            .field("grace", &self.grace)
            .field("linger", &self.linger)
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
        assert_eq!((shared.inline_limit, shared.chunk_size), (256 * 1024, 255 * 1024));
        assert_eq!((shared.grace, shared.linger), (Duration::ZERO, Duration::from_secs(60)));
        assert_eq!(shared.link.limit(), Duration::from_secs(2));
        assert_eq!(shared.link.server(), "localhost:27017");
        let names = [&shared.collections.entries, &shared.collections.files]
            .map(|collection| collection.name().to_owned());
        assert_eq!(names, ["larder.entries", "larder.files"]);
    }

    #[tokio::test]
    async fn the_database_is_the_one_that_is_named_last() {
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
    async fn what_makes_no_sense_is_refused_without_a_word_of_the_password() {
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
    async fn what_is_shown_has_no_password() {
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
