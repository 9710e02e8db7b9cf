//! The settings of a [`Redis`](super::Redis).

use std::{fmt, time::Duration};

use redis::{
    Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion,
    RedisError, RedisResult, TlsCertificates, TlsMode,
    aio::ConnectionManager,
    cluster::ClusterClient,
    cluster_async::ClusterConnection,
    sentinel::{SentinelClientBuilder, SentinelServerType},
};

use super::{
    fault::STORE,
    link::Link,
    names::Names,
    shared::Shared,
    target::{Connection, Target, nobody, with_protocol},
};
use crate::store::{
    Error, ErrorKind, Result,
    server::{Circuit, Settings, invalid, needs_runtime},
};

/// The settings of a [`Redis`](super::Redis). [`Redis::builder`](super::Redis::builder) and its
/// neighbours create them.
#[derive(Clone)]
#[must_use = "a builder does nothing until `connect` or `build` is called"]
pub struct Builder {
    source: Source,
    settings: Settings,
    connect_timeout: Duration,
    login: Option<(Option<String>, String)>,
    database: Option<i64>,
    root_certificate: Option<Vec<u8>>,
    client_certificate: Option<(Vec<u8>, Vec<u8>)>,
}

#[derive(Clone)]
pub(super) enum Source {
    Server(String),
    Sentinel { sentinels: Vec<String>, service: String },
    Cluster(Vec<String>),
    Client(Box<Client>),
    Given(Connection),
}

impl Builder {
    pub(super) fn new(source: Source) -> Self {
        Self {
            source,
            settings: Settings::new("larder:", 64 << 10, 256 << 10),
            connect_timeout: Duration::from_secs(2),
            login: None,
            database: None,
            root_certificate: None,
            client_certificate: None,
        }
    }

    /// Creates the settings for a store with your client. The store uses its address, credentials
    /// and protocol, and makes a connection of its own.
    pub fn from_client(client: Client) -> Self {
        Self::new(Source::Client(Box::new(client)))
    }

    /// Creates the settings for a store with your connection. It reconnects as you configured it;
    /// [`response_timeout`](Builder::response_timeout) bounds how long that takes.
    pub fn from_connection_manager(connection: ConnectionManager) -> Self {
        Self::new(Source::Given(Connection::Managed(connection)))
    }

    /// Creates the settings for a store with your connection to a cluster.
    pub fn from_cluster_connection(connection: ClusterConnection) -> Self {
        Self::new(Source::Given(Connection::Cluster(connection)))
    }

