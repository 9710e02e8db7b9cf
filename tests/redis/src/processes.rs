//! Several processes, and the memory of one process.

use super::{child::child_word, own_process::two_processes_do_ten_thousand_operations_each, *};

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_share_a_server() {
    let name = "processes::two_processes_share_a_server";
    let connect = async |url: &str, namespace: &str| {
        patient(Redis::builder(url)).namespace(namespace).connect().await.unwrap()
    };
    if let Some(word) = child_word() {
        let (namespace, url) = word.split_once(' ').unwrap();
        return mixed(&connect(url, namespace).await, 2, 100_000, now()).await;
    }
    let ((url, _server), namespace) = (any_server(), namespace());
    let (store, word) = (connect(&url, &namespace).await, format!("{namespace} {url}"));
    two_processes_do_ten_thousand_operations_each(name, word, &store, (100_000, now())).await;
    store.clear().await.unwrap();
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn large_body_takes_little_memory() {
    if let Some(url) = child_word() {
        let store = patient(Redis::builder(url)).connect().await.unwrap();
        return own_process::large_body_takes_little_memory(&store, 100).await;
    }
    let server = Server::start();
    own_process::grows_little("processes::large_body_takes_little_memory", server.url());
}
