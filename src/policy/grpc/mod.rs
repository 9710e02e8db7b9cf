//! gRPC over HTTP/2: the calls that are cached, and the meaning of their fields.
//!
//! Every call is a `POST`, and every response has status 200. The body holds the request message
//! (`message.rs`). `grpc-status` says whether the call succeeded; it usually follows the body
//! (`answer.rs`).

use http::{HeaderMap, HeaderName, HeaderValue, Method, header::CONTENT_TYPE, request};

use crate::{error::ConfigError, pattern::UrlPatterns, status::Bypass};

mod answer;
mod message;
mod timeout;

pub(crate) use self::{
    answer::UnaryAnswer,
    message::{Message, PAUSE},
    timeout::{set_timeout, timeout},
};

/// The header fields that are part of every gRPC key: the accepted encodings of the answer, and the
/// encoding of the message. If a server reads other metadata, the user must name it.
pub(crate) const KEY_HEADERS: [HeaderName; 2] =
    [HeaderName::from_static("grpc-accept-encoding"), HeaderName::from_static("grpc-encoding")];

const STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// The statuses that report a failure of the server, as 500, 502, 503 and 504 do: `UNKNOWN`,
/// `DEADLINE_EXCEEDED`, `INTERNAL` and `UNAVAILABLE`. All others are answers.
const FAILURES: [u8; 4] = [2, 4, 13, 14];

/// `NOT_FOUND`.
const GONE: u8 = 5;

/// The gRPC methods whose calls are cached.
#[derive(Clone, Debug)]
pub(crate) struct GrpcMethods(UrlPatterns);

impl GrpcMethods {
    /// Compiles `methods`: paths of methods, or globs that match them.
    pub(crate) fn new<'a>(methods: impl IntoIterator<Item = &'a str>) -> Result<Self, ConfigError> {
        let refuse = |message: String| Err(ConfigError::new("grpc", message));
        let methods: Vec<&str> = methods.into_iter().collect();
        if methods.is_empty() {
            return refuse("no method would be cached; name at least one".into());
        }
        for method in &methods {
            let Some(path) = method.strip_prefix('/') else {
                return refuse(format!(
                    "{method:?} is not the path of a method; write one like \
                     \"/package.Service/Method\""
                ));
            };
            let names_no_method = !path.contains('/') && !path.contains("**");
            if names_no_method || path.ends_with('/') {
                let service = path.trim_end_matches('/');
                return refuse(format!(
                    "{method:?} names no method; write \"/{service}/Method\", or \"/{service}/*\" \
                     for all methods of the service"
                ));
            }
        }
        Ok(Self(UrlPatterns::new("grpc", methods)?))
    }

    /// Returns an error if the request is not a call of a cached method.
    pub(crate) fn gate(&self, request: &request::Parts) -> Result<(), Bypass> {
        if request.method != Method::POST || !is_grpc(&request.headers) {
            return Err(Bypass::NotGrpc);
        }
        // The path as it was sent, since servers compare paths byte by byte.
        match self.0.first_match(request.uri.path()) {
            Some(_) => Ok(()),
            None => Err(Bypass::GrpcMethod),
        }
    }
}

/// Whether the fields are those of gRPC over HTTP/2. gRPC-Web is another protocol: its trailers are
/// in its body.
fn is_grpc(headers: &HeaderMap) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    let Some(kind) = headers.get(CONTENT_TYPE).map(|kind| kind.as_bytes()) else { return false };
    let Some((grpc, rest)) = kind.split_at_checked(GRPC.len()) else { return false };
    grpc.eq_ignore_ascii_case(GRPC) && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
}

/// The status code of a failure of the server, if the fields report one.
pub(crate) fn failure(fields: &HeaderMap) -> Option<u8> {
    FAILURES.into_iter().find(|code| has_status(fields, *code))
}

/// Whether the fields say that the requested resource does not exist.
pub(crate) fn is_gone(fields: &HeaderMap) -> bool {
    has_status(fields, GONE)
}

/// The head of an answer with the status `UNAVAILABLE`. A client that does not know gRPC reads its
/// HTTP status instead. The message must be plain ASCII without `%`, so that it needs no encoding.
pub(crate) fn unavailable(message: &str) -> HeaderMap {
    let mut fields = HeaderMap::new();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    fields.insert(STATUS, HeaderValue::from_static("14"));
    if let Ok(message) = HeaderValue::from_str(message) {
        fields.insert(HeaderName::from_static("grpc-message"), message);
    }
    fields
}

