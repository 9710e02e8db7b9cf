//! What comes back is what was given.

use std::iter;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};

use super::{
    super::{Store, Writer},
    support::*,
};
use crate::{
    entry::{Head, Others, Variance},
    key::Key,
    time::Timestamp,
};

/// Every part of a head comes back: status, version, method, URL, times, tags, and every header
/// line in order, including repeated lines, empty values and values that are not UTF-8.
pub async fn heads_come_back_exactly<S: Store>(store: &S) {
    let heads: Vec<_> = heads().collect();
    for (number, head) in heads.iter().enumerate() {
        store_at(store, &key(format!("{number}")), head.clone(), "a body").await;
    }
    for (number, head) in heads.into_iter().enumerate() {
        let hit = get(store, &key(format!("{number}"))).await;
        let url = head.url().to_owned();
        let head = head.seal(6, None);
        let lines = |head: &Head| -> Vec<_> {
            head.headers().iter().map(|(name, value)| (name.clone(), value.clone())).collect()
        };
        // Maps are equal even if their names are in another order, but the order matters here.
        assert_eq!(lines(&hit.head), lines(&head), "the header lines of {url} must come back");
        assert_eq!(*hit.head, head, "the head of {url} must come back");
        assert_eq!(read(hit.body).await, b"a body", "the body of {url} must come back");
    }
}

fn heads() -> impl Iterator<Item = Head> {
    let response = |status, version, headers| {
        let (mut parts, ()) = Response::new(()).into_parts();
        (parts.status, parts.version, parts.headers) = (status, version, headers);
        parts
    };
    let statuses = [100, 200, 204, 301, 404, 500, 999].into_iter().map(move |status| {
        let status = StatusCode::from_u16(status).expect("a status");
        let url = format!("http://example.com/status/{}", status.as_str());
        Head::new(Method::GET, url, response(status, http::Version::HTTP_11, HeaderMap::new()), NOW)
    });
    let versions = [
        http::Version::HTTP_09,
        http::Version::HTTP_10,
        http::Version::HTTP_11,
        http::Version::HTTP_2,
        http::Version::HTTP_3,
    ];
    let versions = versions.into_iter().map(move |version| {
        let url = format!("http://example.com/version/{version:?}");
        Head::new(Method::GET, url, response(StatusCode::OK, version, HeaderMap::new()), NOW)
    });
    let methods = ["HEAD", "POST", "QUERY", "A-METHOD-OF-NO-STANDARD"].map(|method| {
        let (parts, ()) = Response::new(()).into_parts();
        let url = format!("http://example.com/method/{method}");
        Head::new(Method::from_bytes(method.as_bytes()).expect("a method"), url, parts, NOW)
    });
    let others = [
        head_with("lines", odd_lines()),
        head_with("many-lines", many_lines()),
        head("requested-earlier").with_requested_at(at(-1_500)),
        head("expired").with_expires_at(Some(at(-1))),
        head("expires-last").with_expires_at(Some(Timestamp::MAX)),
        tagged("tags", &["one", "two", "", "ü", "one"]),
        head(&"long".repeat(1_000)),
        head("variants").with_variance(Some(Variance {
            names: [
                http::header::ACCEPT_ENCODING,
                HeaderName::from_static("x-a-name-of-no-standard"),
            ]
            .into(),
            selector: [0xab; Variance::SELECTOR],
            family: u64::MAX,
            others: Some(Others { until: Some(at(60_000)) }),
        })),
    ];
    statuses.chain(versions).chain(methods).chain(others)
}