    /// Sets the prefix of the names of all keys, so that several caches and other data can share a
    /// server; `larder:` by default. It must not be empty or contain braces, which mark the slot of
    /// a key.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.settings.namespace = namespace.into();
        self
    }

    /// Sets up to how many bytes a body is kept with its head, in one key, and read in one round
    /// trip; 64 KiB by default. With 0, each body that is not empty has its own key.
    pub fn inline_limit(mut self, bytes: usize) -> Self {
        self.settings.inline_limit = bytes;
        self
    }

    /// Sets the size of the chunks in which a larger body is written and read; 256 KiB by default,
    /// from 1 KiB to 64 MiB. A body takes up to 1.5 MiB of memory while it is read, or three chunks
    /// if they are larger than 512 KiB, and two chunks while it is written.
    pub fn chunk_size(mut self, bytes: usize) -> Self {
        self.settings.chunk_size = bytes;
        self
    }

    /// Sets how long connecting may take; 2 s by default. Each node of a cluster has half of it. A
    /// request that waits for a connection waits no longer than
    /// [`response_timeout`](Builder::response_timeout) in all.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// Sets how long the answer to one command may take, including everything needed to get it; 2 s
    /// by default. After that, the operation fails with [`ErrorKind::Unavailable`], and for as long
    /// again, so do all others, at once.
    pub fn response_timeout(mut self, limit: Duration) -> Self {
        self.settings.timeout = limit;
        self
    }

    /// Sets for how long the server keeps an entry beyond the time until which the cache wants to
    /// [keep](crate::entry::Head::keep_until) it, which is its expiry, or later if stale responses
    /// are useful. Zero by default. With `Duration::MAX`, only
    /// [`remove_expired`](crate::store::Store::remove_expired) removes expired entries.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.settings.grace = grace;
        self
    }

    /// Sets for how long a large body stays after its entry was replaced, removed or expired,
    /// counted from the last read of it; 60 s by default. A reader that pauses for longer gets an
    /// error.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.settings.linger = linger;
        self
    }

    /// Sets the user name, if any, and the password for the servers, instead of those in the URL.
    /// With Sentinels, the URLs' credentials are for the Sentinels only, and these are for the
    /// servers that they name.
    pub fn login(mut self, user: Option<&str>, password: impl Into<String>) -> Self {
        self.login = Some((user.map(str::to_owned), password.into()));
        self
    }

    /// Sets the number of the database, instead of the URL's; 0 by default, the only one that a
    /// cluster has.
    pub fn database(mut self, number: u32) -> Self {
        self.database = Some(i64::from(number));
        self
    }

    /// Sets the certificates of the authorities that sign the servers' TLS certificates, in PEM,
    /// instead of the system's.
    pub fn root_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.root_certificate = Some(pem.into());
        self
    }

    /// Sets the certificate chain and the private key that are presented to servers with TLS, each
    /// in PEM.
    pub fn client_certificate(
        mut self,
        chain_pem: impl Into<Vec<u8>>,
        key_pem: impl Into<Vec<u8>>,
    ) -> Self {
        self.client_certificate = Some((chain_pem.into(), key_pem.into()));
        self
    }

    /// Checks the settings, and creates what all handles share.
    pub(super) fn into_shared(mut self) -> Result<Shared> {
        let namespace = &self.settings.namespace;
        if namespace.is_empty() || namespace.contains(['{', '}']) {
            let why = "use a name that is not empty and has no braces, such as \"larder:\"";
            return Err(invalid(STORE, format!("invalid namespace {namespace:?}; {why}")));
        }
        self.settings.check(STORE, 64, 64)?;
        if self.connect_timeout.is_zero() {
            return Err(invalid(STORE, "the timeout must not be zero"));
        }
        // Without this check, the driver would trust nobody, and only fail when it connects.
        let pem =
            self.root_certificate.iter().chain(self.client_certificate.as_ref().map(|c| &c.0));
        for pem in pem {
            if !pem.windows(17).any(|words| words == b"BEGIN CERTIFICATE") {
                return Err(invalid(STORE, "the certificate is not in PEM format"));
            }
        }
        let (target, server) = self.target()?;
        needs_runtime::when_made(STORE)?;
        // The server adds it to its time. A year is longer than any read.
        self.settings.linger = self.settings.linger.min(Duration::from_secs(366 * 24 * 3600));
        let circuit = Circuit::new(STORE, server, self.settings.timeout);
        let link = Link::new(target, circuit, self.connect_timeout);
        let names = Names::new(self.settings.namespace.clone());
        Ok(Shared { link, names, settings: self.settings })
    }

    fn target(&self) -> Result<(Target, String)> {
        let refused = |error: RedisError| {
            let message = "cannot create a client with these settings";
            Error::new(ErrorKind::Invalid, STORE, message).with_source(error)
        };
        match &self.source {
            Source::Server(url) => {
                let info = self.info(url)?;
                let server = info.addr().to_string();
                Ok((Target::Server(Box::new(self.client(info).map_err(refused)?)), server))
            }
            Source::Client(client) => {
                let info = client.get_connection_info();
                if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
                    provide_cryptography();
                }
                Ok((Target::Server(client.clone()), info.addr().to_string()))
            }
            Source::Cluster(urls) => {
                let infos = urls.iter().map(|url| self.info(url)).collect::<Result<Vec<_>>>()?;
                let server = format!("the cluster of {}", addresses(&infos));
                Ok((Target::Cluster(Box::new(self.cluster(infos).map_err(refused)?)), server))
            }
            Source::Sentinel { sentinels, service } => {
                let infos: Vec<_> =
                    sentinels.iter().map(|url| parse(url)).collect::<Result<_>>()?;
                let server = format!("{service} (by the Sentinels {})", addresses(&infos));
                let target = self.sentinel(&infos, service).map_err(refused)?;
                Ok((target, server))
            }
            Source::Given(connection) => {
                let target = Target::Given(connection.clone());
                Ok((target, "the server of the given connection".to_owned()))
            }
        }
    }

    fn certificates(&self) -> Option<TlsCertificates> {
        let client_tls = self
            .client_certificate
            .clone()
            .map(|(client_cert, client_key)| ClientTlsConfig { client_cert, client_key });
        let root_cert = self.root_certificate.clone();
        (client_tls.is_some() || root_cert.is_some())
            .then_some(TlsCertificates { client_tls, root_cert })
    }

    fn client(&self, info: ConnectionInfo) -> RedisResult<Client> {
        match self.certificates() {
            Some(certificates) => Client::build_with_tls(info, certificates),
            None => Client::open(info),
        }
    }

    fn cluster(&self, infos: Vec<ConnectionInfo>) -> RedisResult<ClusterClient> {
        let protocol = infos.first().ok_or_else(nobody)?.redis_settings().protocol();
        let mut builder = ClusterClient::builder(infos)
            .use_protocol(protocol)
            // The driver waits for all of the given nodes, and some of them may be silent.
            .connection_timeout(self.connect_timeout / 2)
            .response_timeout(self.settings.timeout)
            // The link has a limit over all attempts.
            .retries(4)
            .min_retry_wait(10)
            .max_retry_wait(250);
        if let Some(certificates) = self.certificates() {
            builder = builder.certs(certificates);
        }
        builder.build()
    }

    fn sentinel(&self, infos: &[ConnectionInfo], service: &str) -> RedisResult<Target> {
        let first = infos.first().ok_or_else(nobody)?;
        let addresses = infos.iter().map(|info| info.addr().clone());
        let mut builder =
            SentinelClientBuilder::new(addresses, service, SentinelServerType::Master)?
                .set_client_to_redis_protocol(ProtocolVersion::RESP3);
        if let Some(user) = first.redis_settings().username() {
            builder = builder.set_client_to_sentinel_username(user);
        }
        if let Some(password) = first.redis_settings().password() {
            builder = builder.set_client_to_sentinel_password(password);
        }
        if let Some((user, password)) = &self.login {
            builder = builder.set_client_to_redis_password(password);
            if let Some(user) = user {
                builder = builder.set_client_to_redis_username(user);
            }
        }
        if let Some(database) = self.database {
            builder = builder.set_client_to_redis_db(database);
        }
        if matches!(first.addr(), ConnectionAddr::TcpTls { .. }) {
            builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
            if let Some(certificates) = self.certificates() {
                builder = builder
                    .set_client_to_sentinel_certificates(certificates.clone())
                    .set_client_to_redis_certificates(certificates);
            }
        }
        let client = builder.build()?;
        Ok(Target::Sentinel(std::sync::Arc::new(tokio::sync::Mutex::new(client))))
    }

    /// Returns the URL's connection settings, overridden by those of the builder.
    fn info(&self, url: &str) -> Result<ConnectionInfo> {
        let mut info = parse(url)?;
        let mut settings = info.redis_settings().clone();
        if let Some((user, password)) = &self.login {
            settings = settings.set_password(password);
            if let Some(user) = user {
                settings = settings.set_username(user);
            }
        }
        if let Some(database) = self.database {
            settings = settings.set_db(database);
        }
        info = info.set_redis_settings(settings);
        // The driver uses RESP2 by default.
        if !url.contains("protocol=") {
            info = with_protocol(info, ProtocolVersion::RESP3);
        }
        Ok(info)
    }
}

