//! [`WrittenUrl`]: a URL that was sent in its normal spelling, as most are. The key of a hit on such a
//! URL is made without a copy of it.

use http::{HeaderMap, Uri, header::HOST, uri::Scheme};

#[cfg(doc)]
use super::url::RequestUrl;
use super::{
    percent::allowed,
    url::{Spelling, default_port},
};

/// A URL that was sent in its normal spelling, without user information and under one host. It is
/// what [`RequestUrl::new`] makes of the request, in pieces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WrittenUrl<'a>([&'a str; 6]);

impl<'a> WrittenUrl<'a> {
    /// The URL of a request, if it has that spelling.
    pub(crate) fn of(uri: &'a Uri, headers: &'a HeaderMap, spelling: Spelling<'_>) -> Option<Self> {
        let scheme = match uri.scheme() {
            None => "http",
            Some(scheme) if *scheme == Scheme::HTTP => "http",
            Some(scheme) if *scheme == Scheme::HTTPS => "https",
            Some(_) => return None,
        };
        let mut fields = headers.get_all(HOST).iter();
        let host = match (uri.authority(), fields.next()) {
            (Some(authority), None) => authority.as_str(),
            (Some(authority), Some(field)) if field == authority.as_str() => authority.as_str(),
            (None, Some(field)) => field.to_str().ok()?,
            _ => return None,
        };
        let path = uri.path();
        let (mark, query) = uri.query().map_or(("", ""), |query| ("?", query));
        let is_normal = |text: &str| text.bytes().all(|byte| byte != b'%' && allowed(byte));
        let is_written = fields.next().is_none()
            && is_normal_host(host, scheme)
            && path.starts_with('/')
            && (spelling.as_sent || (is_normal(path) && !path.contains("/.") && is_normal(query)))
            && (mark.is_empty() || (spelling.keep.is_none() && !spelling.sort));
        is_written.then_some(Self([scheme, "://", host, path, mark, query]))
    }

    /// The pieces of the text, in their order.
    pub(crate) fn pieces(&self) -> &[&'a str; 6] {
        &self.0
    }
}

/// Whether this is a host name or IPv4 address in lower case, alone or with a port that is not the
/// default one.
fn is_normal_host(host: &str, scheme: &str) -> bool {
    let (name, port) = host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
    let is_name = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
    let is_port = |port: &str| {
        (1..=5).contains(&port.len())
            && port.bytes().all(|byte| byte.is_ascii_digit())
            && port.parse::<u16>().is_ok()
            && Some(port) != default_port(scheme)
    };
    (1..=255).contains(&name.len()) && name.bytes().all(is_name) && port.is_none_or(is_port)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::{super::url::RequestUrl, *};

    /// What is recognised as written, or `None`. It must equal what is made of the request.
    fn written(uri: &Uri, host: Option<&str>, spelling: Spelling<'_>) -> Option<String> {
        let headers = host.map(|host| (HOST, HeaderValue::from_str(host).unwrap()));
        let headers = HeaderMap::from_iter(headers);
        let text = WrittenUrl::of(uri, &headers, spelling)?.pieces().concat();
        let url = RequestUrl::new(uri, &headers, spelling).unwrap();
        assert_eq!(*url.text, text);
        assert_eq!((url.userinfo, url.other_host, url.sent_host), (None, None, None));
        Some(text)
    }

    #[test]
    fn urls_in_their_normal_spelling_are_recognised() {
        let default = Spelling::default();
        for (uri, host, is_written) in [
            ("http://a/b?c=d", None, true),
            ("https://a.example:8443/b", Some("a.example:8443"), true),
            ("https://a/b?", None, true),
            ("http://a:50051/b", None, true),
            ("http://a:70000/b", None, false),
            ("/b?c", Some("10.0.0.1:8080"), true),
            ("/b", None, false),
            ("/b", Some(""), false),
            ("http://a/b", Some("c"), false),
            ("http://A/b", None, false),
            ("http://a:80/b", None, false),
            ("https://a:443/b", None, false),
            ("http://me@a/b", None, false),
            ("http://[::1]/b", None, false),
            ("ftp://a/b", None, false),
            ("http://a/%7e", None, false),
            ("http://a/b/../c", None, false),
            ("http://a/?b=%61", None, false),
            ("*", Some("a"), false),
        ] {
            let text = written(&uri.parse().unwrap(), host, default);
            assert_eq!(text.is_some(), is_written, "{uri} {host:?}");
        }
        let hosts = [HOST, HOST].map(|name| (name, HeaderValue::from_static("a")));
        let hosts = HeaderMap::from_iter(hosts);
        assert!(WrittenUrl::of(&Uri::from_static("/"), &hosts, default).is_none(), "two hosts");
    }

    proptest! {
        #[test]
        fn a_recognised_url_is_what_would_be_made(
            scheme in "(http|https|HTTP)",
            host in "[aA.:0-9@-]{1,6}|a:80|a:443",
            path in "(/[a~%.?=&]{0,4}){0,3}",
            field in prop::option::of("[aA.:0-9@-]{1,3}"),
            is_path: bool,
            as_sent: bool,
            sort: bool,
        ) {
            let spelling = Spelling { sort, as_sent, ..Spelling::default() };
            let uri = if is_path { path } else { format!("{scheme}://{host}{path}") };
            if let Ok(uri) = uri.parse::<Uri>() {
                written(&uri, field.as_deref(), spelling);
            }
        }
    }
}
