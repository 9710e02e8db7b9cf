//! Tests of the decisions that both policies share.

use http::{HeaderValue, Request};

use super::*;
use crate::{
    entry::ResponseHead,
    policy::{Exchange, Expiration, Failure},
    status::Refusal,
};

fn gate(request: http::request::Builder) -> Result<(), Bypass> {
    let parts = request.body(()).unwrap().into_parts().0;
    Rules::new(Scope::Private).gate(CacheOptions::of(&parts.extensions), &parts)
}

#[test]
fn each_bypass_has_its_reason() {
    assert_eq!(gate(Request::get("http://a/")), Ok(()));
    assert_eq!(gate(Request::head("http://a/")), Ok(()));
    assert_eq!(gate(Request::post("http://a/")), Err(Bypass::Method));
    assert_eq!(gate(Request::connect("a:1")), Err(Bypass::Method));
    let get = |name: &str| Request::get("http://a/").header(name, "x");
    assert_eq!(gate(get("range")), Ok(()));
    assert_eq!(gate(Request::head("http://a/").header("range", "x")), Err(Bypass::Range));
    assert_eq!(gate(get("upgrade")), Err(Bypass::Upgrade));
    assert_eq!(gate(get("if-match")), Err(Bypass::Precondition));
    assert_eq!(gate(get("if-none-match")), Ok(()));
    let asked = Request::get("http://a/").extension(CacheOptions::new().bypass(true));
    assert_eq!(gate(asked), Err(Bypass::Requested));
}

/// `Entries::insert` calls `storable_by_hand`. It shares `storable_by_policy` with responses to
/// requests.
#[test]
fn a_1xx_a_304_and_a_206_are_not_inserted() {
    let door = |is_http, range: Option<&str>, status: u16| {
        let mut rules = Rules::new(Scope::Private);
        if is_http {
            rules.use_http();
        }
        rules.expiration.layer = Some(Duration::from_secs(60).into());
        let mut request = Request::get("http://a/");
        if let Some(range) = range {
            request = request.header("range", range);
        }
        let request = request.body(()).unwrap().into_parts().0;
        let mut response = http::Response::new(()).into_parts().0;
        response.status = status.try_into().unwrap();
        let exchange = Exchange {
            options: &CacheOptions::new(),
            url: "http://a/",
            request: &request,
            response: &ResponseHead::new(response, Timestamp::MIN),
            requested_at: Timestamp::MIN,
            now: Timestamp::MIN,
        };
        rules.storable_by_hand(&exchange).map(drop)
    };
    for is_http in [false, true] {
        for status in [100, 103, 206, 304] {
            assert_eq!(door(is_http, None, status), Err(Refusal::Status), "{status}");
        }
        assert_eq!(door(is_http, None, 200), Ok(()));
    }
    for is_http in [false, true] {
        let by_hand = door(is_http, Some("bytes=0-1"), 206);
        assert_eq!(
            by_hand,
            Err(Refusal::Status),
            "a part would be stored under the key of the whole"
        );
    }
}

#[test]
fn a_clock_set_back_ends_only_responses_that_expire() {
    let parts = http::Response::new(()).into_parts().0;
    let stored_at = Timestamp::from_millis(1_000_000_000);
    let head = Head::new(Method::GET, "http://a/", parts, stored_at);
    let long_before = Timestamp::MIN;
    let verdict = |head: &Head| {
        let rules = Rules::new(Scope::Private);
        rules.verdict(&CacheOptions::new(), &Method::GET, head, long_before)
    };
    assert_eq!(verdict(&head), Verdict::Fresh, "it never expires");
    let ends = head.with_expires_at(Some(stored_at.saturating_add(Duration::from_secs(1))));
    assert_eq!(verdict(&ends), Verdict::Unsatisfying(Miss::Expired));
}

#[test]
fn connect_is_never_cached_even_if_listed() {
    let mut rules = Rules::new(Scope::Private);
    rules.methods.push(Method::CONNECT);
    let parts = Request::connect("a:1").body(()).unwrap().into_parts().0;
    assert_eq!(rules.gate(&CacheOptions::new(), &parts), Err(Bypass::Method));
}

