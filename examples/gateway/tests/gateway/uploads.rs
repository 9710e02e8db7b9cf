//! Answers that come before the request has been sent, and heads of many lines.

use std::{
    fmt::Write as _,
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    thread,
};

use crate::support::{Gate, Gateway, Origin, ok};

const TOO_LARGE: &str = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n";

/// Sends a large body until the gateway does not take any more, and reads what comes.
fn upload(gateway: &Gateway, framing: &str, part: &[u8]) -> String {
    let mut client = gateway.connect();
    let mut stream: TcpStream = client.0.get_ref().try_clone().unwrap();
    client.send(&format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n"));
    let part = part.to_vec();
    let sent = thread::spawn(move || {
        for _ in 0..1_000 {
            if stream.write_all(&part).is_err() {
                return;
            }
        }
    });
    let response = client.response();
    drop(client);
    sent.join().unwrap();
    format!("{} {}", response.status(), response.body)
}

#[test]
fn an_early_answer_reaches_the_client() {
    let length = format!("Content-Length: {}", 16_000 * 1_000);
    let chunk = [&b"3e80\r\n"[..], &[b'a'; 16_000], b"\r\n"].concat();
    let framings = [(&*length, vec![b'a'; 16_000]), ("Transfer-Encoding: chunked", chunk)];
    // The upstream reads nothing, and closes; or it reads a part, and closes.
    for read in [0, 100_000] {
        let origin = Origin::start(move |_, stream| {
            stream.read_exact(&mut vec![0; read])?;
            write!(stream, "{TOO_LARGE}Connection: close\r\n\r\nfull")?;
            Err(ErrorKind::Other.into())
        });
        let gateway = Gateway::start(origin.addr);
        for (framing, part) in &framings {
            for _ in 0..20 {
                let got = upload(&gateway, framing, part);
                assert_eq!(got, "413 full", "{read} {framing} {:?}", gateway.all_said());
            }
        }
    }
}

#[test]
fn an_early_answer_of_an_upstream_that_stays_reaches_the_client() {
    let gate = Gate::default();
    let closed = gate.clone();
    let origin = Origin::start(move |_, stream| {
        write!(stream, "{TOO_LARGE}\r\nfull")?;
        closed.wait();
        Err(ErrorKind::Other.into())
    });
    let gateway = Gateway::start(origin.addr);
    let length = format!("Content-Length: {}", 16_000 * 1_000);
    assert_eq!(upload(&gateway, &length, &[b'a'; 16_000]), "413 full");
    gate.open();
}

#[test]
fn heads_of_many_lines_pass_in_both_directions() {
    let lines = |count: usize| {
        (0..count).fold(String::new(), |mut lines, number| {
            write!(lines, "x-{number}: {number}\r\n").unwrap();
            lines
        })
    };
    for count in [101, 4_000] {
        let sent = lines(count);
        let origin = Origin::start(move |_, stream| write!(stream, "{}", ok(&sent, "a")));
        let gateway = Gateway::start(origin.addr);
        for is_hit in [false, true] {
            let request = format!("Host: a\r\n{}", lines(count));
            let response = gateway.connect().ask("GET", "/", &request);
            assert_eq!((response.status(), response.is_hit()), (200, is_hit), "{count}");
            assert!(response.head.contains(&lines(count)), "{count}");
        }
        assert!(origin.seen()[0].head.contains(&lines(count)));
    }
}
