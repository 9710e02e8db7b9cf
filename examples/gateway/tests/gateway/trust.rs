//! A gateway behind another one, whose word on where a request comes from is trusted.

use std::io::Write;

use crate::support::{Gateway, Origin, ok};

/// An upstream that redirects plain HTTP, and builds its links from what it is told.
fn behind_tls() -> Origin {
    Origin::start(|request, stream| {
        let said = |name| request.fields(name).concat();
        match &*said("x-forwarded-proto") {
            "https" => write!(stream, "{}", ok("", &said("x-forwarded-host"))),
            _ => {
                let lines = "Location: https://a/\r\nCache-Control: max-age=60\r\n";
                write!(stream, "HTTP/1.1 301 Moved\r\n{lines}Content-Length: 0\r\n\r\n")
            }
        }
    })
}

const TRUST: [&str; 3] = ["--expire-after", "1h", "--trust-forwarded"];

#[test]
fn an_upstream_behind_tls_answers_where_the_front_is_trusted() {
    let origin = behind_tls();
    for policy in [Gateway::by_http, Gateway::with] {
        let gateway = policy(origin.addr, &TRUST);
        let ask = |lines: &str| gateway.connect().ask("GET", "/", &format!("Host: a\r\n{lines}"));
        let secure = "X-Forwarded-Proto: https\r\n";
        assert_eq!(ask("X-Forwarded-Proto: http\r\n").status(), 301);
        // The redirect is not for those who come by TLS.
        assert_eq!(ask(secure).body, "a");
        assert!(ask(secure).is_hit());
        // `Forwarded` says the same.
        let forwarded = "Forwarded: for=1.2.3.4;proto=https\r\n";
        assert!(ask(forwarded).is_hit());
        // Where the address of the client is another, the response is not.
        assert!(ask(&format!("{secure}X-Forwarded-For: 1.2.3.4\r\n")).is_hit());
        // Responses with links to one host are not for another.
        let other = format!("{secure}X-Forwarded-Host: b\r\n");
        assert_eq!(ask(&other).body, "b");
        assert!(ask(&other).is_hit());

        // A purge removes them all.
        let purged = gateway.admin("POST", "/purge?url=http://a/").body;
        assert!(["2 removed\n", "3 removed\n"].contains(&&*purged), "{purged}");
        for lines in ["", secure, &other] {
            assert!(!ask(lines).is_hit(), "{lines}");
        }
    }
}

#[test]
fn forwarded_fields_of_an_untrusted_client_are_ignored() {
    let origin = behind_tls();
    let gateway = Gateway::start(origin.addr);
    for lines in [
        "X-Forwarded-Proto: https\r\n",
        "X_Forwarded_Proto: https\r\n",
        "X-FORWARDED-PROTO: https\r\nConnection: x-forwarded-proto\r\n",
        "Forwarded: proto=https\r\n",
    ] {
        let response = gateway.connect().ask("GET", "/", &format!("Host: a\r\n{lines}"));
        assert_eq!(response.status(), 301, "{lines}");
    }
    for request in origin.seen() {
        assert_eq!(request.fields("x-forwarded-proto"), ["http"]);
    }
}

#[test]
fn a_name_with_an_underscore_does_not_pass() {
    let origin = Origin::echo();
    let gateway = Gateway::start(origin.addr);
    let names = ["Accept_Language", "If_None_Match", "Content_Length", "X_Any"];
    let lines = names.map(|name| format!("{name}: 5\r\n")).concat();
    gateway.connect().ask("GET", "/", &format!("Host: a\r\nX-Other: 5\r\n{lines}"));
    let request = &origin.seen()[0];
    assert_eq!(request.fields("x-other"), ["5"]);
    for name in names {
        assert!(request.fields(&name.to_ascii_lowercase()).is_empty(), "{name}");
    }
}

#[test]
fn forwarded_fields_of_a_trusted_hop_are_kept_and_extended() {
    let origin = Origin::echo();
    let gateway = Gateway::with(origin.addr, &TRUST);
    let lines = "Host: a\r\nForwarded: for=9.9.9.9;proto=https\r\nX-Forwarded-For: 9.9.9.9\r\n\
                 X-Forwarded-Proto: https\r\nX-Forwarded-SSL: on\r\nX-Forwarded-Prefix: /p\r\n\
                 X_Forwarded_Host: evil\r\nX-Real-IP: 6.6.6.6\r\nFront-End-Https: on\r\n\
                 X-HTTP-Method-Override: DELETE\r\nX-Original-URL: /admin\r\n\
                 X-Forwarded-By: 8.8.8.8\r\nX-Forwarded-Server: front\r\n\
                 X-Forwarded-User: alice\r\nX-Forwarded-Email: a@b\r\nX-Forwarded-Groups: g\r\n\
                 X-Forwarded-Preferred-Username: alice\r\nX-Forwarded-Access-Token: secret\r\n";
    assert_eq!(gateway.connect().ask("GET", "/", lines).status(), 200);
    let request = &origin.seen()[0];
    for (name, values) in [
        ("forwarded", "for=9.9.9.9;proto=https, for=127.0.0.1;host=\"a\";proto=http"),
        ("x-forwarded-for", "9.9.9.9, 127.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "a"),
        ("x-forwarded-ssl", "on"),
        ("x-forwarded-prefix", "/p"),
        ("x-forwarded-by", "8.8.8.8"),
        ("x-forwarded-server", "front"),
    ] {
        assert_eq!(request.fields(name), [values], "{name}");
    }
    for name in [
        "x_forwarded_host",
        "x-real-ip",
        "front-end-https",
        "x-original-url",
        "x-forwarded-user",
        "x-forwarded-email",
        "x-forwarded-groups",
        "x-forwarded-preferred-username",
        "x-forwarded-access-token",
    ] {
        assert!(request.fields(name).is_empty(), "{name}");
    }
    assert!(request.fields("x-http-method-override").is_empty());
}

/// A gateway in front that signs users in, such as oauth2-proxy, says by such fields who they are.
#[test]
fn a_page_of_one_user_behind_a_trusted_front_is_not_stored_for_all() {
    let origin = Origin::start(|request, stream| {
        write!(stream, "{}", ok("", &format!("[{}]", request.fields("x-forwarded-user").concat())))
    });
    for policy in [Gateway::by_http, Gateway::with] {
        let gateway = policy(origin.addr, &TRUST);
        for user in ["alice", "bob"] {
            let lines = format!("Host: a\r\nX-Forwarded-User: {user}\r\n");
            assert_eq!(gateway.connect().ask("GET", "/", &lines).body, "[]", "{user}");
        }
    }
}