#[test]
fn choosing_the_http_rules_again_keeps_their_settings() {
    let targets = |rules: &Rules| match &rules.policy {
        Policy::Fixed => panic!("time alone decides"),
        Policy::Http { targets, .. } => targets.iter().map(|it| it.to_string()).collect::<Vec<_>>(),
    };
    for (scope, default) in [(Scope::Private, &[][..]), (Scope::Shared, &["cdn-cache-control"])] {
        let mut rules = Rules::new(scope);
        assert!(matches!(rules.policy, Policy::Fixed) && !rules.applies_no_vary_search());
        rules.use_http();
        assert_eq!(targets(&rules), default);
        rules.set_targets(vec![http::HeaderName::from_static("x-ours")]);
        rules.set_no_vary_search(true);
        rules.use_http();
        assert_eq!(targets(&rules), ["x-ours"]);
        assert!(rules.applies_no_vary_search());
        rules.set_targets(Vec::new());
        rules.use_http();
        assert!(targets(&rules).is_empty() && rules.applies_no_vary_search());
    }
}

/// A cache for gRPC reads the gRPC fields. Any other cache does not.
#[test]
fn grpc_fields_count_only_in_a_grpc_cache() {
    let plain = Rules::new(Scope::Private);
    let mut grpc = plain.clone();
    grpc.use_grpc(GrpcMethods::new(["/**"]).unwrap());
    let answer = |status, code: &'static str| {
        let mut parts = http::Response::new(()).into_parts().0;
        parts.status = status;
        parts.headers.insert("grpc-status", HeaderValue::from_static(code));
        parts
    };
    let of_status = Some(Failure::Status(StatusCode::BAD_GATEWAY));
    let (failed, gone) = (answer(StatusCode::OK, "14"), answer(StatusCode::OK, "5"));
    for (rules, is_grpc) in [(&plain, false), (&grpc, true)] {
        assert_eq!(rules.failure(&answer(StatusCode::BAD_GATEWAY, "14")), of_status);
        let of_grpc = is_grpc.then_some(Failure::Grpc(14));
        assert_eq!(rules.failure(&failed), of_grpc);
        assert_eq!(rules.failure_behind(&failed.headers), of_grpc);
        assert_eq!(rules.failure(&gone), None);
        assert_eq!(rules.is_gone(&gone), is_grpc);
        assert_eq!(rules.response_check(&gone).is_err(), is_grpc);
        let check = rules.response_check(&answer(StatusCode::OK, "0")).unwrap();
        assert_eq!(check.end(None).is_err(), is_grpc, "the body has no message");
        assert_eq!(rules.request_check().needs_body(), is_grpc);

        let (minute, mut fields) = (Duration::from_secs(60), HeaderMap::new());
        assert_eq!(rules.has_time_limits(), is_grpc);
        rules.limit_time(&mut fields, minute);
        assert!(fields.is_empty(), "a request without a time limit gets none");
        fields.insert("grpc-timeout", HeaderValue::from_static("5S"));
        assert_eq!(rules.time_limit(&fields), is_grpc.then_some(Duration::from_secs(5)));
        rules.limit_time(&mut fields, minute);
        assert_eq!(fields["grpc-timeout"], if is_grpc { "60000m" } else { "5S" });
    }
    let (fields, body) = plain.unanswerable("No");
    assert_eq!(
        (&fields["content-type"], &body[..]),
        (&"text/plain; charset=utf-8".parse().unwrap(), &b"No\n"[..])
    );
    let (fields, body) = grpc.unanswerable("No");
    assert_eq!(
        (&fields["grpc-status"], &fields["grpc-message"], body.len()),
        (&"14".parse().unwrap(), &"No".parse().unwrap(), 0)
    );
}

/// A response stored at 0 s that expires at 10 s.
fn head(status: StatusCode, lines: &[(&'static str, &'static str)]) -> Head {
    let mut parts = http::Response::new(()).into_parts().0;
    parts.status = status;
    for (name, value) in lines {
        parts.headers.append(*name, HeaderValue::from_static(value));
    }
    Head::new(Method::GET, "http://a/", parts, Timestamp::MIN).with_expires_at(Some(secs(10)))
}

