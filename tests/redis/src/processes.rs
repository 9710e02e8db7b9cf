//! Several processes, and the memory of one.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_share_a_server() {
    let name = "processes::two_processes_share_a_server";
    if let Ok(word) = env::var(CHILD) {
        let (namespace, url) = word.split_once(' ').unwrap();
        let store = patient(Redis::builder(url)).namespace(namespace).connect().await.unwrap();
        mixed(&store, 2, 100_000, now()).await;
        return;
    }
    let (url, _server) = any_server();
    let namespace = namespace();
    let store = patient(Redis::builder(&url)).namespace(&namespace).connect().await.unwrap();
    let mut child =
        child(name, format!("{namespace} {url}")).stdout(Stdio::inherit()).spawn().unwrap();
    mixed(&store, 1, 100_000, now()).await;
    let status = tokio::task::spawn_blocking(move || child.wait()).await.unwrap().unwrap();
    assert!(status.success());
    let entries = store.len().await.unwrap();
    assert_eq!(store.scan().count().await as u64, entries);
    let mut removed = store.remove_tagged("updated").await.unwrap();
    for tag in 0..20 {
        removed += store.remove_tagged(&format!("tag {tag}")).await.unwrap();
    }
    assert_eq!(removed, entries, "the indexes know of every entry");
    assert_eq!(store.len().await.unwrap(), 0);
    store.clear().await.unwrap();
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_large_body_passes_through_little_memory() {
    let name = "processes::a_large_body_passes_through_little_memory";
    if let Ok(url) = env::var(CHILD) {
        let store = patient(Redis::builder(&url)).connect().await.unwrap();
        let before = peak();
        let block = body(1, MIB);
        let mut writer = store.put(&key(1), head()).await.unwrap();
        for _ in 0..100 {
            // A memory of its own each time, as from a socket.
            writer.write(Bytes::copy_from_slice(&block)).await.unwrap();
        }
        writer.finish(None).await.unwrap();
        let mut body = store.get(&key(1)).await.unwrap().unwrap().body;
        let mut len = 0;
        while let Some(chunk) = body.chunk().await {
            len += chunk.unwrap().len();
        }
        assert_eq!(len, 100 * MIB);
        let grown = peak() - before;
        println!("grown by {} KiB", grown / 1_024);
        assert!(grown < 48 * MIB as u64, "{} KiB", grown / 1_024);
        return;
    }
    let server = Server::start();
    let output = child(name, server.url()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("grown by"), "{text}");
    println!("{text}");
}
