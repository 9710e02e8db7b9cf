//! Servers of MongoDB's protocol for the tests. Each has its own folder and a free port of this
//! machine only, and ends with its test.
//!
//! The server is SecantusDB, which `tests/run.sh` installs into `.mongo-venv`. If `MONGODB_URI` is
//! set, tests for which a plain server suffices use that server instead.

#![allow(dead_code)]

use std::{
    env,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use mongodb::{
    Client, Collection, Database,
    bson::{Bson, Document, doc},
};
use tempfile::TempDir;

use super::process::{Process, on_a_free_port};

/// The database of all tests.
pub(crate) const DATABASE: &str = "larder-test";

/// The URL of a server, and the handle that ends the server.
pub(crate) fn any_server() -> (String, Option<Server>) {
    if let Ok(url) = env::var("MONGODB_URI") {
        return (url, None);
    }
    let server = Server::start();
    (server.url(), Some(server))
}

/// Drops the collections of a namespace only.
pub(crate) async fn drop_namespace(url: &str, namespace: &str) {
    let database = Client::with_uri_str(url).await.unwrap().database(DATABASE);
    for name in ["entries", "files", "chunks"] {
        database.collection::<Document>(&format!("{namespace}.{name}")).drop().await.unwrap();
    }
}

/// A running server.
pub(crate) struct Server {
    pub(crate) port: u16,
    /// The seconds between two searches for expired documents.
    sweep: &'static str,
    // The process ends before its folder goes.
    process: Process,
    folder: TempDir,
}

impl Server {
    /// A server that removes no expired documents during a test.
    pub(crate) fn start() -> Self {
        Self::sweeping("100000")
    }

    /// A server that removes expired documents every second.
    pub(crate) fn expiring() -> Self {
        Self::sweeping("1")
    }

    fn sweeping(sweep: &'static str) -> Self {
        on_a_free_port(|port| {
            let folder = tempfile::Builder::new().prefix("larder-mongodb-").tempdir().unwrap();
            let mut server = Self { port, sweep, process: Process::default(), folder };
            server.try_run().then_some(server)
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("mongodb://127.0.0.1:{}/?directConnection=true", self.port)
    }

    /// Kills the server, as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts the server again on the same port, with the same data.
    pub(crate) fn run(&mut self) {
        assert!(self.try_run(), "the server ended at once");
    }

    /// Waits until the server says that it listens. Returns `false` if it has ended.
    fn try_run(&mut self) -> bool {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = here.ancestors().find(|folder| folder.join("tests/support").exists()).unwrap();
        let mut command = Command::new(root.join(".mongo-venv/bin/python"));
        command.arg(root.join("tests/support/mongodb.py")).arg(self.folder.path());
        command.args([&self.port.to_string(), self.sweep]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().unwrap_or_else(|error| {
            panic!(
                "the test server SecantusDB cannot be started from .mongo-venv ({error}); run \
                 ./tests/run.sh, which installs it there, or set MONGODB_URI to a server of yours"
            )
        });
        let stdout = process.stdout.take().unwrap();
        self.process = Process(Some(process));
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        line.starts_with("mongodb://")
    }

    pub(crate) async fn client(&self) -> Client {
        Client::with_uri_str(self.url()).await.unwrap()
    }

    pub(crate) async fn database(&self) -> Database {
        self.client().await.database(DATABASE)
    }

    pub(crate) async fn collection(&self, name: &str) -> Collection<Document> {
        self.database().await.collection(name)
    }

    /// Makes the next `times` commands with these names fail as `how` says.
    pub(crate) async fn fail(&self, commands: &[&str], times: i32, how: Document) {
        let mut data = doc! { "failCommands": commands };
        data.extend(how);
        let mode: Bson = if times < 0 { "alwaysOn".into() } else { doc! { "times": times }.into() };
        let point = doc! { "configureFailPoint": "failCommand", "mode": mode, "data": data };
        self.client().await.database("admin").run_command(point).await.unwrap();
    }

    pub(crate) async fn heal(&self) {
        let point = doc! { "configureFailPoint": "failCommand", "mode": "off" };
        self.client().await.database("admin").run_command(point).await.unwrap();
    }
}