fn secs(secs: u64) -> Timestamp {
    Timestamp::from_millis(secs * 1000)
}

fn within(secs: u64) -> StaleLimit {
    Duration::from_secs(secs).into()
}

const NEW: fn() -> CacheOptions = CacheOptions::new;

#[test]
fn expired_responses_are_served_within_the_stale_limits() {
    let mut rules = Rules::new(Scope::Private);
    let head = head(StatusCode::OK, &[]);
    let only = || NEW().only_if_cached(true);
    let verdict = |rules: &Rules, options: CacheOptions, now| {
        rules.verdict(&options, &Method::GET, &head, secs(now))
    };
    let expired = Verdict::Unsatisfying(Miss::Expired);
    assert_eq!(verdict(&rules, NEW(), 9), Verdict::Fresh);
    assert_eq!(verdict(&rules, NEW(), 10), expired);
    assert_eq!(verdict(&rules, only(), 10), expired);

    rules.stale_if_error = within(5);
    assert_eq!(verdict(&rules, NEW(), 10), expired, "the origin has not failed");
    assert_eq!(verdict(&rules, only(), 14), Verdict::Stale(Stale::OnlyIfCached));
    assert_eq!(verdict(&rules, only(), 15), expired);

    rules.stale_while_revalidate = within(20);
    let meanwhile = Verdict::Stale(Stale::WhileRevalidate);
    assert_eq!(verdict(&rules, NEW(), 10), meanwhile);
    assert_eq!(verdict(&rules, NEW(), 29), meanwhile);
    assert_eq!(verdict(&rules, NEW(), 30), expired);
    assert_eq!(verdict(&rules, only(), 29), Verdict::Stale(Stale::OnlyIfCached));
    assert_eq!(
        verdict(&rules, NEW().no_store(true), 10),
        expired,
        "the new response could not be stored"
    );
    let reader = Rules { read_only: true, ..rules.clone() };
    assert_eq!(verdict(&reader, NEW(), 10), expired, "the new response could not be stored");

    // The request's own limit takes precedence, whether it is longer or shorter.
    let own = |limit| CacheOptions {
        stale_while_revalidate: Some(limit),
        stale_if_error: Some(StaleLimit::None),
        ..NEW()
    };
    assert_eq!(verdict(&rules, own(StaleLimit::None), 10), expired);
    assert_eq!(verdict(&rules, own(StaleLimit::None).only_if_cached(true), 10), expired);
    assert_eq!(verdict(&rules, own(StaleLimit::Unlimited), 1_000_000), meanwhile);
}

#[test]
fn a_refresh_uses_stored_responses_only_with_only_if_cached() {
    let mut rules = Rules::new(Scope::Private);
    rules.stale_while_revalidate = StaleLimit::Unlimited;
    let head = head(StatusCode::OK, &[]);
    for options in [NEW().refresh(true), NEW().force_refresh(true)] {
        for now in [9, 10] {
            let verdict = |options| rules.verdict(&options, &Method::GET, &head, secs(now));
            assert_eq!(verdict(options.clone()), Verdict::Unsatisfying(Miss::Refresh));
            assert!(!matches!(
                verdict(options.clone().only_if_cached(true)),
                Verdict::Unsatisfying(_)
            ));
        }
    }
}

#[test]
fn a_response_is_due_for_refresh_in_the_last_part_of_its_lifetime() {
    let mut rules = Rules::new(Scope::Private);
    rules.refresh_ahead = Some(0.2);
    let head = head(StatusCode::OK, &[]);
    let verdict = |options: CacheOptions, millis| {
        rules.verdict(&options, &Method::GET, &head, Timestamp::from_millis(millis))
    };
    assert_eq!(verdict(NEW(), 8_000), Verdict::Fresh);
    assert_eq!(verdict(NEW(), 8_001), Verdict::DueForRefresh);
    assert_eq!(verdict(NEW(), 9_999), Verdict::DueForRefresh);
    assert_eq!(verdict(NEW(), 10_000), Verdict::Unsatisfying(Miss::Expired));
    for options in [NEW().only_if_cached(true), NEW().no_store(true)] {
        assert_eq!(verdict(options, 9_999), Verdict::Fresh);
    }
    let forever = head.clone().with_expires_at(None);
    assert_eq!(rules.verdict(&NEW(), &Method::GET, &forever, Timestamp::MAX), Verdict::Fresh);
}

