//! Logins, TLS, older protocols, and Sentinels.

use super::*;

#[tokio::test]
async fn login_is_needed_if_the_server_requires_it() {
    let server = Server::start();
    server.ask::<String>(&["CONFIG", "SET", "requirepass", "sesame"]);
    let error = builder(&server).connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    let address = format!("127.0.0.1:{}", server.port);
    let connect = |url: String| patient(Redis::builder(url)).connect();
    let error = connect(format!("redis://:wrong@{address}")).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("wrong@"), "{error:?}");
    let store = connect(format!("redis://:sesame@{address}")).await.unwrap();
    put(&store, key(1), head(), body(1, 9)).await.unwrap();
    let store = builder(&server).login(Some("default"), "sesame").connect().await;
    assert_eq!(get(&store.unwrap(), key(1)).await.unwrap(), body(1, 9));
}

#[tokio::test]
async fn existing_connection_or_client_can_be_used() {
    let server = Server::start();
    let client = redis::Client::open(server.url()).unwrap();
    let store = redis::aio::ConnectionManager::new(client.clone()).await.unwrap();
    let store = patient(Builder::from_connection_manager(store)).build().unwrap();
    put(&store, key(1), head(), body(1, MIB)).await.unwrap();
    let client = patient(Builder::from_client(client)).connect().await.unwrap();
    assert_eq!(get(&client, key(1)).await.unwrap(), body(1, MIB));
    // The same with the older protocol.
    let older = Redis::builder(format!("{}/?protocol=resp2", server.url()));
    let older = patient(older).connect().await.unwrap();
    assert_eq!(get(&older, key(1)).await.unwrap(), body(1, MIB));
    assert_eq!(older.scan().count().await, 1);
    assert!(older.remove(&key(1)).await.unwrap());
}

#[tokio::test]
async fn tls_connects_to_trusted_servers_only() {
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/tls");
    let file = |name: &str| format!("{data}/{name}");
    let tls_port = process::free_port();
    let server = Server::start_with(&[
        "--tls-port",
        &tls_port.to_string(),
        "--tls-cert-file",
        &file("server.pem"),
        "--tls-key-file",
        &file("server.key"),
        "--tls-ca-cert-file",
        &file("ca.pem"),
        "--tls-auth-clients",
        "no",
    ]);
    let url = format!("rediss://127.0.0.1:{tls_port}");
    let distrusting = patient(Redis::builder(&url)).connect().await;
    assert_eq!(distrusting.unwrap_err().kind(), ErrorKind::Unavailable);
    let authority = std::fs::read(file("ca.pem")).unwrap();
    let store = patient(Redis::builder(&url)).root_certificate(authority);
    let store = store.connect().await.unwrap();
    put(&store, key(1), head(), body(1, MIB)).await.unwrap();
    assert_eq!(get(&store, key(1)).await.unwrap(), body(1, MIB));
    drop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_name_the_primary() {
    let mut primary = Server::start();
    let replica = Server::start_with(&["--replicaof", "127.0.0.1", &primary.port.to_string()]);
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("sentinel.conf");
    let watched = format!(
        "sentinel monitor main 127.0.0.1 {} 1\nsentinel down-after-milliseconds main 600000\n\
         sentinel failover-timeout main 3000\n",
        primary.port
    );
    std::fs::write(&config, watched).unwrap();
    let sentinel = Server::sentinel(&config);
    until("the Sentinel finds the replica", async || {
        sentinel.ask::<String>(&["INFO", "sentinel"]).contains("slaves=1")
    })
    .await;
    let store = patient(Redis::sentinel([sentinel.url()], "main")).connect().await.unwrap();
    put(&store, key(1), head(), body(1, MIB)).await.unwrap();
    assert_eq!(get(&store, key(1)).await.unwrap(), body(1, MIB));
    until("the replica follows", async || {
        replica.ask::<u64>(&["EXISTS", &entry_name(key(1))]) == 1
    })
    .await;
    primary.kill();
    assert_eq!(store.get(&key(1)).await.map(drop).unwrap_err().kind(), ErrorKind::Unavailable);
    // The limit is lowered only now, so that no other primary is chosen when the machine stands
    // still for a moment.
    let soon = ["SENTINEL", "SET", "main", "down-after-milliseconds", "500"];
    sentinel.ask::<String>(&soon);
    let begin = Instant::now();
    while let Err(error) = put(&store, key(2), head(), body(2, 9)).await {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(begin.elapsed() < NEVER, "the store finds no new primary: {error}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(get(&store, key(1)).await.unwrap(), body(1, MIB));
    assert_eq!(replica.ask::<u64>(&["EXISTS", &entry_name(key(2))]), 1);
}
