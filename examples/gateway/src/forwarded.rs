//! The fields that say where a request comes from, or that replace its URL or method.
//!
//! Upstreams build links by these fields, decide on redirects and log client addresses. No key has
//! them, so a response that depends on one would be stored for everybody. The gateway removes a
//! client's fields of these families. It writes its own knowledge in `Forwarded` (RFC 7239),
//! `X-Forwarded-For`, `X-Forwarded-Host` and `X-Forwarded-Proto`.
//!
//! With `--trust-forwarded`, the fields in [`KEYED`] and [`NOT_KEYED`] pass, and the gateway adds
//! its own hop. The fields in [`KEYED`] are then part of every key. Others, such as
//! `X-Forwarded-User` and `X-Forwarded-Access-Token`, still do not pass: a page that depends on one
//! of them is for one user, and would be stored for everybody.

use std::{
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{FORWARDED, InvalidHeaderValue},
    uri::Authority,
};

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Fields of a trusted gateway in front that a response for everybody may depend on.
pub(crate) const KEYED: [&str; 9] = [
    "x-forwarded-host",
    "x-forwarded-path",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-protocol",
    "x-forwarded-scheme",
    "x-forwarded-ssl",
    "x-forwarded-uri",
];

/// Fields of a trusted gateway in front that say who asks by way of whom. No response for everybody
/// depends on them.
const NOT_KEYED: [&str; 4] =
    ["forwarded", "x-forwarded-by", "x-forwarded-for", "x-forwarded-server"];

/// Whether a request may bring this field to the upstream.
pub(crate) fn may_pass(name: &HeaderName, is_trusted: bool) -> bool {
    let name = name.as_str();
    // To many servers it is another spelling of a name with dashes, which a key or `Vary` may have.
    if name.contains('_') {
        return false;
    }
    !is_claim(name) || is_trusted && (KEYED.contains(&name) || NOT_KEYED.contains(&name))
}

/// Whether upstreams take this field for the word of a gateway, or for another method than the
/// request's.
fn is_claim(name: &str) -> bool {
    const PARTS: [&str; 2] = ["forwarded", "-override"];
    const STARTS: [&str; 5] = ["x-forward-", "x-original-", "x-real-", "x-rewrite-", "x-remote-"];
    const ENDS: [&str; 8] = [
        "client-ip",
        "clientip",
        "connecting-ip",
        "connecting-ipv6",
        "originating-ip",
        "real-ip",
        "remote-addr",
        "user-ip",
    ];
    const NAMES: [&str; 26] = [
        "cf-visitor",
        "front-end-https",
        "https",
        // CGI hands it on as `HTTP_PROXY`, which some clients in a script take for their own proxy.
        "proxy",
        "request-uri",
        "wl-proxy-ssl",
        "x-arr-ssl",
        "x-azure-socketip",
        "x-client-host",
        "x-client-proto",
        "x-envoy-external-address",
        "x-front-end-https",
        "x-host",
        "x-http-destinationurl",
        "x-http-host",
        "x-http-method",
        "x-https",
        "x-method",
        "x-port",
        "x-proto",
        "x-remote",
        "x-scheme",
        "x-secure",
        "x-ssl",
        "x-url",
        "x-url-scheme",
    ];
    PARTS.iter().any(|part| name.contains(part))
        || STARTS.iter().any(|start| name.starts_with(start))
        || ENDS.iter().any(|end| name.ends_with(end))
        || NAMES.contains(&name)
}

/// The longest host that a connection remembers: a name of DNS, a colon and a port.
const MAX_HOST: usize = 253 + 6;

/// A client that this hop names.
pub(crate) struct Client {
    ip: IpAddr,
    /// The host of its last request that brought none of the fields, and the fields of the hop.
    /// Most requests on a connection are for one host.
    last: Mutex<Option<(Authority, HeaderMap)>>,
}

impl Client {
    pub(crate) fn new(ip: IpAddr) -> Self {
        Self { ip, last: Mutex::default() }
    }