#[test]
fn stale_if_error_serves_only_responses_that_are_no_failures() {
    let mut rules = Rules::new(Scope::Private);
    let ok = head(StatusCode::OK, &[]);
    let stands_in = |rules: &Rules, options: CacheOptions, head: &Head, now| {
        rules.may_serve_if_error(&options, &Method::GET, head, secs(now))
    };
    assert!(!stands_in(&rules, NEW(), &ok, 10), "no limit allows it");
    rules.stale_if_error = within(5);
    assert!(stands_in(&rules, NEW(), &ok, 10));
    assert!(stands_in(&rules, NEW().refresh(true), &ok, 9), "fresh, but the refresh failed");
    assert!(!stands_in(&rules, NEW(), &ok, 15));
    assert!(stands_in(&rules, NEW().stale_if_error(StaleLimit::Unlimited), &ok, 15));
    assert!(!stands_in(&rules, NEW().stale_if_error(StaleLimit::None), &ok, 10));
    assert!(!stands_in(&rules, NEW().force_refresh(true), &ok, 10));
    assert!(!stands_in(&rules, NEW(), &head(StatusCode::BAD_GATEWAY, &[]), 10));
    assert!(stands_in(&rules, NEW(), &head(StatusCode::NOT_FOUND, &[]), 10));
    assert!(
        !rules.may_serve_if_error(&NEW(), &Method::POST, &ok, secs(10)),
        "stored for another method"
    );
    assert!(rules.may_serve_if_error(&NEW(), &Method::HEAD, &ok, secs(10)));

    let failures: Vec<u16> = (100..600)
        .filter(|status| rules.is_failure(StatusCode::from_u16(*status).unwrap()))
        .collect();
    assert_eq!(failures, [500, 502, 503, 504]);
}

#[test]
fn a_304_freshens_only_responses_that_may_answer_the_request() {
    let rules = Rules::new(Scope::Private);
    let may = |options: CacheOptions, method| {
        rules.may_be_freshened(&options, &method, &head(StatusCode::OK, &[]))
    };
    assert!(may(NEW(), Method::GET) && may(NEW(), Method::HEAD));
    assert!(may(NEW().refresh(true), Method::GET));
    assert!(!may(NEW().force_refresh(true), Method::GET));
    assert!(!may(NEW().refresh(true).force_refresh(true), Method::GET));
    assert!(!may(NEW(), Method::POST));
}

#[test]
fn expired_responses_stay_stored_while_they_are_usable() {
    let mut rules = Rules::new(Scope::Private);
    let keep = |rules: &Rules, options: CacheOptions, lines: &[_]| {
        rules.keep_until(&options, head(StatusCode::OK, lines).fields(), Some(secs(10)), secs(0))
    };
    let tagged = [("etag", "\"a\"")];
    assert_eq!(
        keep(&rules, NEW(), &[]),
        Some(secs(10)),
        "a response without a validator cannot be freshened"
    );
    assert_eq!(keep(&rules, NEW(), &tagged), Some(secs(3_610)));
    assert_eq!(keep(&rules, NEW(), &[("last-modified", "x")]), Some(secs(3_610)));
    assert_eq!(rules.keep_annotation_until(Some(secs(10))), Some(secs(3_610)));
    let late =
        rules.keep_until(&NEW(), head(StatusCode::OK, &tagged).fields(), Some(secs(10)), secs(50));
    assert_eq!(late, Some(secs(3_650)), "it had expired before it arrived");
    rules.keep_expired = Duration::ZERO;
    assert_eq!(keep(&rules, NEW(), &tagged), Some(secs(10)));
    rules.stale_if_error = within(5);
    assert_eq!(keep(&rules, NEW(), &[]), Some(secs(15)));
    rules.stale_while_revalidate = within(7);
    assert_eq!(keep(&rules, NEW(), &[]), Some(secs(17)));
    let longer = NEW().stale_if_error(Duration::from_secs(9));
    assert_eq!(keep(&rules, longer, &[]), Some(secs(19)));
    assert_eq!(keep(&rules, NEW().stale_if_error(StaleLimit::Unlimited), &[]), None);
    assert_eq!(rules.keep_until(&NEW(), head(StatusCode::OK, &[]).fields(), None, secs(0)), None);
    let ever = NEW().stale_if_error(Duration::MAX);
    assert_eq!(keep(&rules, ever, &[]), Some(Timestamp::MAX));
}

