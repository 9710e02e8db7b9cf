//! Tests of `Compressed`: the stored form of a body, its size, and damage.
//!
//! The `conformance` suite checks the contract of every store.

#![cfg(all(feature = "compression", feature = "memory"))]
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, HeaderValue, Method, Response};
use larder::{
    Key,
    entry::Head,
    store::{Compressed, ErrorKind, Memory, Result, Store, StoredBody, Writer},
    time::Timestamp,
};
use proptest::prelude::*;

const KEY: Key = Key::from_bytes([1; 32]);

fn head() -> Head {
    let (parts, ()) = Response::new(()).into_parts();
    Head::new(Method::GET, "http://example.com/", parts, Timestamp::MIN)
}

async fn put<S: Store>(store: &S, body: &[u8], chunk: usize, trailers: Option<HeaderMap>) {
    let mut writer = store.put(&KEY, head()).await.unwrap();
    for chunk in body.chunks(chunk) {
        writer.write(Bytes::copy_from_slice(chunk)).await.unwrap();
    }
    writer.finish(trailers).await.unwrap();
}

async fn read(body: StoredBody) -> Result<Vec<u8>> {
    body.bytes().await.map(|bytes| bytes.to_vec())
}

async fn get<S: Store>(store: &S) -> Result<(Head, Vec<u8>)> {
    let hit = store.get(&KEY).await?.unwrap();
    Ok((Head::clone(&hit.head), read(hit.body).await?))
}

fn new() -> Compressed<Memory> {
    Compressed::new(Memory::default())
}

/// Text like that of a JSON API.
fn text(len: usize) -> Vec<u8> {
    let lines = (0..).flat_map(|n: u32| {
        format!("{{\"id\": {n}, \"name\": \"n{}\"}},\n", n.wrapping_mul(n) % 977).into_bytes()
    });
    lines.take(len).collect()
}

/// Bytes that do not compress.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        // Xorshift.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_be_bytes()
    };
    std::iter::repeat_with(&mut next).flatten().take(len).collect()
}

/// The body as the wrapped store has it.
async fn stored_body(store: &Compressed<Memory>) -> Vec<u8> {
    get(store.get_ref()).await.unwrap().1
}

#[tokio::test]
async fn text_is_compressed_and_noise_is_stored_as_it_is() {
    for len in [600, 20_000, 64 << 10, (64 << 10) + 1, 1_000_000, 5 << 20] {
        for chunk in [usize::MAX, 100_000, 7_777] {
            let (store, text, noise) = (new(), text(len), noise(len));
            put(&store, &text, chunk, None).await;
            assert!(stored_body(&store).await.len() < len / 2, "{len}");
            assert!(store.size_bytes().await.unwrap() < len as u64 / 2 + 2_000);
            let (head, body) = get(&store).await.unwrap();
            assert_eq!((head.body_len(), head.trailers()), (len as u64, None));
            assert!(body == text, "{len} in chunks of {chunk}");

            put(&store, &noise, chunk, None).await;
            assert!(stored_body(&store).await == noise, "{len} in chunks of {chunk}");
            assert!(get(&store).await.unwrap().1 == noise);
        }
    }
}

/// The first piece decides whether the body is compressed. A wrong guess costs little.
#[tokio::test]
async fn body_of_text_and_noise_is_read_back() {
    let (text, noise) = (text(300_000), noise(300_000));
    for (body, most) in
        [([&text[..], &noise].concat(), 400_000), ([&noise[..], &text].concat(), 600_000)]
    {
        let store = new();
        put(&store, &body, 50_000, None).await;
        assert!(stored_body(&store).await.len() <= most);
        assert!(get(&store).await.unwrap().1 == body);
    }
}

#[tokio::test]
async fn short_bodies_are_not_compressed() {
    let store = new();
    put(&store, &text(511), 511, None).await;
    assert_eq!(stored_body(&store).await, text(511));
    let all = new().min_len(0);
    put(&all, &text(511), 511, None).await;
    assert!(stored_body(&all).await.len() < 400);
    assert_eq!(get(&all).await.unwrap().1, text(511));
}

#[tokio::test]
async fn body_of_every_level_is_read_back_and_other_levels_are_refused() {
    let mut sizes = Vec::new();
    for level in [1, 3, 19] {
        let store = new().level(level).unwrap();
        put(&store, &text(400_000), 100_000, None).await;
        assert!(get(&store).await.unwrap().1 == text(400_000));
        sizes.push(stored_body(&store).await.len());
    }
    assert!(sizes[2] < sizes[0], "{sizes:?}");
    for level in [i32::MIN, -1, 0, 20, 22, i32::MAX] {
        let error = new().level(level).unwrap_err();
        assert_eq!(error.setting(), "level");
        assert!(error.to_string().contains("from 1 to 19"), "{error}");
    }
}

