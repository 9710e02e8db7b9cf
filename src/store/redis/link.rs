//! The connection to the server: made when it is needed, shared by all, and replaced when it
//! breaks. Every request ends in an answer or an error within a limit.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{self, BoxFuture, Shared},
};
use redis::{Cmd, RedisError, RedisResult, Value};
// The clock that the limits use.
use tokio::{runtime::Handle, time::Instant};

use super::{
    fault,
    scripts::Script,
    target::{Connection, Node, Target},
};
use crate::store::{
    Result,
    server::{Circuit, PAUSE, needs_runtime},
};

pub(super) struct Link {
    target: Target,
    circuit: Circuit,
    connect_timeout: Duration,
    /// Whether no script can use keys of several slots.
    sharded: AtomicBool,
    state: Mutex<State>,
}

struct State {
    /// Grows with each connection, so that a broken one is not taken for the next one.
    number: u64,
    stage: Stage,
}

enum Stage {
    Idle,
    Connecting(Shared<BoxFuture<'static, RedisResult<Connection>>>),
    Connected(Connection),
}

impl Link {
    pub(super) fn new(target: Target, circuit: Circuit, connect_timeout: Duration) -> Self {
        let stage = match &target {
            Target::Given(connection) => Stage::Connected(connection.clone()),
            _ => Stage::Idle,
        };
        let state = Mutex::new(State { number: 0, stage });
        let sharded = AtomicBool::new(target.is_cluster());
        Self { target, circuit, connect_timeout, sharded, state }
    }

    pub(super) fn is_sharded(&self) -> bool {
        self.sharded.load(Ordering::Relaxed)
    }

    /// Notes that the server has refused a script with keys of several slots: it is a node of a
    /// cluster, or hides one.
    pub(super) fn set_sharded(&self) {
        self.sharded.store(true, Ordering::Relaxed);
    }

    pub(super) fn circuit(&self) -> &Circuit {
        &self.circuit
    }

    pub(super) fn server(&self) -> &str {
        &self.circuit.server
    }

    /// Sends a command once. If the connection breaks, it is unknown whether the command was
    /// carried out.
    pub(super) async fn ask(&self, cmd: &Cmd) -> Result<Value> {
        self.within(self.send(cmd, false)).await
    }

    /// Sends a command that may be repeated: if the connection turns out to be broken, it is sent
    /// over a new one.
    pub(super) async fn read(&self, cmd: &Cmd) -> Result<Value> {
        self.within(self.send(cmd, true)).await
    }

    /// Runs a script on `keys`. It is sent by its digest, and in full to a server that does not
    /// know it.
    pub(super) async fn run(
        &self,
        script: &Script,
        keys: &[&[u8]],
        args: &[impl AsRef<[u8]> + Sync],
    ) -> Result<Value> {
        self.try_run(script, keys, args).await?.map_err(|error| fault::error(self.server(), error))
    }

    /// Like [`run`](Self::run), but returns the server's error unchanged.
    pub(super) async fn try_run(
        &self,
        script: &Script,
        keys: &[&[u8]],
        args: &[impl AsRef<[u8]> + Sync],
    ) -> Result<RedisResult<Value>> {
        let command = |name: &str, script: &str| {
            let count = keys.len().to_string();
            let first = [name, script, &count].map(str::as_bytes);
            let rest = keys.iter().copied().chain(args.iter().map(AsRef::as_ref));
            let texts = || first.into_iter().chain(rest.clone());
            // An entry is large: a command that grows would copy it several times.
            let mut cmd = Cmd::with_capacity(texts().count(), texts().map(<[u8]>::len).sum());
            for text in texts() {
                cmd.arg(text);
            }
            cmd
        };
        self.try_within(async {
            match self.send(&command("EVALSHA", &script.hash), false).await {
                Err(error) if fault::is_unknown_script(&error) => {
                    self.send(&command("EVAL", &script.text), false).await
                }
                answer => answer,
            }
        })
        .await
    }

    /// Sends a command to every node that has keys. It may be repeated as by [`read`](Self::read).
    pub(super) async fn read_everywhere(&self, cmd: &Cmd) -> Result<Vec<(Option<Node>, Value)>> {
        let ask = |mut to: Connection| async move { to.send_to_all(cmd).await };
        self.within(self.attempt(ask, true)).await
    }

    /// Sends a command to a node that [`read_everywhere`](Self::read_everywhere) returned. It is
    /// not repeated: the cursor of a scan means nothing to another server.
    pub(super) async fn read_from(&self, node: Option<&Node>, cmd: &Cmd) -> Result<Value> {
        let ask = |mut to: Connection| async move { to.send_to(node, cmd).await };
        self.within(async { self.attempt_once(ask).await.0 }).await
    }

    /// Connects now, if there is no connection.
    pub(super) async fn connect(&self) -> Result<()> {
        self.read(&redis::cmd("PING")).await.map(drop)
    }

    async fn within<T>(&self, asking: impl Future<Output = RedisResult<T>>) -> Result<T> {
        self.try_within(asking).await?.map_err(|error| fault::error(self.server(), error))
    }

    /// Waits for an answer up to the limit, and returns the server's error unchanged.
    async fn try_within<T>(
        &self,
        asking: impl Future<Output = RedisResult<T>>,
    ) -> Result<RedisResult<T>> {
        needs_runtime::when_used(fault::STORE)?;
        self.circuit.check()?;
        self.circuit.within(asking, self.circuit.limit).await
    }

