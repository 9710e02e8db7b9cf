//! An invalid setting is refused when it is given, with a message that says what to write instead.

use http::{Method, StatusCode};
use larder::{CacheLayer, ConfigError, Expiration, Filter, Stored, status::Refusal, store::Memory};

use crate::support::{Double, Stand, line, status};

fn layer() -> CacheLayer<Memory> {
    CacheLayer::private(Memory::default())
}

/// Asserts that the setting was refused by its name, with a message that contains all `parts`.
#[track_caller]
fn refused<T>(result: Result<T, ConfigError>, setting: &str, parts: &[&str]) {
    let Err(error) = result else { panic!("{setting} accepted an invalid value") };
    let message = error.to_string();
    assert_eq!(error.setting(), setting);
    assert!(message.starts_with(&format!("{setting}: ")), "{message}");
    for part in parts {
        assert!(message.contains(part), "{message:?} does not say {part:?}");
    }
}

#[test]
fn methods_that_cannot_be_cached_are_refused() {
    refused(layer().methods([]), "methods", &["name at least one", "set_enabled(false)"]);
    let connect = [Method::GET, Method::CONNECT];
    refused(layer().methods(connect), "methods", &["CONNECT", "leave it out"]);
    assert!(layer().methods([Method::POST]).is_ok());
}

#[test]
fn statuses_that_cannot_be_replayed_are_refused() {
    refused(layer().statuses([0_u16; 0]), "statuses", &["name at least one", "read_only(true)"]);
    for (status, why) in [
        (StatusCode::PARTIAL_CONTENT, "206 is not a whole response"),
        (StatusCode::NOT_MODIFIED, "304 is not a whole response"),
        (StatusCode::CONTINUE, "100 is not a final status"),
        (StatusCode::SWITCHING_PROTOCOLS, "101 is not a final status"),
    ] {
        refused(layer().statuses([StatusCode::OK, status]), "statuses", &[why]);
        refused(layer().expire_statuses([(status, Expiration::Never)]), "expire_statuses", &[why]);
    }
    assert!(layer().statuses([StatusCode::NOT_FOUND]).is_ok());
    assert!(
        layer().expire_statuses([(StatusCode::from_u16(599).unwrap(), Expiration::Never)]).is_ok()
    );
}

#[tokio::test]
async fn later_setters_replace_and_add_setters_add() {
    let stand = Stand::new(Double::new(|request, _| {
        let answer = status(if request.uri().path() == "/missing" { 404 } else { 410 });
        line(line(answer, "cache-tag", "one"), "surrogate-key", "other")
    }));
    let stand = stand.with(|layer| {
        layer
            .expire_statuses([(StatusCode::NOT_FOUND, Expiration::Never)])
            .and_then(|layer| layer.expire_statuses([(StatusCode::GONE, Expiration::Never)]))
            .and_then(|layer| layer.add_tag_headers(["cache-tag"]))
            .and_then(|layer| layer.add_tag_headers(["surrogate-key"]))
            .unwrap()
    });
    assert_eq!(stand.get("/missing").await.stored(), Stored::No(Refusal::Status));
    for tag in ["one", "other"] {
        assert_eq!(stand.get("/gone").await.stored(), Stored::Yes);
        assert_eq!(stand.layer.entries().remove_tag(tag).await.unwrap(), 1, "{tag}");
    }
}

#[test]
fn invalid_header_names_are_refused() {
    refused(layer().add_key_headers(["accept", "no name"]), "add_key_headers", &["\"no name\""]);
    refused(layer().add_key_headers([""]), "add_key_headers", &["\"\""]);
    refused(layer().add_ignored_headers(["ä"]), "add_ignored_headers", &["\"ä\""]);
    refused(
        layer().add_tag_headers(["cache-tag", "cache tag"]),
        "add_tag_headers",
        &["\"cache tag\""],
    );
    assert!(layer().add_key_headers([String::from("X-Any-Case")]).is_ok());
}

