//! Several processes, and the memory of one process.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_share_a_server() {
    let name = "processes::two_processes_share_a_server";
    let connect = async |url: &str, namespace: &str| {
        let store = MongoDb::builder(url).database(DATABASE).namespace(namespace);
        store.timeout(PATIENT).connect().await.unwrap()
    };
    if let Some(word) = child_word() {
        let (namespace, url) = word.split_once(' ').unwrap();
        return mixed(&connect(url, namespace).await, 2, 300_000, now()).await;
    }
    let ((url, _server), namespace) = (any_server(), unique_name());
    let (store, word) = (connect(&url, &namespace).await, format!("{namespace} {url}"));
    two_processes_do_ten_thousand_operations_each(name, word, &store, (300_000, now())).await;
    // The test server returns the same old document to two concurrent replacements. Such a server
    // leaves files without an entry, which a sweep finds after a day.
    let database = Client::with_uri_str(&url).await.unwrap().database(DATABASE);
    let files = database.collection::<Document>(&format!("{namespace}.files"));
    let touched = doc! { "$set": { "metadata.touched": ago(2 * DAY) } };
    files.update_many(doc! {}, touched).await.unwrap();
    store.remove_expired(Timestamp::MIN).await.unwrap();
    assert_eq!(files.count_documents(doc! { "metadata.state": "live" }).await.unwrap(), 0);
    drop_namespace(&url, &namespace).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn large_body_takes_little_memory() {
    if let Some(url) = child_word() {
        let store = MongoDb::builder(url).timeout(PATIENT).connect().await.unwrap();
        return own_process::large_body_takes_little_memory(&store, 100).await;
    }
    let server = Server::start();
    own_process::grows_little("processes::large_body_takes_little_memory", server.url());
}
