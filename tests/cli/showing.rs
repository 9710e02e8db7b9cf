//! `larder show`.

use serde_json::json;

use crate::support::{Cache, HOSTILE, JSON};

#[test]
fn a_response_is_printed_with_its_head() {
    for cache in Cache::filled() {
        let ran = cache.run("show", &["http://example.com/users?page=2&sort=name"]);
        assert_eq!((ran.code, &*ran.err), (0, ""));
        let key = cache.key("/users?page=2&sort=name");
        let lines: Vec<_> = ran.out.lines().collect();
        assert_eq!(lines[0], "GET http://example.com/users?page=2&sort=name");
        assert_eq!(lines[1], format!("key      {key}"));
        assert!(lines[2].starts_with("stored   1m ago (20"), "{}", lines[2]);
        assert!(lines[3].starts_with("expires  in 58m (20"), "{}", lines[3]);
        assert!(lines.contains(&"tags     users?page=2&sort=name"));
        assert!(lines.contains(&"content-type: application/json"));
        // Neither the secret nor a control character (here \u{9b}) is printed.
        assert!(lines.contains(&"set-cookie: (masked, 20 bytes; --raw prints it)"));
        assert!(lines.contains(&"x-note: caf\\xe9 \\u{9b}31m"));
        let json = "\n{\n  \"users\": [\n    {\n      \"id\": 1,\n      \"name\": \"Böb\"\n    }\n  \
                    ],\n  \"next\": null\n}\n";
        assert!(ran.out.ends_with(json), "{}", ran.out);
    }
}

#[test]
fn control_characters_of_text_are_escaped_and_binary_bodies_are_hex() {
    for cache in Cache::filled() {
        let ran = cache.run("show", &["http://example.com/hello"]);
        let expected = "\n<h1>hello</h1>\n\\u{1b}]0;title\\u{7}\n";
        assert!(ran.out.ends_with(expected), "{}", ran.out);
        let ran = cache.run("show", &["http://example.com/logo.png"]);
        assert!(ran.out.contains("|.PNG............|\n"), "{}", ran.out);
        assert!(ran.out.contains("(4.6 KiB more; --body"), "{}", ran.out);
    }
}

#[test]
fn stored_bytes_are_printed_unchanged_on_request() {
    for cache in Cache::filled() {
        let ran = cache.run("show", &["http://example.com/hello", "--body"]);
        assert_eq!(ran.bytes, HOSTILE.as_bytes());
        let ran = cache.run("show", &["http://example.com/hello", "--raw"]);
        let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\n\
                     set-cookie: sid=s3cret; HttpOnly\r\nx-note: caf\xe9 \xc2\x9b31m\r\n\r\n";
        assert_eq!(ran.bytes, [head, HOSTILE.as_bytes()].concat());
    }
}

#[test]
fn a_response_is_an_object_with_its_headers_in_order() {
    for cache in Cache::filled() {
        let shown = cache.json(&["show"], &["http://example.com/users?page=2&sort=name"]).remove(0);
        assert_eq!(shown["body"], JSON);
        assert_eq!(shown["headers"][0], json!(["content-type", "application/json"]));
        assert_eq!(shown["headers"][1], json!(["set-cookie", null]));
        assert_eq!(shown["masked"], true);
        assert_eq!(shown["tags"], json!(["users?page=2&sort=name"]));
        // Characters that control a terminal are escaped in JSON. A program reads their value.
        let ran = cache.run("show", &["http://example.com/hello", "--json"]);
        assert!(ran.out.contains("\\u009b31m") && !ran.out.contains('\u{9b}'), "{}", ran.out);
        let shown = cache.json(&["show"], &["http://example.com/logo.png"]).remove(0);
        assert!(shown["headers"][2][1].as_str().unwrap().ends_with("\u{9b}31m"), "{shown}");
        assert_eq!(shown["body"], json!(null));
        assert!(shown["body_base64"].as_str().unwrap().starts_with("iVBORw0KGgoA"));
    }
}

#[test]
fn an_entry_is_found_by_its_key_or_the_first_digits() {
    for cache in Cache::filled() {
        let key = cache.key("/news/1");
        for name in [&key, &key[..8], &key[..8].to_uppercase()] {
            let ran = cache.run("show", &[name, "--body"]);
            assert_eq!((ran.code, &*ran.out), (0, "/news/1"), "{name}");
        }
        let none = "0".repeat(64);
        assert_eq!(cache.run("show", &[&none]).code, 3);
        let ran = cache.run("show", &["abc"]);
        assert_eq!(ran.code, 1);
        assert!(ran.err.contains("at least four digits of a key"), "{}", ran.err);
    }
}

/// Bodies that the program compresses are readable, and stay compressed in a copy.
#[cfg(feature = "compression")]
#[test]
fn compressed_bodies_are_decompressed_and_copied_as_they_are() {
    use larder::store::{Compressed, Store};

    use crate::support::{HOUR, block_on, run};

    let cache = Cache::new("redb");
    cache.fill_into(Compressed::new(cache.store()), HOUR / 2, &["/large"]);
    let size = |cache: &Cache| block_on(cache.store().size_bytes()).unwrap();
    assert!(size(&cache) < 10_000);
    let other = Cache::new("sqlite");
    assert_eq!(run(["copy", &cache.arg(), &other.arg()]).code, 0);
    assert!(size(&other) < 10_000);
    for cache in [cache, other] {
        let ran = cache.run("show", &["http://example.com/large", "--body"]);
        assert_eq!(ran.bytes, [0xee; 1 << 20]);
        assert_eq!(cache.json(&["ls"], &[])[0]["size"], 1 << 20);
        assert_eq!(cache.run("check", &[]).out, "read 1 entry (1 MiB), none is damaged\n");
        let key = cache.key("/large").parse().unwrap();
        let hit = block_on(Compressed::new(cache.store()).get(&key)).unwrap().unwrap();
        assert_eq!(block_on(hit.body.bytes()).unwrap().len(), 1 << 20, "the program reads it too");
    }
}
