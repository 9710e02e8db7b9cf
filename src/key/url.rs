//! The URL of a request in one spelling: RFC 3986 §6.2.2 syntax normalisation and §6.2.3 default
//! ports.
//!
//! Scheme and host are in lower case. User information, default port, dot segments and fragment are
//! removed. Characters are percent-encoded only where necessary, with upper-case digits. A server
//! sees only an origin-form target (`/path`) over HTTP/1.1. Such a target takes its authority from
//! `Host`, and gets the scheme `http`. Case in paths, a trailing slash, an empty query and the
//! order of parameters are significant, since origins distinguish them.
//!
//! In a shared cache, path and query stay [as they were sent](Spelling::as_sent). Many servers
//! route the path without normalising it. To them, `/search/../home` is a search, and its result
//! contains the words of the requester. If it shared a key with `/home`, everybody would receive
//! that result. The text of the URL still has its host in one spelling, so that a removal of
//! `example.com` also removes `Example.com:80`. But servers see the host and port as they were
//! sent, and write them into redirects. The key therefore includes both as sent.

use std::sync::Arc;

use http::{HeaderMap, Uri, header::HOST, uri::Authority};

use super::{
    groups::sorted,
    percent::{decode_parameter, push_normal},
};

/// The normalised URL of a request, and the credentials that were written into it.
#[derive(Clone, Debug)]
pub(crate) struct RequestUrl {
    /// The URL without user information and without the ignored parameters.
    pub(crate) text: Arc<str>,
    /// `user:password` before the host. Only a digest of it goes into the key, and nothing else
    /// uses it.
    pub(crate) userinfo: Option<String>,
    /// The host in `Host`, if it differs from the host in the URI. Clients of virtual hosts send
    /// such requests, and attackers do. It is part of the key, since the origin may use either
    /// host.
    pub(crate) other_host: Option<String>,
    /// The host and port as they were sent, if spellings matter and this is not the normalised one.
    /// It is part of the key.
    pub(crate) sent_host: Option<String>,
    /// The ignored parameters with a `;`. Some servers split a query there, so that what follows is
    /// a parameter of its own. Only a digest goes into the key, and nothing else uses it.
    pub(crate) divided: Option<String>,
    /// The query as it was sent, if it has more than [`MAX_IGNORED`] ignored parameters. Only a
    /// digest goes into the key, and nothing else uses it.
    pub(crate) sent_query: Option<String>,
}

/// The most ignored parameters that do not count. Servers read a number of parameters, such as a
/// thousand, and drop the others. A sender could fill that number with ignored ones, so that the
/// server does not see those that the key has.
pub(crate) const MAX_IGNORED: usize = 32;

/// How URLs are spelled in keys.
#[derive(Clone, Copy, Default)]
pub(crate) struct Spelling<'a> {
    /// Whether a parameter stays, by its decoded name.
    pub(crate) keep: Option<&'a dyn Fn(&str) -> bool>,
    /// Sorts the parameters by name. Parameters that a server may read into one value keep their
    /// order.
    pub(crate) sort: bool,
    /// Leaves path and query as they were sent, except for the two settings above.
    pub(crate) as_sent: bool,
}

/// The request has no valid URL: `Host` is no authority or occurs several times, or the target is
/// neither a path nor an absolute URL (RFC 9112 §3.2.3, §3.2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InvalidTarget;

impl RequestUrl {
    /// Of a response that is stored under a key alone.
    pub(crate) fn none() -> Self {
        Self {
            text: Arc::default(),
            userinfo: None,
            other_host: None,
            sent_host: None,
            divided: None,
            sent_query: None,
        }
    }

    /// Normalises `uri`.
    pub(crate) fn new(
        uri: &Uri,
        headers: &HeaderMap,
        spelling: Spelling<'_>,
    ) -> Result<Self, InvalidTarget> {
        let is_path = uri.authority().is_none() && uri.path().starts_with('/');
        if !is_path && (uri.scheme().is_none() || uri.authority().is_none()) {
            return Err(InvalidTarget);
        }
        let scheme = uri.scheme_str().unwrap_or("http");
        let mut hosts = headers.get_all(HOST).iter();
        let host_field = match (hosts.next(), hosts.next()) {
            (None, _) => None,
            (Some(host), None) if host.is_empty() => None,
            // User information is not allowed in `Host` (RFC 9110 §7.2).
            (Some(host), None) if host.as_bytes().contains(&b'@') => return Err(InvalidTarget),
            // Most clients repeat the host of the URL.
            (Some(host), None) if uri.authority().is_some_and(|it| it.as_str() == host) => None,
            (Some(host), None) => {
                Some(Authority::try_from(host.as_bytes()).map_err(|_| InvalidTarget)?)
            }
            (Some(_), Some(_)) => return Err(InvalidTarget),
        };
        let authority = match (uri.authority(), &host_field) {
            (Some(authority), _) => authority.as_str(),
            (None, Some(host)) => host.as_str(),
            (None, None) => "",
        };
        let (userinfo, host) = match authority.rsplit_once('@') {
            Some((userinfo, host)) => (Some(userinfo.to_owned()), host),
            None => (None, authority),
        };

        let sent = host;
        let host = without_default_port(scheme, sent);
        let has_upper = host.bytes().any(|byte| byte.is_ascii_uppercase());
        let is_other_spelling = spelling.as_sent && (sent.len() != host.len() || has_upper);
        let sent_host = is_other_spelling.then(|| sent.to_owned());
        let other_host = host_field.as_ref().map(Authority::as_str);
        let other_host = if spelling.as_sent {
            other_host.filter(|other| *other != sent).map(str::to_owned)
        } else {
            other_host
                .map(|other| without_default_port(scheme, other))
                .filter(|other| !other.eq_ignore_ascii_case(host))
                .map(str::to_ascii_lowercase)
        };

        let path = uri.path();
        let query = uri.query();
        let len = scheme.len() + host.len() + path.len() + query.map_or(0, str::len);
        let mut text = String::with_capacity(len + 8);
        push_lower(&mut text, scheme);
        text.push_str("://");
        push_lower(&mut text, host);
        push_path(&mut text, path, spelling);
        let ignored = query.map(|query| push_query(&mut text, query, spelling)).unwrap_or_default();
        let divided = (!ignored.divided.is_empty()).then_some(ignored.divided);
        let counts_as_sent = ignored.count > MAX_IGNORED;
        let sent_query = query.filter(|_| counts_as_sent).map(str::to_owned);
        Ok(Self { text: text.into(), userinfo, other_host, sent_host, divided, sent_query })
    }
}

