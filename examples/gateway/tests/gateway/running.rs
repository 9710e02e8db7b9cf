//! How it starts and how it ends.

use std::{
    io::Write,
    net::{TcpListener, TcpStream},
};

use crate::support::{Gate, Gateway, Origin, refused, until};

#[test]
fn at_a_signal_it_finishes_what_is_under_way() {
    let gate = Gate::default();
    let opened = gate.clone();
    let origin = Origin::start(move |_, stream| {
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfirst")?;
        opened.wait();
        write!(stream, "last")
    });
    let gateway = Gateway::start(origin.addr);
    let mut idle = gateway.connect();
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.head();
    assert_eq!(client.bytes(5), "first");

    gateway.terminate();
    // It closes the connection that nothing is under way on, and accepts no other.
    assert_eq!(idle.rest(), "");
    until(|| TcpStream::connect(gateway.addr).is_err());
    gate.open();
    assert_eq!(client.rest(), "last");
    assert!(gateway.wait().success());
}

#[test]
fn flags_that_make_no_sense_are_refused_with_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let mut good = vec!["--listen", "127.0.0.1:0", "--upstream", "http://127.0.0.1:9"];
    good.extend(["--policy", "fixed", "--expire-after", "1h"]);
    let with = |flag: &'static str, value: &str| {
        let mut flags = good.clone();
        match flags.iter().position(|have| *have == flag) {
            Some(position) => flags[position + 1] = value,
            None => flags.extend([flag, value]),
        }
        refused(&flags)
    };
    for (flag, value, text) in [
        ("--listen", "somewhere", "--listen"),
        ("--listen", &*taken, "--listen 127.0.0.1:"),
        ("--admin", &*taken, "--admin 127.0.0.1:"),
        ("--upstream", "https://example.com", "http://HOST:PORT"),
        ("--upstream", "http://example.com/path", "http://HOST:PORT"),
        ("--upstream", "http://me:pw@example.com", "http://HOST:PORT"),
        ("--upstream", "example.com:80", "http://HOST:PORT"),
        ("--expire-after", "0s", "a duration above zero"),
        ("--expire-after", "soon", "a duration above zero"),
        ("--timeout", "0", "a duration above zero"),
        ("--policy", "none", "[possible values: http, fixed]"),
        ("--name", "two words", "--name"),
        ("--store", "disk", "write memory, redb:PATH"),
        ("--store", "redb", "write redb:PATH"),
        ("--store", "redb:/proc/no/such", "/proc/no/such"),
        ("--store", "sqlite:", "write sqlite:PATH"),
        #[cfg(not(feature = "sqlite"))]
        ("--store", "sqlite:cache.db", "add --features sqlite"),
        #[cfg(not(feature = "redis"))]
        ("--store", "rediss://cache.example.com", "add --features redis"),
    ] {
        let told = with(flag, value);
        assert!(told.contains(text), "{flag} {value}: {told}");
    }
    let told = refused(&good[..6]);
    assert!(told.contains("--expire-after <DURATION>"), "{told}");
    // Where it cannot be reached, whatever is built in: no password is told.
    let told = with("--store", "mongodb://me:secret@127.0.0.1:9/");
    assert!(!told.contains("secret"), "{told}");
}