#[tokio::test]
async fn uncompressed_entry_is_read_through_the_wrapper() {
    let inner = Memory::default();
    put(&inner, &text(100_000), 10_000, None).await;
    let store = Compressed::new(inner);
    assert_eq!(get(&store).await.unwrap().1, text(100_000));
    let hit = store.get(&KEY).await.unwrap().unwrap();
    assert!(store.update(&KEY, hit.version, head().with_tags(vec!["new".into()])).await.unwrap());
    put(&store, &text(100_000), 10_000, None).await;
    assert_eq!(get(&store).await.unwrap().1, text(100_000));
}

#[tokio::test]
async fn trailers_of_any_name_are_read_back() {
    let mut trailers = HeaderMap::new();
    trailers.append("larder-compressed", HeaderValue::from_static("0 zstd 5"));
    trailers.append("x-last", HeaderValue::from_static("1"));
    trailers.append("larder-compressed", HeaderValue::from_static("0 as-it-is"));
    for trailers in [Some(HeaderMap::new()), Some(trailers)] {
        for body in [vec![], noise(1_000), text(1_000), text(400_000)] {
            let store = new();
            put(&store, &body, 10_000, trailers.clone()).await;
            let (head, read) = get(&store).await.unwrap();
            assert_eq!((head.trailers(), read), (trailers.as_ref(), body));
            let listed: Vec<_> = store.scan().collect().await;
            assert_eq!(*listed[0].as_ref().unwrap().head, head);
        }
    }
}

// ===== Damage =====

/// Replaces the body of the entry in the wrapped store, and the trailer that notes its length.
async fn damage(store: &Compressed<Memory>, body: &[u8], note: Option<&str>) {
    let inner = store.get_ref();
    let mut trailers = inner.get(&KEY).await.unwrap().unwrap().head.trailers().unwrap().clone();
    if let Some(note) = note {
        trailers.insert("larder-compressed", HeaderValue::from_str(note).unwrap());
    }
    put(inner, body, 40_000, Some(trailers)).await;
}

#[tokio::test]
async fn damaged_body_is_reported_as_corrupt() {
    for len in [5_000, 600_000] {
        let store = new();
        let whole = text(len);
        put(&store, &whole, 10_000, None).await;
        let kept = stored_body(&store).await;
        let step = 1 + kept.len() / 400;
        for position in (0..kept.len()).step_by(step) {
            for bit in [0x01, 0x80] {
                let mut body = kept.clone();
                body[position] ^= bit;
                damage(&store, &body, None).await;
                match get(&store).await {
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}"),
                    // The bit has no meaning in the frame's header.
                    Ok((_, body)) => assert!(body == whole, "{position}"),
                }
            }
            damage(&store, &kept[..position], None).await;
            assert_eq!(get(&store).await.unwrap_err().kind(), ErrorKind::Corrupt, "{position}");
        }
        // Each bit of the checksum counts.
        for position in kept.len() - 4..kept.len() {
            let mut body = kept.clone();
            body[position] ^= 0x10;
            damage(&store, &body, None).await;
            assert_eq!(get(&store).await.unwrap_err().kind(), ErrorKind::Corrupt, "{position}");
        }
        for behind in [&b"\0"[..], &kept[..]] {
            damage(&store, &[&kept, behind].concat(), None).await;
            assert_eq!(get(&store).await.unwrap_err().kind(), ErrorKind::Corrupt);
        }
    }
}

#[tokio::test]
async fn body_of_another_length_than_noted_is_corrupt() {
    for len in [5_000, 600_000] {
        let store = new();
        put(&store, &text(len), 10_000, None).await;
        let kept = stored_body(&store).await;
        let others = [0, 1, len - 1, len + 1, 300_000, 1 << 40, u64::MAX as usize];
        for other in others {
            damage(&store, &kept, Some(&format!("0 zstd {other}"))).await;
            match store.get(&KEY).await {
                Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt),
                Ok(hit) => match read(hit.unwrap().body).await {
                    // An empty body ends before it is decompressed.
                    Ok(body) => assert!(other == 0 && body.is_empty(), "{len} {other}"),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt),
                },
            }
        }
        for note in ["0 zstd", "0 zstd -1", "0 zstd 99999999999999999999", "0 brotli 5", "", "0 "] {
            damage(&store, &kept, Some(note)).await;
            assert_eq!(store.get(&KEY).await.unwrap_err().kind(), ErrorKind::Corrupt, "{note}");
            let listed: Vec<_> = store.scan().collect().await;
            assert_eq!(listed[0].as_ref().unwrap_err().kind(), ErrorKind::Corrupt, "{note}");
        }
    }
}

