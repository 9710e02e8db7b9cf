//! What a hop does to the heads that pass it: of requests, [`prepare`]; of responses, [`finish`]; of both, [`end_to_end`].

use std::net::IpAddr;

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version,
    header::{
        CONNECTION, CONTENT_LENGTH, EXPECT, FORWARDED, HOST, TE, TRAILER, TRANSFER_ENCODING, VIA,
    },
    request,
    uri::Authority,
};
use http_body::Body;

/// The status with which a message is refused, and why.
pub(crate) type Refusal = (StatusCode, &'static str);

/// Makes of a request what the next hop is to see. The cache sees it so, too, and selects by it where it varies.
pub(crate) fn prepare(
    parts: &mut request::Parts,
    client: IpAddr,
    upstream: &Authority,
    name: &HeaderName,
) -> Result<(), Refusal> {
    if [Method::CONNECT, Method::TRACE].contains(&parts.method) || parts.uri.path() == "*" {
        return Err((StatusCode::NOT_IMPLEMENTED, "this gateway does not pass it on"));
    }
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    if !list(&parts.headers, &TRANSFER_ENCODING).all(is_chunked) {
        return Err((
            StatusCode::NOT_IMPLEMENTED,
            "of the transfer codings, it takes chunked alone",
        ));
    }
    let is_mine = |hop: &[u8]| {
        let mut words = hop.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        words.nth(1).is_some_and(|by| by.eq_ignore_ascii_case(name.as_ref()))
    };
    if list(&parts.headers, &VIA).any(is_mine) {
        return Err((StatusCode::LOOP_DETECTED, "it has been here before; see Via"));
    }
    let bad_host = (StatusCode::BAD_REQUEST, "name one host, in Host");
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = match (parts.uri.authority(), hosts.next(), hosts.next()) {
        (_, _, Some(_)) => return Err(bad_host),
        (Some(authority), _, None) => authority.clone(),
        (None, Some(host), None) => Authority::try_from(host.as_bytes()).map_err(|_| bad_host)?,
        (None, None, None) if parts.version < Version::HTTP_11 => upstream.clone(),
        (None, None, None) => return Err(bad_host),
    };
    if host.as_str().contains('@') {
        return Err(bad_host);
    }
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let slash = if path.starts_with('/') { "" } else { "/" };
    let uri = format!("http://{host}{slash}{path}").try_into().map_err(|_| bad_host)?;

    let is_trailers = |coding: &[u8]| coding.eq_ignore_ascii_case(b"trailers");
    let takes_trailers = list(&parts.headers, &TE).any(is_trailers);
    end_to_end(&mut parts.headers);
    if takes_trailers {
        parts.headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    // hyper has answered it, or will when the body is read.
    parts.headers.remove(EXPECT);
    let client = match client {
        IpAddr::V4(client) => client.to_string(),
        IpAddr::V6(client) => format!("\"[{client}]\""),
    };
    let forwarded = format!("for={client};host=\"{host}\";proto=http");
    // What a client says of others on its way is no part of the key, and an upstream that builds links from it would have
    // them stored for everybody. Behind another gateway, leave in what that one writes.
    for name in UNTRUSTED {
        parts.headers.remove(name);
    }
    parts.headers.insert(FORWARDED, forwarded.try_into().map_err(|_| bad_host)?);
    parts.headers.append(VIA, via(parts.version, name));
    parts.headers.insert(HOST, host.as_str().try_into().map_err(|_| bad_host)?);
    parts.uri = uri;
    parts.version = Version::HTTP_11;
    Ok(())
}

/// Makes of a response what a client of this version of HTTP is to see.
pub(crate) fn finish(response: &mut Response<impl Body>, client: Version, name: &HeaderName) {
    let via = via(response.version(), name);
    let may_end_in_trailers =
        response.headers().contains_key(TRAILER) && !response.body().is_end_stream();
    // Each hop speaks its own version (RFC 9110 §6.2).
    *response.version_mut() = client;
    let headers = response.headers_mut();
    headers.append(VIA, via);
    if may_end_in_trailers && client == Version::HTTP_11 && !headers.contains_key(CONTENT_LENGTH) {
        // hyper would take a length that is known, such as that of a stored body, and leave no room for them.
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// What upstreams take for the word of a gateway.
const UNTRUSTED: [&str; 9] = [
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-server",
    "x-host",
    "x-original-url",
    "x-rewrite-url",
];

/// What is for all who get the message, beside the fields of cache control. These are those that larder itself takes for such
/// in responses (`src/policy/message.rs`), and `authorization`, since requests pass here as well.
const FOR_ALL: [&str; 9] = [
    "age",
    "authorization",
    "date",
    "etag",
    "expires",
    "last-modified",
    "pragma",
    "set-cookie",
    "vary",
];

/// Takes out what belongs to one connection (RFC 9110 §7.6.1). `Trailer` stays, since the trailers do.
pub(crate) fn end_to_end(headers: &mut HeaderMap) {
    const HOP_BY_HOP: [&str; 9] = [
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authentication-info",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "transfer-encoding",
        "upgrade",
    ];
    // `Connection` cannot mean these: without them, a cache would share what it must not, or for longer.
    let is_for_all = |name: &HeaderName| {
        FOR_ALL.contains(&name.as_str()) || name.as_str().ends_with("cache-control")
    };
    let named = list(headers, &CONNECTION).filter_map(|name| HeaderName::from_bytes(name).ok());
    for name in named.filter(|name| !is_for_all(name)).collect::<Vec<_>>() {
        headers.remove(name);
    }
    // A body in chunks has no other length (RFC 9112 §6.3).
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Whether a message was compressed for its transfer alone, which would be forgotten with `Transfer-Encoding`. What
/// stands there and is no coding at all is.
pub(crate) fn is_compressed(headers: &HeaderMap) -> bool {
    const CODINGS: [&str; 5] = ["gzip", "x-gzip", "deflate", "compress", "x-compress"];
    let is = |given: &[u8]| CODINGS.iter().any(|name| given.eq_ignore_ascii_case(name.as_bytes()));
    list(headers, &TRANSFER_ENCODING).any(is)
}

/// The members of a list in a header field.
fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    let lines = headers.get_all(name).into_iter();
    lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b',')).map(<[u8]>::trim_ascii)
}

/// A member of `Via` (RFC 9110 §7.6.3).
fn via(version: Version, name: &HeaderName) -> HeaderValue {
    let version = match version {
        Version::HTTP_09 | Version::HTTP_10 => "1.0",
        Version::HTTP_11 => "1.1",
        _ => "2",
    };
    HeaderValue::try_from(format!("{version} {name}")).unwrap_or(HeaderValue::from_static(version))
}
