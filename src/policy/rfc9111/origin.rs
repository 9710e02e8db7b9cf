//! The origin of a URL (RFC 9110 §4.3.1). A response may only affect URLs of its own origin.

use std::fmt;

use http::Uri;

/// The scheme, host and port of an `http` or `https` URL, in one spelling.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Origin {
    scheme: &'static str,
    host: String,
    port: u16,
}

impl Origin {
    pub(super) fn of(url: &Uri) -> Option<Self> {
        let scheme = url.scheme_str()?;
        let (scheme, default) = match () {
            () if scheme.eq_ignore_ascii_case("http") => ("http", 80),
            () if scheme.eq_ignore_ascii_case("https") => ("https", 443),
            () => return None,
        };
        let port = match host_and_port(url)?.strip_prefix(url.host()?)? {
            "" | ":" => default,
            port => port.strip_prefix(':')?.parse().ok()?,
        };
        Some(Self { scheme, host: url.host()?.to_ascii_lowercase(), port })
    }
}

/// Always prints the port.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme, self.host, self.port)
    }
}

/// The authority without user information.
pub(super) fn host_and_port(url: &Uri) -> Option<&str> {
    let authority = url.authority()?.as_str();
    Some(authority.rsplit_once('@').map_or(authority, |(_, host)| host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_one_spelling() {
        for (url, expected) in [
            ("http://a", Some("http://a:80")),
            ("HTTP://A:80/x?y", Some("http://a:80")),
            ("http://a:/", Some("http://a:80")),
            ("http://me:pw@a/", Some("http://a:80")),
            ("https://a", Some("https://a:443")),
            ("https://[2001:DB8::1]:8443/", Some("https://[2001:db8::1]:8443")),
            ("http://a:x/", None),
            ("http://a:99999/", None),
            ("ftp://a/", None),
            ("/x", None),
        ] {
            let origin = url.parse().ok().and_then(|url| Origin::of(&url));
            assert_eq!(origin.map(|origin| origin.to_string()).as_deref(), expected, "{url}");
        }
    }
}