fn has_status(fields: &HeaderMap, code: u8) -> bool {
    fields.get_all(STATUS).iter().any(|line| line.as_bytes() == code.to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn gate(methods: &[&'static str], request: request::Builder) -> Result<(), Bypass> {
        let methods = GrpcMethods::new(methods.iter().copied()).unwrap();
        methods.gate(&request.body(()).unwrap().into_parts().0)
    }

    fn call(path: &str) -> request::Builder {
        Request::post(path).header("content-type", "application/grpc")
    }

    #[test]
    fn calls_of_listed_methods_pass_the_gate() {
        let methods = &["/shop.Catalog/GetItem", "/shop.Stock/*", "/**/{Find,List}*"];
        for (path, expected) in [
            ("http://a:1/shop.Catalog/GetItem", Ok(())),
            ("/shop.Catalog/GetItem", Ok(())),
            ("http://a/shop.Stock/Count", Ok(())),
            ("http://a/other.Any/FindAll", Ok(())),
            ("http://a/v1/other.Any/List", Ok(())),
            ("http://a/shop.Catalog/AddItem", Err(Bypass::GrpcMethod)),
            ("http://a/shop.Catalog/GetItems", Err(Bypass::GrpcMethod)),
            ("http://a/shop.catalog/GetItem", Err(Bypass::GrpcMethod)),
            ("http://a/x/shop.Catalog/GetItem", Err(Bypass::GrpcMethod)),
            ("http://a/shop.Stock/a/b", Err(Bypass::GrpcMethod)),
        ] {
            assert_eq!(gate(methods, call(path)), expected, "{path}");
        }
    }

    #[test]
    fn other_requests_are_not_grpc() {
        let of = |kind: &str| {
            gate(&["/a.B/C"], Request::post("http://a/a.B/C").header("content-type", kind))
        };
        for kind in ["application/grpc", "application/grpc+proto", "Application/gRPC; x=y"] {
            assert_eq!(of(kind), Ok(()), "{kind}");
        }
        for kind in [
            "application/grpc-web",
            "application/grpc-web-text+proto",
            "application/grp",
            "text/html",
        ] {
            assert_eq!(of(kind), Err(Bypass::NotGrpc), "{kind}");
        }
        assert_eq!(gate(&["/a.B/C"], Request::post("/a.B/C")), Err(Bypass::NotGrpc));
        assert_eq!(gate(&["/a.B/C"], call("/a.B/C").method("GET")), Err(Bypass::NotGrpc));
    }

    #[test]
    fn invalid_methods_are_refused_with_a_suggestion() {
        let error = |methods: &[&'static str]| {
            GrpcMethods::new(methods.iter().copied()).unwrap_err().to_string()
        };
        assert!(error(&[]).starts_with("grpc: no method"));
        assert!(error(&["a.B/C"]).contains("\"/package.Service/Method\""));
        assert!(error(&["*"]).contains("is not the path of a method"));
        assert!(error(&[""]).contains("is not the path of a method"));
        assert!(error(&["/a.B"]).ends_with("or \"/a.B/*\" for all methods of the service"));
        assert!(error(&["/a.B/"]).contains("\"/a.B/Method\""));
        assert!(error(&["/a.B/C", "/a.B/[z"]).contains("is not a valid glob"));
        assert!(error(&["/a.B/C?x=1"]).contains("has a query"));
        assert!(error(&["https://a/a.B/C"]).contains("is not the path of a method"));
        assert!(GrpcMethods::new(["/**"]).is_ok());
    }

    #[test]
    fn only_server_failures_count_as_failures() {
        let of = |value: &'static str| {
            let fields = HeaderMap::from_iter([(STATUS, HeaderValue::from_static(value))]);
            (failure(&fields), is_gone(&fields))
        };
        assert_eq!(of("14"), (Some(14), false));
        assert_eq!(of("2"), (Some(2), false));
        assert_eq!(of("5"), (None, true));
        for value in ["0", "1", "3", "12", "140", "014", "", "x"] {
            assert_eq!(of(value), (None, false), "{value}");
        }
    }
}
