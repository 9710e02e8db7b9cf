//! Omitted fields (RFC 9111 §3.1): those that the qualified forms of `no-cache` and `private` name
//! (§5.2.2.4, §5.2.2.7). They are not stored with the response.

use http::{HeaderMap, HeaderName};

use crate::fields::Fields;

/// The fields of the response that are named, sorted and without duplicates.
pub(super) fn omitted_fields(headers: &HeaderMap, named: [Option<&Fields>; 2]) -> Vec<HeaderName> {
    let names = named.into_iter().flat_map(|fields| match fields {
        Some(Fields::Named(names)) => names.as_slice(),
        _ => &[],
    });
    let mut omitted: Vec<HeaderName> =
        names.filter(|name| headers.contains_key(*name)).cloned().collect();
    omitted.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
    omitted.dedup();
    omitted
}

#[cfg(test)]
mod tests {
    use http::{Request, Response};

    use crate::{
        entry::ResponseHead,
        policy::{
            Scope, Storable,
            rfc9111::{
                request_directives::RequestDirectives,
                storable::{Settings, check_storable},
            },
        },
        status::Refusal,
        time::Timestamp,
    };

    fn of(scope: Scope, line: &str) -> Result<Storable, Refusal> {
        let request = Request::get("http://a/").body(()).unwrap().into_parts().0;
        let response = Response::builder()
            .header("cache-control", line)
            .header("a", "1")
            .header("b", "2")
            .header("b", "3");
        let response = response.body(()).unwrap().into_parts().0;
        let settings = Settings::plain(scope);
        let response = ResponseHead::new(response, Timestamp::MIN);
        let (requested_at, received_at) = (Timestamp::MIN, Timestamp::MIN);
        check_storable(
            &settings,
            &RequestDirectives::NONE,
            &request,
            &response,
            requested_at,
            received_at,
        )
        .storable()
    }

    #[test]
    fn named_fields_are_omitted() {
        let line = "max-age=60, no-cache=\"A, c\", private=\"b, A\"";
        assert_eq!(of(Scope::Shared, line).unwrap().omitted, ["a", "b"]);
        assert_eq!(of(Scope::Private, line).unwrap().omitted, ["a"]);
        assert!(of(Scope::Shared, "max-age=60").unwrap().omitted.is_empty());
    }

    #[test]
    fn naming_an_essential_field_means_the_whole_response() {
        for essential in ["vary", "Content-Type", "content-encoding", "etag", "cache-control"] {
            let of = |directive: &str| {
                of(Scope::Shared, &format!("max-age=60, {directive}=\"a, {essential}\""))
            };
            assert_eq!(of("private"), Err(Refusal::Private), "{essential}");
            assert_eq!(of("no-cache"), Err(Refusal::NoCache), "{essential}");
        }
    }
}
