//! What to connect to: a server, a group of servers that Sentinels watch, a cluster, or a
//! connection that the user has made.

use std::{sync::Arc, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, ErrorKind, ProtocolVersion, RedisError,
    RedisResult, Value,
    aio::{ConnectionLike, ConnectionManager, MultiplexedConnection},
    cluster::ClusterClient,
    cluster_async::ClusterConnection,
    cluster_routing::{MultipleNodeRoutingInfo, RoutingInfo, SingleNodeRoutingInfo},
    sentinel::SentinelClient,
};
use tokio::sync::Mutex;

/// A connection that all concurrent callers share.
#[derive(Clone)]
pub(super) enum Connection {
    Server(MultiplexedConnection),
    Managed(ConnectionManager),
    Cluster(ClusterConnection),
}

/// A node of a cluster, as the driver knows it.
pub(super) type Node = SingleNodeRoutingInfo;

impl Connection {
    pub(super) async fn send(&mut self, cmd: &Cmd) -> RedisResult<Value> {
        let answer = match self {
            Self::Server(connection) => connection.req_packed_command(cmd).await,
            Self::Managed(connection) => connection.req_packed_command(cmd).await,
            Self::Cluster(connection) => connection.req_packed_command(cmd).await,
        };
        answer?.extract_error()
    }

    /// Sends a command to every node that has keys. A single server has no node.
    pub(super) async fn send_to_all(
        &mut self,
        cmd: &Cmd,
    ) -> RedisResult<Vec<(Option<Node>, Value)>> {
        let Self::Cluster(connection) = self else {
            return Ok(vec![(None, self.send(cmd).await?)]);
        };
        let everywhere = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
        let answer = connection.route_command(cmd.clone(), everywhere).await?.extract_error()?;
        let Value::Map(answers) = answer else {
            return Err((ErrorKind::UnexpectedReturnType, "expected an answer of each node").into());
        };
        answers
            .into_iter()
            .map(|(node, answer)| {
                let node: String = redis::from_redis_value(node)?;
                let (host, port) = node
                    .rsplit_once(':')
                    .and_then(|(host, port)| Some((host, port.parse().ok()?)))
                    .ok_or((ErrorKind::UnexpectedReturnType, "expected the address of a node"))?;
                let node = Node::ByAddress { host: host.to_owned(), port };
                Ok((Some(node), answer.extract_error()?))
            })
            .collect()
    }

    /// Sends a command to a node that [`send_to_all`](Self::send_to_all) returned.
    pub(super) async fn send_to(&mut self, node: Option<&Node>, cmd: &Cmd) -> RedisResult<Value> {
        match (self, node) {
            (Self::Cluster(connection), Some(node)) => {
                let there = RoutingInfo::SingleNode(node.clone());
                connection.route_command(cmd.clone(), there).await?.extract_error()
            }
            (connection, _) => connection.send(cmd).await,
        }
    }
}

/// What to connect to.
#[derive(Clone)]
pub(super) enum Target {
    Server(Box<Client>),
    Sentinel(Arc<Mutex<SentinelClient>>),
    Cluster(Box<ClusterClient>),
    Given(Connection),
}

impl Target {
    /// Connects within `limit`.
    pub(super) async fn connect(&self, limit: Duration) -> RedisResult<Connection> {
        let connecting = async {
            match self {
                Self::Server(client) => connect(client, limit).await.map(Connection::Server),
                Self::Sentinel(sentinel) => {
                    // Asked each time: the primary may have changed.
                    let client = sentinel.lock().await.async_get_client().await?;
                    connect(&client, limit).await.map(Connection::Server)
                }
                Self::Cluster(client) => {
                    client.get_async_connection().await.map(Connection::Cluster)
                }
                Self::Given(connection) => Ok(connection.clone()),
            }
        };
        match tokio::time::timeout(limit, connecting).await {
            Ok(connected) => connected,
            Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
        }
    }

    pub(super) fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster(_) | Self::Given(Connection::Cluster(_)))
    }

    /// Whether the connection repairs itself.
    pub(super) fn mends_itself(&self) -> bool {
        matches!(self, Self::Given(_))
    }
}

async fn connect(client: &Client, limit: Duration) -> RedisResult<MultiplexedConnection> {
    // The link limits how long an answer may take.
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(Some(limit)).set_response_timeout(None);
    let connected = client.get_multiplexed_async_connection_with_config(&config).await;
    match connected {
        // A server older than Redis 6.
        Err(error) if error.kind() == ErrorKind::RESP3NotSupported => {
            let info = with_protocol(client.get_connection_info().clone(), ProtocolVersion::RESP2);
            Client::open(info)?.get_multiplexed_async_connection_with_config(&config).await
        }
        connected => connected,
    }
}

pub(super) fn with_protocol(info: ConnectionInfo, protocol: ProtocolVersion) -> ConnectionInfo {
    let settings = info.redis_settings().clone().set_protocol(protocol);
    info.set_redis_settings(settings)
}

/// The driver's error if no server is given.
pub(super) fn nobody() -> RedisError {
    (ErrorKind::InvalidClientConfig, "no server is given").into()
}