/// Parses a URL. Errors do not repeat it, since it may contain a password.
fn parse(url: &str) -> Result<ConnectionInfo> {
    let info = url.into_connection_info().map_err(|error| {
        let message = "invalid server URL; write one like redis://user:password@host:6379/0, or \
                       rediss:// for TLS";
        invalid(STORE, message).with_source(error)
    })?;
    if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
        provide_cryptography();
    }
    Ok(info)
}

fn addresses(infos: &[ConnectionInfo]) -> String {
    let addresses: Vec<_> = infos.iter().map(|info| info.addr().to_string()).collect();
    addresses.join(", ")
}

/// rustls needs one cryptography provider for the whole process. A provider that was installed
/// before stays.
fn provide_cryptography() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // If two threads install one at the same time, either is fine.
        drop(rustls::crypto::ring::default_provider().install_default());
    }
}

/// Without credentials, which every part of the source may contain.
impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("settings", &self.settings)
            .field("connect_timeout", &self.connect_timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Redis, *};

    fn builder(url: &str) -> Builder {
        Redis::builder(url)
    }

    #[tokio::test]
    async fn the_defaults_are_as_documented() {
        let store = builder("redis://localhost").build().unwrap();
        let shared = &store.shared;
        assert_eq!(shared.names.namespace(), "larder:");
        let settings = &shared.settings;
        assert_eq!((settings.inline_limit, settings.chunk_size), (64 * 1024, 256 * 1024));
        assert_eq!((settings.grace, settings.linger), (Duration::ZERO, Duration::from_secs(60)));
        assert_eq!(settings.timeout, Duration::from_secs(2));
        assert_eq!(shared.link.server(), "localhost:6379");
    }

    #[test]
    fn invalid_settings_are_refused_without_the_password() {
        let cases = [
            builder("http://user:secret@localhost"),
            builder("redis://user:secret@localhost/first"),
            builder("redis://user:secret@localhost/?protocol=9"),
            builder("user:secret@localhost"),
            builder("redis://localhost").namespace(""),
            builder("redis://localhost").namespace("a{b}"),
            builder("redis://localhost").chunk_size(0),
            builder("redis://localhost").inline_limit(usize::MAX),
            builder("redis://localhost").response_timeout(Duration::ZERO),
            builder("rediss://:secret@localhost").root_certificate("no certificate"),
            builder("redis://localhost").root_certificate("for a server without TLS"),
            Redis::cluster(Vec::<String>::new()),
            Redis::sentinel(Vec::<String>::new(), "main"),
        ];
        for case in cases {
            let error = case.build().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
            assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        }
    }

    #[test]
    fn the_store_needs_a_runtime() {
        needs_runtime::tests::a_runtime_is_needed(|| async {
            Redis::builder("redis://127.0.0.1:1").build()
        });
    }

    #[tokio::test]
    async fn debug_output_has_no_password() {
        let url = "redis://user:secret@localhost:1";
        let shown = [
            format!("{:?}", builder(url)),
            format!("{:?}", builder(url).build().unwrap()),
            format!("{:?}", builder(url).login(Some("user"), "secret").build().unwrap()),
            format!("{:?}", Redis::cluster([url]).build().unwrap()),
            format!("{:?}", Redis::sentinel([url], "main").build().unwrap()),
        ];
        for shown in shown {
            assert!(!shown.contains("secret"), "{shown}");
        }
    }
}