/// The spelling of a URL by which two URLs are compared if the settings of neither are known:
/// normalised, with sorted parameters. `None` if it is no URL of a request.
pub(crate) fn comparable_url(uri: &Uri) -> Option<Arc<str>> {
    let spelling = Spelling { sort: true, ..Spelling::default() };
    RequestUrl::new(uri, &HeaderMap::new(), spelling).ok().map(|url| url.text)
}

fn push_lower(out: &mut String, text: &str) {
    let start = out.len();
    out.push_str(text);
    out[start..].make_ascii_lowercase();
}

fn without_default_port<'a>(scheme: &str, host: &'a str) -> &'a str {
    // An IPv6 literal contains colons, but they are inside its brackets.
    let Some((name, port)) = host.rsplit_once(':') else { return host };
    if port.ends_with(']') {
        return host;
    }
    if port.is_empty() || Some(port) == default_port(scheme) { name } else { host }
}

pub(super) fn default_port(scheme: &str) -> Option<&'static str> {
    match scheme {
        _ if scheme.eq_ignore_ascii_case("http") => Some("80"),
        _ if scheme.eq_ignore_ascii_case("https") => Some("443"),
        _ => None,
    }
}

/// Applies RFC 3986 §6.2.2.2, then §5.2.4: encoded dots are decoded before dot segments are
/// removed.
fn push_path(out: &mut String, path: &str, spelling: Spelling<'_>) {
    let start = out.len();
    if !path.starts_with('/') {
        out.push('/');
    }
    if spelling.as_sent {
        out.push_str(path);
        return;
    }
    push_normal(out, path);
    if !out[start..].contains("/.") {
        return;
    }
    let normal = out.split_off(start);
    push_without_dots(out, &normal);
}

/// Appends a path without its dot segments (RFC 3986 §5.2.4).
pub(crate) fn push_without_dots(out: &mut String, path: &str) {
    let start = out.len();
    let mut segments = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." if last => out.push('/'),
            "." => {}
            ".." => {
                let parent = out[start..].rfind('/').map_or(start, |slash| start + slash);
                out.truncate(parent);
                if last {
                    out.push('/');
                }
            }
            _ => {
                out.push('/');
                out.push_str(segment);
            }
        }
    }
}

/// The ignored parameters of a query.
#[derive(Default)]
struct Ignored {
    count: usize,
    /// Those that have a `;`.
    divided: String,
}

/// Appends the query without its ignored parameters, and returns these.
fn push_query(out: &mut String, query: &str, spelling: Spelling<'_>) -> Ignored {
    let Spelling { keep, sort, as_sent } = spelling;
    let push = if as_sent { String::push_str } else { push_normal };
    let mut ignored = Ignored::default();
    if keep.is_none() && !sort {
        out.push('?');
        push(out, query);
        return ignored;
    }
    let mut pairs: Vec<(String, String)> = Vec::new();
    for pair in query.split('&') {
        let mut normal = String::with_capacity(pair.len());
        push(&mut normal, pair);
        let name = decode_parameter(normal.split('=').next().unwrap_or_default());
        if keep.is_none_or(|keep| keep(&name)) {
            pairs.push((name, normal));
            continue;
        }
        ignored.count += 1;
        if normal.contains(';') {
            ignored.divided.push('&');
            ignored.divided.push_str(&normal);
        }
    }
    if sort && !query.contains(';') && pairs.iter().all(|(name, _)| is_well_formed(name)) {
        // Parameters of one nested object keep their order: `a[][x]=1&a[][y]=2&a[][x]=3` has two.
        pairs = sorted(pairs, |name| name.split('[').next().unwrap_or_default().to_lowercase());
    }
    for (position, (_, pair)) in pairs.iter().enumerate() {
        out.push(if position == 0 { '?' } else { '&' });
        out.push_str(pair);
    }
    ignored
}

/// Whether every server reads the whole name as one. PHP ends it at a NUL, and reads `a[b` as
/// `a_b`.
fn is_well_formed(name: &str) -> bool {
    !name.contains('\0') && (!name.contains('[') || name.contains(']'))
}

/// Splits a URL into its path, with everything before it, and its query.
pub(crate) fn split_query(url: &str) -> (&str, Option<&str>) {
    url.split_once('?').map_or((url, None), |(path, query)| (path, Some(query)))
}

#[cfg(test)]
mod tests;