fn odd_lines() -> HeaderMap {
    let lines: [(&'static str, &[u8]); 9] = [
        ("set-cookie", b"a=1"),
        ("x-empty", b""),
        ("content-type", b"text/plain; charset=latin-1"),
        ("x-not-utf-8", b"caf\xe9 \xff\xfe"),
        ("set-cookie", b"b=2"),
        ("x-tab", b"a\tb"),
        ("set-cookie", b""),
        ("set-cookie", b"a=1"),
        ("x-last", b"  inner  spaces  stay"),
    ];
    let mut map = HeaderMap::new();
    for (name, value) in lines {
        map.append(name, HeaderValue::from_bytes(value).expect("a header value"));
    }
    map
}

fn many_lines() -> HeaderMap {
    let mut map = HeaderMap::new();
    for number in 0..500 {
        let name = HeaderName::try_from(format!("x-line-{number}")).expect("a header name");
        map.append(name, HeaderValue::from(number));
        map.append("x-repeated", HeaderValue::from(number));
    }
    map.append("x-long", HeaderValue::try_from("long ".repeat(4_000)).expect("a header value"));
    map
}

/// Bodies come back byte by byte, whatever their length and chunks. The lengths are around those at
/// which stores change how they keep a body.
pub async fn bodies_of_every_length_come_back<S: Store>(store: &S) {
    const KIB: u64 = 1 << 10;
    let chunks = [128 * KIB - 64, 128 * KIB];
    let edges = [4 * KIB, 32 * KIB, 64 * KIB, 256 * KIB, 1024 * KIB].into_iter().chain(chunks);
    let around = edges.flat_map(|edge| [edge - 1, edge, edge + 1]);
    for len in [0, 1, 2, 1_000].into_iter().chain(around) {
        for chunk in [usize::MAX, 64 << 10, 1_009] {
            let key = key(format!("{len} in chunks of {chunk}"));
            let pattern = Pattern::new(len);
            pattern.store(store, &key, head("body"), len, chunk).await;
            let hit = get(store, &key).await;
            assert_eq!(hit.head.body_len(), len, "the head must say how long the body is");
            pattern.check(hit.body, len).await;
        }
    }
}

/// A body that arrives in ten thousand chunks of a few bytes is one body.
pub async fn many_tiny_chunks_are_one_body<S: Store>(store: &S) {
    let key = key("tiny");
    let pattern = Pattern::new(1);
    let mut writer = store.put(&key, head("tiny")).await.expect("`put` must take an entry");
    let mut offset = 0;
    for number in 0..10_000 {
        let len = 1 + number % 13;
        writer.write(pattern.bytes(offset, len)).await.expect("`write` must take a chunk");
        offset += len as u64;
    }
    writer.finish(None).await.expect("`finish` must publish the entry");
    pattern.check(get(store, &key).await.body, offset).await;
}

/// An empty chunk adds nothing, at any position.
pub async fn empty_chunks_add_nothing<S: Store>(store: &S) {
    for (name, chunks) in
        [("only", &["", ""][..]), ("around", &["", "one", "", "", "two", ""]), ("none", &[])]
    {
        let key = key(name);
        let mut writer = store.put(&key, head(name)).await.expect("`put` must take an entry");
        for chunk in chunks {
            let chunk = Bytes::from_static(chunk.as_bytes());
            writer.write(chunk).await.expect("`write` must take an empty chunk");
        }
        writer.finish(None).await.expect("`finish` must publish the entry");
        let body = read(get(store, &key).await.body).await;
        assert_eq!(body, chunks.concat().as_bytes(), "empty chunks must add nothing");
    }
}

/// A body of 64 MiB comes back. It is written and read in pieces, so that the suite never holds it.
pub async fn a_body_of_64_mib_comes_back<S: Store>(store: &S) {
    const LEN: u64 = 64 << 20;
    let key = key("large");
    let pattern = Pattern::new(64);
    pattern.store(store, &key, head("large"), LEN, 100_000).await;
    let hit = get(store, &key).await;
    assert_eq!(hit.head.body_len(), LEN, "the head must say how long the body is");
    pattern.check(hit.body, LEN).await;
}

/// Trailers come back with the head, after an empty body and after a large one.
pub async fn trailers_come_back<S: Store>(store: &S) {
    let pattern = Pattern::new(3);
    for len in [0, 5, 300_000] {
        let key = key(format!("{len}"));
        let mut writer = store.put(&key, head("trailers")).await.expect("`put` must take an entry");
        pattern.write(&mut writer, 0, len, 50_000).await;
        writer.finish(Some(odd_lines())).await.expect("`finish` must publish the entry");
        let hit = get(store, &key).await;
        let trailers = hit.head.trailers().expect("trailers must come back");
        assert!(trailers.iter().eq(&odd_lines()), "every trailer must come back, in order");
        pattern.check(hit.body, len).await;
    }
    store_named(store, "without").await;
    let hit = get(store, &key("without")).await;
    assert_eq!(hit.head.trailers(), None, "where no trailers were, none come back");
}

/// `Content-Length` is a header line like any other: the network may be wrong, and the response to
/// a `HEAD` has one without a body.
pub async fn content_length_is_ignored<S: Store>(store: &S) {
    for length in ["0", "2", "100000", "70000000", "18446744073709551615", "many", "-1"] {
        let mut headers = HeaderMap::new();
        headers.insert("content-length", HeaderValue::from_static(length));
        for body in ["", "three"] {
            let key = key(format!("{length} {body}"));
            store_at(store, &key, head_with("length", headers.clone()), body).await;
            let hit = get(store, &key).await;
            assert_eq!(hit.head.headers(), &headers, "the line must come back as it was");
            assert_eq!(
                hit.head.body_len(),
                body.len() as u64,
                "the head must say what was written"
            );
            assert_eq!(read(hit.body).await, body.as_bytes(), "the body must come back as written");
        }
    }
}

/// A head from another entry, with the length and trailers of that entry, gets those of the body
/// that is written after it.
pub async fn length_and_trailers_of_another_body_are_ignored<S: Store>(store: &S) {
    let key = key("copied");
    store_at(store, &key, head("copied").seal(99, Some(odd_lines())), "three").await;
    let hit = get(store, &key).await;
    assert_eq!(hit.head.body_len(), 5, "the head must say what was written");
    assert_eq!(hit.head.trailers(), None, "trailers are what `finish` was given");
    assert_eq!(read(hit.body).await, b"three");
}

/// Every bit of a key counts, and any 32 bytes are a key.
pub async fn keys_that_differ_in_one_bit_are_different<S: Store>(store: &S) {
    let one_bit = (0..256).map(|bit| {
        let mut bytes = [0; 32];
        bytes[bit / 8] = 1 << (bit % 8);
        bytes
    });
    let keys: Vec<_> =
        iter::once([0; 32]).chain(one_bit).chain([[0xff; 32]]).map(Key::from_bytes).collect();
    for key in &keys {
        store_at(store, key, head("key"), key.to_string()).await;
    }
    assert_len!(store, keys.len() as u64, "each key must be an entry");
    for key in &keys {
        let body = read(get(store, key).await.body).await;
        assert_eq!(body, key.to_string().as_bytes(), "each key must have its own entry");
    }
}
