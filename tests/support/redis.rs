//! Redis servers for the tests. Each has its own folder and a free port of this machine only, and
//! ends with its test.
//!
//! If `REDIS_URL` is set, tests for which a plain server suffices use that server instead.

#![allow(dead_code)]

use std::{
    env,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use redis::{Connection, FromRedisValue};
use tempfile::TempDir;

use super::process::{Process, free_port, on_a_free_port, unique_name};

/// A time after which a test fails, because what it waits for never comes.
const NEVER: Duration = Duration::from_secs(120);

/// A namespace that no other test has, in this run or another.
pub(crate) fn namespace() -> String {
    format!("larder-{}:", unique_name())
}

/// The URL of a server, and the handle that ends the server.
pub(crate) fn any_server() -> (String, Option<Server>) {
    if let Ok(url) = env::var("REDIS_URL") {
        return (url, None);
    }
    let server = Server::start();
    (server.url(), Some(server))
}

/// A running `redis-server`.
pub(crate) struct Server {
    pub(crate) port: u16,
    args: Vec<String>,
    // The process ends before its folder goes.
    process: Process,
    folder: TempDir,
}

impl Server {
    /// A single server, which stores nothing on disk.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(args: &[&str]) -> Self {
        on_a_free_port(|port| {
            let mut server = Self::on(port, args);
            server.try_run().then_some(server)
        })
    }

    /// A Sentinel with the configuration file `config`, to which it writes.
    pub(crate) fn sentinel(config: &Path) -> Self {
        let mut server = Self::on(free_port(), &[]);
        let mut command = Command::new("redis-server");
        command.arg(config).args(["--port", &server.port.to_string(), "--bind", "127.0.0.1"]);
        command.arg("--dir").arg(server.folder.path()).arg("--sentinel");
        server.process = spawn(command);
        assert!(server.wait(), "the Sentinel ended at once");
        server
    }

    fn on(port: u16, args: &[&str]) -> Self {
        let args = args.iter().map(|&arg| arg.to_owned()).collect();
        let folder = tempfile::Builder::new().prefix("larder-redis-").tempdir().unwrap();
        Self { port, args, process: Process::default(), folder }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Kills the server, as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts the server again on the same port.
    pub(crate) fn run(&mut self) {
        assert!(self.try_run(), "redis-server ended at once");
    }

    fn try_run(&mut self) -> bool {
        let port = self.port.to_string();
        let folder = self.folder.path();
        let mut command = Command::new("redis-server");
        command.args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        command.args(["--loglevel", "warning", "--dir"]).arg(folder).args(&self.args);
        self.process = spawn(command);
        self.wait()
    }

    /// Waits until this process answers. Returns `false` if it has ended.
    fn wait(&mut self) -> bool {
        let begin = Instant::now();
        while let Some(process) = &mut self.process.0 {
            if process.try_wait().unwrap().is_some() {
                self.process.0 = None;
                break;
            }
            let ours = format!("process_id:{}\r\n", process.id());
            if self.try_ask::<String>(&["INFO", "server"]).is_some_and(|info| info.contains(&ours))
            {
                return true;
            }
            assert!(begin.elapsed() < NEVER, "redis-server does not answer");
            thread::sleep(Duration::from_millis(10));
        }
        false
    }

    pub(crate) fn connection(&self) -> Connection {
        let client = redis::Client::open(self.url()).unwrap();
        client.get_connection_with_timeout(NEVER).unwrap()
    }

    pub(crate) fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_ask(words).unwrap_or_else(|| panic!("{words:?} has no valid answer"))
    }

    fn try_ask<T: FromRedisValue>(&self, words: &[&str]) -> Option<T> {
        let client = redis::Client::open(self.url()).unwrap();
        let mut connection = client.get_connection_with_timeout(NEVER).ok()?;
        let mut cmd = redis::cmd(words[0]);
        cmd.arg(&words[1..]);
        cmd.query(&mut connection).ok()
    }
}

fn spawn(mut command: Command) -> Process {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
    let process = command.spawn().unwrap_or_else(|error| {
        panic!(
            "redis-server cannot be started ({error}); install it (apt-get install redis-server), \
             run ./tests/run.sh, which does, or set REDIS_URL to a server of yours"
        )
    });
    Process(Some(process))
}

/// Three nodes that share the slots.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Server>,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        // Longer than any node stands still on a busy machine. If the others give a node up, its
        // commands fail.
        let args = ["--cluster-enabled", "yes", "--cluster-node-timeout", "60000"];
        let nodes: Vec<_> = (0..3).map(|_| Server::start_with(&args)).collect();
        for (node, slots) in nodes.iter().zip([(0, 5460), (5461, 10922), (10923, 16383)]) {
            let (first, last) = (slots.0.to_string(), slots.1.to_string());
            node.ask::<String>(&["CLUSTER", "ADDSLOTSRANGE", &first, &last]);
            let port = nodes[0].port.to_string();
            node.ask::<String>(&["CLUSTER", "MEET", "127.0.0.1", &port]);
        }
        let cluster = Self { nodes };
        cluster.wait();
        cluster
    }

    /// Waits until each node knows all others and accepts commands.
    pub(crate) fn wait(&self) {
        let begin = Instant::now();
        let ready = |node: &Server| {
            let info = node.try_ask::<String>(&["CLUSTER", "INFO"]).unwrap_or_default();
            info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
        };
        while !self.nodes.iter().all(ready) {
            assert!(begin.elapsed() < NEVER, "the cluster does not form");
            thread::sleep(Duration::from_millis(50));
        }
    }

    pub(crate) fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(Server::url).collect()
    }
}