    async fn send(&self, cmd: &Cmd, again: bool) -> RedisResult<Value> {
        self.attempt(|mut to: Connection| async move { to.send(cmd).await }, again).await
    }

    async fn attempt<T, F: Future<Output = RedisResult<T>>>(
        &self,
        ask: impl Fn(Connection) -> F,
        again: bool,
    ) -> RedisResult<T> {
        match self.attempt_once(&ask).await {
            (Err(error), broken) if (again && broken) || fault::is_demoted(&error) => {
                self.attempt_once(&ask).await.0
            }
            (answer, _) => answer,
        }
    }

    /// Returns the answer, and whether an established connection failed.
    async fn attempt_once<T, F: Future<Output = RedisResult<T>>>(
        &self,
        ask: impl FnOnce(Connection) -> F,
    ) -> (RedisResult<T>, bool) {
        let (connection, number) = match self.connection().await {
            Ok(connected) => connected,
            Err(error) => return (Err(error), false),
        };
        // A caller that stops waiting, at the limit or before, leaves this behind.
        let mut watch = Watch { link: self, number, since: Instant::now(), answered: false };
        let answer = ask(connection).await;
        watch.answered = true;
        let broken = self.look_at(&answer, number);
        (answer, broken)
    }

    /// Releases a connection that `answer` shows to be broken. A limit of the driver counts as the
    /// link's own.
    fn look_at<T>(&self, answer: &RedisResult<T>, number: u64) -> bool {
        let broken = match answer {
            Ok(_) => false,
            // The driver repairs the connection to each node by itself, except those that are only
            // silent.
            Err(error) if self.target.is_cluster() => fault::breaks_cluster(error),
            Err(error) => fault::breaks_connection(error),
        };
        if broken {
            self.let_go(number);
        }
        if let Err(error) = answer
            && error.is_timeout()
        {
            self.pause(self.circuit.limit, error);
        }
        broken
    }

    fn let_go(&self, number: u64) {
        if self.target.mends_itself() {
            return;
        }
        let mut state = self.state();
        if state.number == number && matches!(state.stage, Stage::Connected(_)) {
            state.stage = Stage::Idle;
        }
    }

    async fn connection(&self) -> RedisResult<(Connection, u64)> {
        let (connecting, number) = {
            let mut state = self.state();
            match &state.stage {
                Stage::Connected(connection) => return Ok((connection.clone(), state.number)),
                // One that has failed while nobody waited says nothing about now.
                Stage::Connecting(connecting)
                    if !matches!(connecting.clone().now_or_never(), Some(Err(_))) =>
                {
                    (connecting.clone(), state.number)
                }
                _ => {
                    state.number += 1;
                    let connecting = self.start();
                    state.stage = Stage::Connecting(connecting.clone());
                    (connecting, state.number)
                }
            }
        };
        let connected = connecting.await;
        let mut state = self.state();
        if state.number == number && matches!(state.stage, Stage::Connecting(_)) {
            state.stage = match &connected {
                Ok(connection) => Stage::Connected(connection.clone()),
                Err(error) => {
                    let limit = self.connect_timeout.min(self.circuit.limit);
                    self.pause(if error.is_timeout() { limit } else { PAUSE }, error);
                    Stage::Idle
                }
            };
        }
        connected.map(|connection| (connection, number))
    }

    /// Connects in a task of its own, so that any waiting caller may go away.
    fn start(&self) -> Shared<BoxFuture<'static, RedisResult<Connection>>> {
        let (target, limit) = (self.target.clone(), self.connect_timeout);
        // A body may be read outside of the runtime in which it was begun.
        let Ok(runtime) = Handle::try_current() else {
            let error = std::io::Error::other("connecting needs a tokio runtime");
            return future::ready(Err(error.into())).boxed().shared();
        };
        let task = runtime.spawn(async move { target.connect(limit).await });
        let connected = async {
            task.await.map_err(|error| {
                RedisError::from(std::io::Error::other(match error.is_panic() {
                    true => "the driver panicked",
                    false => "the tokio runtime has stopped",
                }))
            })?
        };
        connected.boxed().shared()
    }

    fn pause(&self, time: Duration, why: &RedisError) {
        // Nothing else ends a pause, and a limit may be too long for the clock.
        let time = time.min(Duration::from_secs(3600));
        self.circuit.pause(time, fault::kind(why), why.to_string());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Notices a command that was abandoned after the time limit of an answer. A connection that has
/// been silent for so long is not used again, since the server may be gone without a notice.
struct Watch<'a> {
    link: &'a Link,
    number: u64,
    since: Instant,
    answered: bool,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        // Some of the time may have been spent on connecting.
        if !self.answered && self.since.elapsed() * 2 >= self.link.circuit.limit {
            self.link.let_go(self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_pause_ends_even_if_answers_have_no_time_limit() {
        let target = Target::Server(Box::new(redis::Client::open("redis://127.0.0.1:1").unwrap()));
        let circuit = Circuit::new(fault::STORE, "the server".to_owned(), Duration::MAX);
        let link = Link::new(target, circuit, Duration::MAX);
        let silence: RedisResult<()> = Err(io::Error::from(io::ErrorKind::TimedOut).into());
        assert!(link.look_at(&silence, 0));
        link.circuit.check().unwrap_err();
        tokio::time::advance(Duration::from_secs(3600)).await;
        link.circuit.check().unwrap();
    }
}
