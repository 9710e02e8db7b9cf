//! The heads of messages at this hop: [`prepare`] is for requests, [`finish`] for responses,
//! [`end_to_end`] for both.

use std::mem;

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version,
    header::{
        CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, TE, TRAILER, TRANSFER_ENCODING, VIA,
    },
    request,
    uri::{Authority, PathAndQuery, Scheme, Uri},
};
use http_body::Body;

use crate::forwarded;

/// The status with which a message is refused, and why.
pub(crate) type Refusal = (StatusCode, &'static str);

/// This gateway and its neighbours.
pub(crate) struct Hops {
    /// The name of this gateway in `Via`.
    pub(crate) name: HeaderName,
    /// The host of requests over HTTP/1.0 that name none.
    pub(crate) upstream: Authority,
    /// Whether clients are gateways that are trusted to say where a request comes from.
    pub(crate) trust_forwarded: bool,
    pub(crate) via: Via,
}

/// Prepares the head of a request for the next hop. The cache sees the same head, and selects
/// variants by it.
pub(crate) fn prepare(
    parts: &mut request::Parts,
    client: &forwarded::Client,
    hops: &Hops,
) -> Result<(), Refusal> {
    check_target(parts)?;
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    if !list(&parts.headers, &TRANSFER_ENCODING).all(is_chunked) {
        return Err((StatusCode::NOT_IMPLEMENTED, "the only supported transfer coding is chunked"));
    }
    let is_mine = |hop: &[u8]| {
        let mut words = hop.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        words.nth(1).is_some_and(|by| by.eq_ignore_ascii_case(hops.name.as_ref()))
    };
    if list(&parts.headers, &VIA).any(is_mine) {
        return Err((
            StatusCode::LOOP_DETECTED,
            "the request has passed this gateway before (see Via)",
        ));
    }
    let bad_host = (StatusCode::BAD_REQUEST, "send exactly one Host");
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = match (parts.uri.authority(), hosts.next(), hosts.next()) {
        (_, _, Some(_)) => return Err(bad_host),
        (Some(authority), _, None) => authority.clone(),
        (None, Some(host), None) => Authority::try_from(host.as_bytes()).map_err(|_| bad_host)?,
        (None, None, None) if parts.version < Version::HTTP_11 => hops.upstream.clone(),
        (None, None, None) => return Err(bad_host),
    };
    if host.as_str().contains('@') {
        return Err(bad_host);
    }
    let uri = absolute(&parts.uri, &host).ok_or(bad_host)?;

    let is_trailers = |coding: &[u8]| coding.eq_ignore_ascii_case(b"trailers");
    let takes_trailers = list(&parts.headers, &TE).any(is_trailers);
    end_to_end(&mut parts.headers);
    // hyper has answered `Expect`, or will when the body is read.
    retain(&mut parts.headers, |name| {
        name != EXPECT && forwarded::may_pass(name, hops.trust_forwarded)
    });
    if takes_trailers {
        parts.headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    join_cookies(&mut parts.headers);
    // For those that follow.
    parts.headers.reserve(6);
    client.add_hop(&mut parts.headers, &host).map_err(|_| bad_host)?;
    parts.headers.append(VIA, hops.via.member(parts.version));
    if parts.headers.get(HOST).is_none_or(|given| given != host.as_str()) {
        parts.headers.insert(HOST, host.as_str().try_into().map_err(|_| bad_host)?);
    }
    parts.uri = uri;
    parts.version = Version::HTTP_11;
    Ok(())
}

/// Prepares the trailers of a request. Some servers take them for fields of its head, and no front
/// is trusted with those that say where it comes from.
pub(crate) fn prepare_trailers(trailers: &mut HeaderMap) {
    end_to_end(trailers);
    retain(trailers, |name| forwarded::may_pass(name, false));
}

/// Refuses a request for this gateway itself, and a form of target that its method does not have
/// (RFC 9112 §3.2).
fn check_target(parts: &request::Parts) -> Result<(), Refusal> {
    let uri = &parts.uri;
    if [Method::CONNECT, Method::TRACE].contains(&parts.method)
        || parts.method == Method::OPTIONS && uri.path() == "*"
    {
        return Err((StatusCode::NOT_IMPLEMENTED, "this gateway does not pass it on"));
    }
    let is_good = match uri.scheme_str() {
        Some(scheme) => ["http", "https"].contains(&scheme),
        None => uri.authority().is_none(),
    };
    match is_good && uri.path() != "*" {
        true => Ok(()),
        false => Err((StatusCode::BAD_REQUEST, "the target must be a path or an absolute URL")),
    }
}

/// The target of a request for `host` as an absolute URL.
fn absolute(target: &Uri, host: &Authority) -> Option<Uri> {
    let path = target.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    // The target may begin with its query. Its text has the slash that it lacks itself.
    let path = match path.as_str().starts_with('/') {
        true => path,
        false => path.to_string().try_into().ok()?,
    };
    let uri = Uri::builder().scheme(Scheme::HTTP).authority(host.clone()).path_and_query(path);
    uri.build().ok()
}

/// Joins the lines of `Cookie`. HTTP/2 may split them (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let lines: Vec<_> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if lines.len() > 1
        && let Ok(line) = HeaderValue::from_bytes(&lines.join(&b"; "[..]))
    {
        headers.insert(COOKIE, line);
    }
}

/// Prepares the head of a response for a client of this version of HTTP.
pub(crate) fn finish(response: &mut Response<impl Body>, client: Version, via: &Via) {
    let via = via.member(response.version());
    let may_end_in_trailers =
        response.headers().contains_key(TRAILER) && !response.body().is_end_stream();
    // Each hop speaks its own version (RFC 9110 §6.2).
    *response.version_mut() = client;
    let status = response.status();
    let headers = response.headers_mut();
    remove_length(headers, status);
    headers.append(VIA, via);
    if may_end_in_trailers && client == Version::HTTP_11 && !headers.contains_key(CONTENT_LENGTH) {
        // hyper would take a length that is known, such as that of a stored body, and leave no room
        // for the trailers.
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// Removes `Content-Length` from a response that must not have it (RFC 9110 §8.6).
pub(crate) fn remove_length(headers: &mut HeaderMap, status: StatusCode) {
    if status.is_informational() || status == StatusCode::NO_CONTENT {
        retain(headers, |name| name != CONTENT_LENGTH);
    }
}

/// The most lines that a head of so many bytes can have.
pub(crate) fn max_lines(bytes: usize) -> usize {
    // The shortest has a name of one letter and no value.
    bytes / "a:\r\n".len()
}

/// Removes the fields for which `keep` is false. The others keep their order; `HeaderMap::remove`
/// would change it.
fn retain(headers: &mut HeaderMap, keep: impl Fn(&HeaderName) -> bool) {
    if headers.keys().all(&keep) {
        return;
    }
    let mut kept = None;
    for (name, value) in mem::take(headers) {
        if let Some(name) = name {
            kept = Some(name).filter(&keep);
        }
        if let Some(name) = &kept {
            headers.append(name.clone(), value);
        }
    }
}

/// Fields that say for whom, or for how long, a response may be used, beside those of cache
/// control: the list that larder has for responses (`src/policy/message.rs`), and `authorization`,
/// since requests pass too.
const FOR_ALL: [&str; 6] = ["age", "authorization", "date", "expires", "pragma", "vary"];

/// Removes the fields of one connection (RFC 9110 §7.6.1). `Trailer` stays, since the trailers do.
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
    // `Connection` cannot mean these: without them, a cache would share a response that it must not
    // share, or for longer.
    let is_for_all = |name: &HeaderName| {
        FOR_ALL.contains(&name.as_str()) || name.as_str().ends_with("cache-control")
    };
    let named: Vec<_> = list(headers, &CONNECTION)
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        .filter(|name| !is_for_all(name))
        .collect();
    // A body in chunks has no other length (RFC 9112 §6.3).
    let is_chunked = headers.contains_key(TRANSFER_ENCODING);
    retain(headers, |name| {
        let is_of_the_hop = HOP_BY_HOP.contains(&name.as_str()) || named.contains(name);
        !is_of_the_hop && (!is_chunked || name != CONTENT_LENGTH)
    });
}

/// Whether a message was compressed for its transfer alone, which would be forgotten with
/// `Transfer-Encoding`. A name there that is no coding at all makes no difference.
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

/// The members of `Via` for this gateway (RFC 9110 §7.6.3), by the version of the message.
pub(crate) struct Via([HeaderValue; 3]);

impl Via {
    pub(crate) fn new(name: &HeaderName) -> Self {
        Self(["1.0", "1.1", "2"].map(|version| {
            // A static text costs nothing to clone. It is needed for as long as the process runs.
            let member: &str = format!("{version} {name}").leak();
            HeaderValue::from_static(member)
        }))
    }

    fn member(&self, version: Version) -> HeaderValue {
        let [http_1_0, http_1_1, http_2] = &self.0;
        match version {
            Version::HTTP_09 | Version::HTTP_10 => http_1_0,
            Version::HTTP_11 => http_1_1,
            _ => http_2,
        }
        .clone()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn each_form_of_target_becomes_an_absolute_url() {
        let host = Authority::from_static("in.example:8080");
        for (target, path) in [
            ("/", "/"),
            ("/a?b", "/a?b"),
            ("/a//b?", "/a//b?"),
            ("http://out.example", "/"),
            ("http://out.example?b", "/?b"),
            ("https://out.example/a?b", "/a?b"),
        ] {
            let url = absolute(&target.parse().unwrap(), &host).unwrap();
            assert_eq!(url.to_string(), format!("http://in.example:8080{path}"), "{target}");
            assert_eq!(url.path_and_query().unwrap().as_str(), path, "{target}");
        }
    }

    #[test]
    fn via_names_the_version_of_the_message() {
        let via = Via::new(&HeaderName::from_static("near"));
        for (version, member) in [
            (Version::HTTP_10, "1.0 near"),
            (Version::HTTP_11, "1.1 near"),
            (Version::HTTP_2, "2 near"),
        ] {
            assert_eq!(via.member(version), member);
        }
    }
}