#[test]
fn only_a_successful_unsafe_method_that_is_not_cached_invalidates() {
    let mut rules = Rules::new(Scope::Private);
    for (method, status, expected) in [
        ("POST", 200, true),
        ("PUT", 204, true),
        ("DELETE", 303, true),
        ("FROBNICATE", 200, true),
        ("POST", 404, false),
        ("POST", 500, false),
        ("GET", 200, false),
        ("OPTIONS", 200, false),
        ("CONNECT", 200, false),
        ("PROPFIND", 207, false),
    ] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let status = StatusCode::from_u16(status).unwrap();
        assert_eq!(rules.invalidates(&method, status), expected, "{method} {status}");
    }
    rules.methods.push(Method::POST);
    assert!(!rules.invalidates(&Method::POST, StatusCode::OK));
}

/// If several reasons apply, users see the first in this order. Each row removes the reason before
/// it.
#[test]
fn the_order_of_the_reasons_is_fixed() {
    let storable = |rules: &Rules, options: &CacheOptions, status: u16, lines: &[(&str, &str)]| {
        let request = Request::get("http://a/").body(()).unwrap().into_parts().0;
        let mut response = http::Response::builder().status(status);
        for (name, value) in lines {
            response = response.header(*name, *value);
        }
        let response = response.body(()).unwrap().into_parts().0;
        let (requested_at, now) = (Timestamp::MIN, Timestamp::MIN);
        let response = ResponseHead::new(response, now);
        let (request, response, url) = (&request, &response, "http://a/");
        rules.storable(&Exchange { options, url, request, response, requested_at, now }).map(drop)
    };
    let mut rules = Rules::new(Scope::Shared);
    rules.store_if = Some(Arc::new(|_, _| false));
    rules.read_only = true;
    let stream = [("content-type", "text/event-stream"), ("set-cookie", "a=1")];
    let no_store = NEW().no_store(true);
    assert_eq!(storable(&rules, &no_store, 404, &stream), Err(Refusal::ReadOnly));
    rules.read_only = false;
    assert_eq!(storable(&rules, &no_store, 404, &stream), Err(Refusal::SetCookie));
    assert_eq!(storable(&rules, &no_store, 404, &[]), Err(Refusal::NoStore));
    assert_eq!(storable(&rules, &NEW(), 404, &stream), Err(Refusal::Status));
    assert_eq!(storable(&rules, &NEW(), 200, &stream), Err(Refusal::EventStream));
    assert_eq!(storable(&rules, &NEW(), 200, &stream[1..]), Err(Refusal::Predicate));
    rules.store_if = None;
    assert_eq!(storable(&rules, &NEW(), 200, &stream[1..]), Err(Refusal::SetCookie));
    assert_eq!(storable(&rules, &NEW(), 200, &[]), Err(Refusal::NoExpiration));
    let never = NEW().expire_after(Expiration::DoNotStore);
    assert_eq!(storable(&rules, &never, 200, &[]), Err(Refusal::Expiration));
    rules.use_http();
    rules.store_if = Some(Arc::new(|_, _| false));
    assert_eq!(storable(&rules, &NEW(), 404, &stream[1..]), Err(Refusal::Predicate));
    assert_eq!(storable(&rules, &no_store, 404, &stream[1..]), Err(Refusal::SetCookie));
}
