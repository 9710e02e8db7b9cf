//! Existing clients, and logins.

use super::*;

#[tokio::test]
async fn existing_client_or_database_can_be_used() {
    let server = Server::start();
    let database = server.database().await;
    let store = Builder::from_database(database).timeout(PATIENT);
    let store = store.connect().await.unwrap();
    put(&store, key(1), head(), body(1, MIB)).await.unwrap();
    // A client that prefers other members than the primary works too.
    let url = format!("{}&readPreference=secondary&w=1", server.url());
    let client = Client::with_uri_str(url).await.unwrap();
    let store = Builder::from_client(client.clone()).database(DATABASE).timeout(PATIENT);
    let store = store.connect().await.unwrap();
    assert_eq!(get(&store, key(1)).await.unwrap(), body(1, MIB));
    let store = Builder::from_client(client).timeout(PATIENT).connect().await.unwrap();
    assert!(get(&store, key(1)).await.is_none(), "the client's own database is another one");
    let client = server.client().await;
    let names = client.list_database_names().await.unwrap();
    assert!(names.contains(&"larder".to_owned()), "{names:?}");
}

#[tokio::test]
async fn refused_login_does_not_reveal_the_password() {
    let server = Server::start();
    let url = format!("mongodb://user:se%20cret@127.0.0.1:{}/?directConnection=true", server.port);
    let store = MongoDb::builder(&url).timeout(PATIENT).build().await.unwrap();
    let shown = match store.get(&key(1)).await {
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
            format!("{error} {error:?} {store:?}")
        }
        Ok(_) => panic!("the server must refuse an unknown user"),
    };
    assert!(!shown.contains("cret"), "{shown}");
}