/// A few bytes may stand for a gigabyte, or need a window of one. Not more than the noted length is
/// decompressed.
#[tokio::test]
async fn decompression_bomb_is_corrupt() {
    let store = new();
    put(&store, &text(600_000), 10_000, None).await;
    // A frame with a window of this size, and blocks that each repeat a byte 128 KiB times.
    let frame = |window: u8, blocks: usize| {
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, window];
        for block in 0..blocks {
            let header = (128 << 13 | 1 << 1 | u32::from(block + 1 == blocks)).to_le_bytes();
            frame.extend([header[0], header[1], header[2], b'a']);
        }
        frame
    };
    for (window, what) in [(20 << 3, "a large window"), (7 << 3, "a small one")] {
        damage(&store, &frame(window, 8_000), Some("0 zstd 600000")).await;
        assert_eq!(get(&store).await.unwrap_err().kind(), ErrorKind::Corrupt, "{what}");
    }
    // The length is as noted, but the window takes 32 MiB.
    let note = format!("0 zstd {}", 8 * (128 << 10));
    damage(&store, &frame(15 << 3, 8), Some(&note)).await;
    assert_eq!(get(&store).await.unwrap_err().kind(), ErrorKind::Corrupt);
    // The same blocks with a small window are a valid frame.
    let whole = frame(7 << 3, 8);
    damage(&store, &whole, Some(&note)).await;
    assert!(get(&store).await.unwrap().1.iter().all(|byte| *byte == b'a'));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_body_in_any_chunks_is_read_back(
        seed in prop::collection::vec(any::<u8>(), 1..300),
        repeats in 1_usize..900,
        chunk in 1_usize..100_000,
        level in 1..=6,
    ) {
        let body = seed.repeat(repeats);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let store = new().level(level).unwrap().min_len(0);
            put(&store, &body, chunk, None).await;
            assert!(get(&store).await.unwrap().1 == body);
            assert!(stored_body(&store).await.len() <= body.len() + 100);
        });
    }

    #[test]
    fn damaged_frame_does_not_panic(body in prop::collection::vec(any::<u8>(), 0..300), len in 0_u64..300_000) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let store = new();
            put(&store, &text(1_000), 1_000, None).await;
            let body = [&[0x28, 0xb5, 0x2f, 0xfd][..], &body].concat();
            damage(&store, &body, Some(&format!("0 zstd {len}"))).await;
            if let Ok((head, body)) = get(&store).await {
                assert_eq!(head.body_len(), body.len() as u64);
            }
        });
    }
}

/// `Content-Length` is the length of the whole body, not of the file.
#[cfg(feature = "files")]
#[tokio::test]
async fn content_length_of_an_edited_head_is_that_of_the_whole_body() {
    use larder::store::Files;

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("responses");
    let body = text(12_000);
    let store = Compressed::new(Files::open(&path).unwrap());
    let (mut parts, ()) = Response::new(()).into_parts();
    parts.headers.insert("content-length", 12_000.into());
    let head = Head::new(Method::GET, "http://example.com/", parts, Timestamp::MIN);
    let mut writer = store.put(&KEY, head).await.unwrap();
    writer.write(body.clone().into()).await.unwrap();
    writer.finish(None).await.unwrap();
    drop(store);
    let files = std::fs::read_dir(path.join("example.com")).unwrap();
    let mut heads = files.map(|file| file.unwrap().path());
    let file = heads.find(|path| path.extension().is_some_and(|ending| ending == "json")).unwrap();
    let edited = std::fs::read_to_string(&file).unwrap();
    let edited: String =
        edited.split_inclusive('\n').filter(|line| !line.contains("\"checksum\"")).collect();
    std::fs::write(&file, edited).unwrap();
    let store = Compressed::new(Files::open(&path).unwrap());
    let (head, read) = get(&store).await.unwrap();
    assert_eq!(
        (&head.headers()["content-length"], read == body),
        (&"12000".parse().unwrap(), true)
    );
}