    pub(crate) fn ip(&self) -> IpAddr {
        self.ip
    }

    /// Adds this hop of a request for `host` to the fields that have passed.
    pub(crate) fn add_hop(
        &self,
        headers: &mut HeaderMap,
        host: &Authority,
    ) -> Result<(), InvalidHeaderValue> {
        let has_any = [FORWARDED, FOR, HOST, PROTO].iter().any(|name| headers.contains_key(name));
        if has_any || host.as_str().len() > MAX_HOST {
            return add_hop(headers, self.ip, host);
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let fields = match last.take() {
            // Two authorities are equal if they differ in the case of letters alone.
            Some((of, fields)) if of.as_str() == host.as_str() => fields,
            _ => {
                let mut fields = HeaderMap::new();
                add_hop(&mut fields, self.ip, host)?;
                fields
            }
        };
        let (_, fields) = last.insert((host.clone(), fields));
        headers.extend(fields.iter().map(|(name, value)| (name.clone(), value.clone())));
        Ok(())
    }
}

fn add_hop(
    headers: &mut HeaderMap,
    client: IpAddr,
    host: &Authority,
) -> Result<(), InvalidHeaderValue> {
    // The gateway in front may write one family alone. Its word holds for both.
    let first = headers.get(FORWARDED).map_or(First::default(), First::parse);
    let own = |value: &str| HeaderValue::try_from(value);
    let text = |headers: &HeaderMap, name| Some(headers.get(name)?.to_str().ok()?.to_owned());
    let proto = text(headers, PROTO).or(first.proto).unwrap_or("http".to_owned());
    let said_host = text(headers, HOST).or(first.host).unwrap_or(host.to_string());

    let hop = match (client, headers.contains_key(FORWARDED)) {
        (IpAddr::V4(client), true) => format!("for={client};host=\"{host}\";proto=http"),
        (IpAddr::V6(client), true) => format!("for=\"[{client}]\";host=\"{host}\";proto=http"),
        (IpAddr::V4(client), false) => format!("for={client};{}", facts(&said_host, &proto)),
        (IpAddr::V6(client), false) => format!("for=\"[{client}]\";{}", facts(&said_host, &proto)),
    };
    extend(headers, FORWARDED, &hop)?;
    extend(headers, FOR, &client.to_string())?;
    for (name, value) in [(HOST, said_host), (PROTO, proto)] {
        if !headers.contains_key(&name) {
            headers.insert(name, own(&value)?);
        }
    }
    Ok(())
}

/// Parameters of an element of `Forwarded`.
fn facts(host: &str, proto: &str) -> String {
    // A list has a member for each hop. The first hop knows the client.
    let [host, proto] = [host, proto].map(|text| text.split(',').next().unwrap_or(text).trim());
    let quoted = host.replace('\\', "\\\\").replace('"', "\\\"");
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let proto = if proto.bytes().all(is_token) && !proto.is_empty() { proto } else { "http" };
    format!("host=\"{quoted}\";proto={proto}")
}

/// Adds a member to a list in one line.
fn extend(
    headers: &mut HeaderMap,
    name: HeaderName,
    member: &str,
) -> Result<(), InvalidHeaderValue> {
    let lines = headers.get_all(&name).iter().map(HeaderValue::as_bytes);
    let list = lines.chain([member.as_bytes()]).collect::<Vec<_>>().join(&b", "[..]);
    headers.insert(name, HeaderValue::from_bytes(&list)?);
    Ok(())
}

/// The parameters of the first hop in `Forwarded`.
#[derive(Default)]
struct First {
    host: Option<String>,
    proto: Option<String>,
}

impl First {
    fn parse(line: &HeaderValue) -> Self {
        let mut first = Self::default();
        let (mut is_quoted, mut is_escaped) = (false, false);
        let (mut name, mut value) = (String::new(), None::<String>);
        for char in line.to_str().unwrap_or_default().chars().chain([',']) {
            let is_literal = std::mem::take(&mut is_escaped);
            match char {
                '"' if !is_literal => is_quoted = !is_quoted,
                '\\' if is_quoted && !is_literal => is_escaped = true,
                ';' | ',' if !is_quoted => {
                    let value = value.take().map(|value| value.trim().to_owned());
                    match name.trim() {
                        name if name.eq_ignore_ascii_case("host") => first.host = value,
                        name if name.eq_ignore_ascii_case("proto") => first.proto = value,
                        _ => {}
                    }
                    name.clear();
                    if char == ',' {
                        break;
                    }
                }
                '=' if value.is_none() => value = Some(String::new()),
                _ => value.as_mut().unwrap_or(&mut name).push(char),
            }
        }
        first
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn hop(lines: &[(&'static str, &str)], client: &str) -> [String; 4] {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        let host = Authority::from_static("in.example");
        add_hop(&mut headers, client.parse().unwrap(), &host).unwrap();
        [FORWARDED, FOR, HOST, PROTO].map(|name| {
            assert_eq!(headers.get_all(&name).iter().count(), 1, "{name}");
            headers[name].to_str().unwrap().to_owned()
        })
    }

    #[test]
    fn a_hop_is_added_to_each_family() {
        assert_eq!(
            hop(&[], "::1"),
            ["for=\"[::1]\";host=\"in.example\";proto=http", "::1", "in.example", "http"]
        );
        let both = [
            ("forwarded", "for=9.9.9.9;proto=https"),
            ("x-forwarded-for", "9.9.9.9"),
            ("x-forwarded-for", "8.8.8.8"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "out.example"),
        ];
        assert_eq!(
            hop(&both, "1.2.3.4"),
            [
                "for=9.9.9.9;proto=https, for=1.2.3.4;host=\"in.example\";proto=http",
                "9.9.9.9, 8.8.8.8, 1.2.3.4",
                "out.example",
                "https"
            ]
        );
    }

    #[test]
    fn each_request_of_a_client_gets_its_own_host() {
        let client = Client::new("1.2.3.4".parse().unwrap());
        let long = format!("{}.example", "a".repeat(MAX_HOST));
        for host in ["a.example", "a.example", "A.example", &long, "b.example:80", "a.example"] {
            let mut headers = HeaderMap::new();
            client.add_hop(&mut headers, &host.parse().unwrap()).unwrap();
            assert_eq!(headers[FORWARDED], format!("for=1.2.3.4;host=\"{host}\";proto=http"));
            assert_eq!(
                (&headers[FOR], &headers[HOST]),
                (&"1.2.3.4".parse().unwrap(), &host.parse().unwrap())
            );
        }
        let mut headers = HeaderMap::from_iter([(PROTO, HeaderValue::from_static("https"))]);
        client.add_hop(&mut headers, &Authority::from_static("a.example")).unwrap();
        assert_eq!(headers[FORWARDED], "for=1.2.3.4;host=\"a.example\";proto=https");
    }

    #[test]
    fn what_one_family_says_holds_for_the_other() {
        let lines = [("x-forwarded-proto", "https, http"), ("x-forwarded-host", "out.example")];
        let own = "for=1.2.3.4;host=\"out.example\";proto=https";
        assert_eq!(hop(&lines, "1.2.3.4")[0], own);
        for line in [
            "For=\"[::1]:1\";Proto=https; host=out.example, for=2;proto=http;host=b",
            "host=\"out\\.example\" ;by=\"a,b;host=c\";proto=\"https\"",
        ] {
            let [_, _, host, proto] = hop(&[("forwarded", line)], "1.2.3.4");
            assert_eq!((&*host, &*proto), ("out.example", "https"), "{line}");
        }
        for line in ["", ";,=", "host", "\"", "\\", "host=\"open"] {
            hop(&[("forwarded", line)], "1.2.3.4");
        }
    }
}