#[test]
fn invalid_parameter_patterns_are_refused() {
    refused(layer().add_ignored_parameters([""]), "add_ignored_parameters", &["is empty", "\"*\""]);
    refused(
        layer().add_ignored_parameters(["utm_*", "a[z"]),
        "add_ignored_parameters",
        &["\"a[z\"", "not a valid glob"],
    );
    assert!(layer().add_ignored_parameters(["utm_*", "{a,b}", "*"]).is_ok());
}

#[test]
fn invalid_url_patterns_are_refused() {
    let never = Expiration::Never;
    let of =
        |pattern: &'static str| layer().expire_urls([("fine.example", never), (pattern, never)]);
    refused(of(""), "expire_urls", &["is empty", "\"**\""]);
    refused(of("https://a.example/**"), "expire_urls", &["has a scheme", "write \"a.example/**\""]);
    refused(of("a.example/[z"), "expire_urls", &["\"a.example/[z\"", "not a valid glob"]);
    refused(Filter::new().url(""), "url", &["\"**\""]);
    refused(Filter::new().url("http://a"), "url", &["write \"a\""]);
    assert!(of("/static/**").is_ok());
}

#[test]
fn invalid_cache_names_are_refused() {
    for name in ["", "café", "a\nb", "\u{7f}"] {
        refused(layer().cache_status_header(name), "cache_status_header", &["such as \"larder\""]);
    }
    assert!(layer().cache_status_header("any \"printable\" name").is_ok());
}

#[test]
fn error_statuses_that_are_not_failures_are_refused() {
    refused(
        layer().error_statuses([0_u16; 0]),
        "error_statuses",
        &["name at least one", "stale_if_error"],
    );
    for status in [100, 200, 206, 299, 304] {
        let statuses = [StatusCode::BAD_GATEWAY, StatusCode::from_u16(status).unwrap()];
        let why = format!("{status} is not a failure");
        refused(layer().error_statuses(statuses), "error_statuses", &[&why, "leave it out"]);
    }
    let others = [302, 404, 429, 500, 599].map(|status| StatusCode::from_u16(status).unwrap());
    assert!(layer().error_statuses(others).is_ok());
}

#[test]
fn zero_times_and_meaningless_fractions_are_refused() {
    use std::time::Duration;

    refused(layer().coalesce_wait(Duration::ZERO), "coalesce_wait", &["coalesce(false)"]);
    refused(layer().refresh_timeout(Duration::ZERO), "refresh_timeout", &["such as 30 s"]);
    for fraction in [0.0, -0.0, 1.0, -0.2, 1.5, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        refused(layer().refresh_ahead(fraction), "refresh_ahead", &["such as 0.2"]);
    }
    assert!(layer().refresh_ahead(0.2).is_ok() && layer().refresh_ahead(f64::MIN_POSITIVE).is_ok());
    let nanosecond = Duration::from_nanos(1);
    assert!(
        layer().coalesce_wait(nanosecond).is_ok() && layer().refresh_timeout(nanosecond).is_ok()
    );
}

#[test]
fn refused_setting_does_not_change_the_others() {
    let before = layer().max_body(7);
    let after = before.clone();
    assert!(after.clone().methods([]).is_err());
    assert_eq!(format!("{before:?}"), format!("{after:?}"));
}

#[test]
fn settings_on_a_clone_do_not_change_the_original() {
    let one = layer();
    let other = one.clone().max_body(7);
    assert!(format!("{other:?}").contains("max_body: 7"));
    assert!(!format!("{one:?}").contains("max_body: 7"));
}

#[test]
fn debug_shows_the_settings_and_never_the_secret() {
    let shown = format!("{:?}", layer().key_secret([0x5e; 32]).store_if(|_, _| true));
    assert!(shown.contains("secret: true") && shown.contains("store_if: true"), "{shown}");
    assert!(!shown.contains("94, 94"), "{shown}");
}
