//! Exchanges over HTTP/1.1.

use std::net::Shutdown;

use super::{Gets, GetsNoWhole, OK, Upstream, compare, pair, steady};

/// One exchange. The client sends all of its bytes and half-closes the connection if it `ends`.
struct Row {
    what: &'static str,
    client: &'static str,
    ends: bool,
    upstream: Upstream,
    answer: &'static str,
    out: &'static str,
}

const ROW: Row =
    Row { what: "", client: "", ends: false, upstream: GetsNoWhole, answer: OK, out: OUT };

const OUT: &str =
    "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nvia: 1.1 larder\r\nconnection: close\r\n\r\nok";
const OUT_HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nvia: 1.1 larder\r\nconnection: close\r\n\r\n";
const BAD_BODY: &str = "HTTP/1.1 400 Bad Request\r\nvia: 1.1 larder\r\nconnection: close\r\n\
                        content-length: 46\r\n\r\n400 Bad Request: the request's body is broken\n";
const BAD_TARGET: &str = "HTTP/1.1 400 Bad Request\r\nvia: 1.1 larder\r\nconnection: close\r\n\
                          content-length: 62\r\n\r\n\
                          400 Bad Request: the target must be a path or an absolute URL\n";

const ROWS: &[Row] = &[
    // ----- the framing of a request's body -----
    Row {
        what: "a chunked GET that passes unread stays chunked",
        client: "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nIf-Match: *\r\n\
                 Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
        upstream: Gets(
            "GET / HTTP/1.1\r\nhost: a\r\nif-match: *\r\n{own}\
             transfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
        ),
        ..ROW
    },
    Row {
        what: "a chunked HEAD stays chunked",
        client: "HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nIf-Match: *\r\n\
                 Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
        upstream: Gets(
            "HEAD / HTTP/1.1\r\nhost: a\r\nif-match: *\r\n{own}\
             transfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
        ),
        answer: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
        out: OUT_HEAD,
        ..ROW
    },
    Row {
        what: "a chunked POST stays chunked",
        client: "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
                 Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
        upstream: Gets(
            "POST / HTTP/1.1\r\nhost: a\r\n{own}transfer-encoding: chunked\r\n\r\n\
             4\r\nbody\r\n0\r\n\r\n",
        ),
        ..ROW
    },
    Row {
        what: "a chunked DELETE stays chunked",
        client: "DELETE / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
                 Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
        upstream: Gets(
            "DELETE / HTTP/1.1\r\nhost: a\r\n{own}transfer-encoding: chunked\r\n\r\n\
             4\r\nbody\r\n0\r\n\r\n",
        ),
        ..ROW
    },
    Row {
        what: "a chunked GET that is read for the key has a length",
        client: "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
                 Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
        upstream: Gets("GET / HTTP/1.1\r\nhost: a\r\n{own}content-length: 4\r\n\r\nbody"),
        ..ROW
    },
    Row {
        what: "the trailers of a GET pass",
        client: "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTrailer: x-sum\r\n\
                 If-Match: *\r\nTransfer-Encoding: chunked\r\n\r\n\
                 4\r\nbody\r\n0\r\nX-Sum: 1\r\n\r\n",
        upstream: Gets(
            "GET / HTTP/1.1\r\nhost: a\r\ntrailer: x-sum\r\nif-match: *\r\n{own}\
             transfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nx-sum: 1\r\n\r\n",
        ),
        ..ROW
    },
    Row {
        what: "trailers that say where a request comes from do not pass",
        client: "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
                 Trailer: x-sum, x-forwarded-for, accept_language\r\n\
                 Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\
                 x-forwarded-for: 6.6.6.6\r\naccept_language: de\r\nx-sum: 1\r\n\r\n",
        upstream: Gets(
            "POST / HTTP/1.1\r\nhost: a\r\ntrailer: x-sum, x-forwarded-for, accept_language\r\n{own}\
             transfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nx-sum: 1\r\n\r\n",
        ),
        ..ROW
    },
    Row {
        what: "the trailers of a GET that is read for the key pass",
        client: "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTrailer: x-sum\r\n\
                 Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nX-Sum: 1\r\n\r\n",
        upstream: Gets(
            "GET / HTTP/1.1\r\nhost: a\r\ntrailer: x-sum\r\n{own}transfer-encoding: chunked\r\n\
             \r\n4\r\nbody\r\n0\r\nx-sum: 1\r\n\r\n",
        ),
        ..ROW
    },
    Row {
        what: "a length stays a length",
        client: "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nIf-Match: *\r\n\
                 Content-Length: 4\r\n\r\nbody",
        upstream: Gets(
            "GET / HTTP/1.1\r\nhost: a\r\nif-match: *\r\ncontent-length: 4\r\n{own}\
             \r\nbody",
        ),
        ..ROW
    },
    Row {
        what: "a length beside chunks does not pass",
        client: "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3\r\n\
                 Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
        upstream: Gets(
            "POST / HTTP/1.1\r\nhost: a\r\n{own}transfer-encoding: chunked\r\n\r\n\
             4\r\nbody\r\n0\r\n\r\n",
        ),
        ..ROW
    },
    Row {
        what: "a GET without a body has no framing",
        client: "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        upstream: Gets("GET / HTTP/1.1\r\nhost: a\r\n{own}\r\n"),
        ..ROW
    },
    Row {
        what: "a POST without a body has a length of zero",
        client: "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        upstream: Gets("POST / HTTP/1.1\r\nhost: a\r\n{own}content-length: 0\r\n\r\n"),
        ..ROW
    },
    Row {
        what: "a broken chunk of a GET is a bad request",
        client: "GET / HTTP/1.1\r\nHost: a\r\nIf-Match: *\r\n\
                 Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\nzz\r\n",
        out: BAD_BODY,
        ..ROW
    },
    Row {
        what: "a broken chunk of a GET that is read for the key is a bad request",
        client: "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                 4\r\nbody\r\nzz\r\n",
        out: BAD_BODY,
        ..ROW
    },
    Row {
        what: "a broken chunk of a POST is a bad request",
        client: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                 4\r\nbody\r\nzz\r\n",
        out: BAD_BODY,
        ..ROW
    },
    Row {
        what: "a chunked GET that ends early is a bad request",
        client: "GET / HTTP/1.1\r\nHost: a\r\nIf-Match: *\r\n\
                 Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n",
        ends: true,
        out: BAD_BODY,
        ..ROW
    },
    Row {
        what: "a GET that is shorter than its length is a bad request",
        client: "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nbody",
        ends: true,
        out: BAD_BODY,
        ..ROW
    },
    Row {
        what: "a POST that is shorter than its length is a bad request",
        client: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nbody",
        ends: true,
        out: BAD_BODY,
        ..ROW
    },
    // ----- fields that upstreams trust -----
    Row {
        what: "what a client says about its way does not pass",
        client: "GET / HTTP/1.1\r\nX-First: 1\r\nX-Forwarded-For: 1.2.3.4\r\nForwarded: host=evil\r\n\
                 X-Forwarded-SSL: on\r\nX-Forwarded-Protocol: https\r\nX-Forwarded-Scheme: https\r\n\
                 X_Forwarded_Host: evil\r\nX_FORWARDED-Proto: https\r\nFront-End-Https: on\r\n\
                 X-Real-IP: 1\r\nX-Client-IP: 1\r\nX-Cluster-Client-IP: 1\r\nTrue-Client-IP: 1\r\n\
                 CF-Connecting-IP: 1\r\nFastly-Client-IP: 1\r\nClient-IP: 1\r\nClient_IP: 1\r\n\
                 X-Original-URL: /admin\r\nX-Rewrite-URL: /admin\r\nX-Original-Host: evil\r\n\
                 X-Host: evil\r\nX-HTTP-Host-Override: evil\r\nX-HTTP-Method-Override: DELETE\r\n\
                 X-Method-Override: DELETE\r\nX-HTTP-Method: DELETE\r\nProxy: evil\r\n\
                 CF-Visitor: {}\r\nX-ARR-SSL: 1\r\nX-SSL: 1\r\nX-Secure: 1\r\n\
                 X-Forward-For: 1\r\nX_Forward_Proto: https\r\nX-Client-Host: evil\r\n\
                 X-Client-Proto: https\r\nX-Forwarded-User: evil\r\n\
                 Host: a\r\nX-Last: 1\r\nConnection: close\r\n\r\n",
        upstream: Gets("GET / HTTP/1.1\r\nx-first: 1\r\nhost: a\r\nx-last: 1\r\n{own}\r\n"),
        ..ROW
    },
    Row {
        what: "a POST has no other method than its own",
        client: "POST / HTTP/1.1\r\nHost: a\r\nX_HTTP_Method_Override: DELETE\r\n\
                 Content-Length: 4\r\nConnection: close\r\n\r\nbody",
        upstream: Gets("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n{own}\r\nbody"),
        ..ROW
    },
    // ----- the order of the lines -----
    Row {
        what: "the lines keep their order",
        client: "GET / HTTP/1.1\r\nKeep-Alive: 1\r\nA: 1\r\nHost: a\r\nConnection: close, x\r\nB: 1\r\n\
                 X: 1\r\nC: 1\r\nA: 2\r\nD: 1\r\n\r\n",
        upstream: Gets(
            "GET / HTTP/1.1\r\na: 1\r\na: 2\r\nhost: a\r\nb: 1\r\nc: 1\r\nd: 1\r\n{own}\r\n",
        ),
        answer: "HTTP/1.1 200 OK\r\nKeep-Alive: 1\r\nA: 1\r\nConnection: x\r\nB: 1\r\nX: 1\r\n\
                 C: 1\r\nContent-Length: 2\r\n\r\nok",
        out: "HTTP/1.1 200 OK\r\na: 1\r\nb: 1\r\nc: 1\r\ncontent-length: 2\r\nvia: 1.1 larder\r\n\
              connection: close\r\n\r\nok",
        ..ROW
    },
    // ----- the letter of the protocol -----
    Row {
        what: "cookie lines are joined",
        client: "GET / HTTP/1.1\r\nHost: a\r\nCookie: a=1\r\nCookie: b=2; c=3\r\n\
                 Connection: close\r\n\r\n",
        upstream: Gets("GET / HTTP/1.1\r\nhost: a\r\ncookie: a=1; b=2; c=3\r\n{own}\r\n"),
        ..ROW
    },
    Row {
        what: "a 204 has no length",
        client: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        upstream: Gets("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n{own}\r\n"),
        answer: "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
        out: "HTTP/1.1 204 No Content\r\nvia: 1.1 larder\r\nconnection: close\r\n\r\n",
        ..ROW
    },
    Row {
        what: "a 204 has no coding",
        client: "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        upstream: Gets("GET / HTTP/1.1\r\nhost: a\r\n{own}\r\n"),
        answer: "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
        out: "HTTP/1.1 204 No Content\r\nvia: 1.1 larder\r\nconnection: close\r\n\r\n",
        ..ROW
    },
    Row {
        what: "a 103 has no length",
        client: "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        upstream: Gets("GET / HTTP/1.1\r\nhost: a\r\n{own}\r\n"),
        answer: "HTTP/1.1 103 Early Hints\r\nContent-Length: 0\r\nLink: </a>\r\n\r\n\
                 HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        out: "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n\
              content-length: 2\r\nvia: 1.1 larder\r\nconnection: close\r\n\r\nok",
        ..ROW
    },
    Row {
        what: "a GET of an authority is refused",
        client: "GET a:80 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        out: BAD_TARGET,
        ..ROW
    },
    Row {
        what: "a POST of an authority is refused",
        client: "POST a:80 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        out: BAD_TARGET,
        ..ROW
    },
    Row {
        what: "a GET of an asterisk is refused",
        client: "GET * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        out: BAD_TARGET,
        ..ROW
    },
    Row {
        what: "a GET of another scheme is refused",
        client: "GET ftp://a/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        out: BAD_TARGET,
        ..ROW
    },
    Row {
        what: "a client that half-closes gets its answer",
        client: "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        ends: true,
        upstream: Gets("GET / HTTP/1.1\r\nhost: a\r\n{own}\r\n"),
        out: "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nvia: 1.1 larder\r\n\r\nok",
        ..ROW
    },
    Row {
        what: "a client that half-closes after a body gets its answer",
        client: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody",
        ends: true,
        upstream: Gets("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n{own}\r\nbody"),
        out: "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nvia: 1.1 larder\r\n\r\nok",
        ..ROW
    },
    Row {
        what: "a client that half-closes after two requests gets both answers",
        client: "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        ends: true,
        upstream: Gets("GET / HTTP/1.1\r\nhost: a\r\n{own}\r\n"),
        out: "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nvia: 1.1 larder\r\n\r\nok\
              HTTP/1.1 200 OK\r\ncontent-length: 2\r\nage: 0\r\nvia: 1.1 larder\r\n\r\nok",
        ..ROW
    },
];

#[test]
fn each_row_holds() {
    let mut failed = Vec::new();
    for row in ROWS {
        let held = std::panic::catch_unwind(|| {
            let (origin, gateway) = pair(row.answer);
            let mut client = gateway.connect();
            client.send(row.client);
            if row.ends {
                client.0.get_ref().shutdown(Shutdown::Write).unwrap();
            }
            assert_eq!(steady(&client.rest()), row.out, "{}", row.what);
            compare(row.what, &origin, &row.upstream, "1.1");
        });
        failed.extend(held.is_err().then_some(row.what));
    }
    assert!(failed.is_empty(), "{failed:#?}");
}
