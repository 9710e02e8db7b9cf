//! The page `guide::troubleshooting` has the text of every error.

use std::time::Duration;

use http::{Method, StatusCode};
use larder::{
    BodyErrorKind, CacheLayer, ConfigError, Filter,
    status::{RefreshError, Refusal},
    store::{ErrorKind, Memory, Timeout},
};

const PAGE: &str = include_str!("../../src/guide/troubleshooting.rs");

/// The first cells of the table under a heading.
fn first_cells(heading: &str) -> Vec<&'static str> {
    let (_, section) = PAGE.split_once(&format!("//! # {heading}\n")).expect("the heading");
    let section = section.split("//! # ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("//! | `"));
    rows.map(|row| row.split('`').next().unwrap()).collect()
}

/// The errors of all settings that can be invalid, one for each way.
fn config_errors() -> Vec<ConfigError> {
    let layer = || CacheLayer::private(Memory::default());
    let hour = Duration::from_secs(3600);
    let status = |status| StatusCode::from_u16(status).unwrap();
    let mut errors: Vec<Option<ConfigError>> = Vec::new();
    for pattern in ["https://a/", "", "a/?b=c", "a/[", "a/{b", "a/b**", r"a.com/\", "/{a,**}"] {
        errors.push(layer().expire_urls([(pattern, hour)]).err());
        errors.push(layer().add_expire_url(pattern, hour).err());
        errors.push(Filter::new().url(pattern).err());
    }
    for url in ["", "example.com", "http://"] {
        errors.push(Filter::new().exact_url(url).err());
    }
    for name in ["", "accept:", "a b"] {
        errors.push(layer().add_key_headers([name]).err());
        errors.push(layer().add_ignored_headers([name]).err());
        errors.push(layer().add_tag_headers([name]).err());
        errors.push(layer().targeted_by([name]).err());
    }
    for pattern in ["", "["] {
        errors.push(layer().add_ignored_parameters([pattern]).err());
    }
    for field in ["", "a/b", "/~2"] {
        errors.push(layer().add_ignored_request_body_fields([field]).err());
    }
    errors.push(layer().methods([]).err());
    errors.push(layer().methods([Method::CONNECT]).err());
    errors.push(layer().statuses([] as [StatusCode; 0]).err());
    for refused in [100, 206, 304] {
        errors.push(layer().statuses([status(refused)]).err());
        errors.push(layer().expire_statuses([(status(refused), hour)]).err());
    }
    errors.push(layer().statuses([99]).err());
    errors.push(layer().expire_statuses([(1000, hour)]).err());
    errors.push(layer().error_statuses([0]).err());
    // There is no runtime here.
    errors.push(layer().entries().sweep_every(hour).err());
    errors.push(layer().entries().sweep_every(Duration::ZERO).err());
    errors.push(layer().error_statuses([] as [StatusCode; 0]).err());
    for refused in [100, 200, 304] {
        errors.push(layer().error_statuses([status(refused)]).err());
    }
    errors.push(layer().coalesce_wait(Duration::ZERO).err());
    errors.push(layer().refresh_timeout(Duration::ZERO).err());
    errors.push(Timeout::new(Memory::default(), Duration::ZERO).err());
    for fraction in [0.0, 1.0, -1.0, f64::NAN] {
        errors.push(layer().refresh_ahead(fraction).err());
    }
    errors.push(layer().named("").err());
    for name in ["", "\n"] {
        errors.push(layer().cache_status_header(name).err());
    }
    errors.push(layer().grpc([] as [&str; 0]).err());
    for method in ["a.B/C", "/a.B", "/a.B/", "/["] {
        errors.push(layer().grpc([method]).err());
    }
    #[cfg(feature = "compression")]
    errors.push(larder::store::Compressed::new(Memory::default()).level(1000).err());
    errors.into_iter().map(|error| error.expect("the setting is invalid")).collect()
}

#[test]
fn the_page_has_the_text_of_every_config_error() {
    let texts = first_cells("Errors of settings");
    let errors: Vec<String> = config_errors().iter().map(ToString::to_string).collect();
    for error in &errors {
        assert!(texts.iter().any(|text| error.contains(text)), "no text for: {error}");
    }
    for text in texts {
        let is_there = errors.iter().any(|error| error.contains(text));
        let needs_compression = text == "is out of range" && cfg!(not(feature = "compression"));
        assert!(is_there || needs_compression, "no error says: {text}");
    }
}

/// The names of the variants of an enum, as its source declares them.
fn variants(source: &'static str, name: &str) -> Vec<&'static str> {
    let (_, code) = source.split_once(&format!("pub enum {name} {{\n")).expect("the enum");
    let code = code.split("\n}\n").next().unwrap();
    let lines = code.lines().map(str::trim_start).filter(|line| !line.starts_with("//"));
    lines.map(|line| line.split(['(', ',']).next().unwrap()).collect()
}

#[test]
fn the_page_has_every_kind_of_error() {
    let kinds = variants(include_str!("../../src/store/error.rs"), "ErrorKind");
    assert!(kinds.contains(&format!("{:?}", ErrorKind::Other).as_str()));
    assert_eq!(first_cells("Errors of stores"), kinds);
    let kinds = variants(include_str!("../../src/cache/error.rs"), "BodyErrorKind");
    assert!(kinds.contains(&format!("{:?}", BodyErrorKind::Lagged).as_str()));
    assert_eq!(first_cells("Errors of bodies"), kinds);
}

#[test]
fn the_page_has_every_text_of_a_failed_refresh() {
    let errors = [
        RefreshError::Call,
        RefreshError::Status(StatusCode::SERVICE_UNAVAILABLE),
        RefreshError::GrpcStatus(14),
        RefreshError::Body,
        RefreshError::TimedOut,
        RefreshError::Panicked,
        RefreshError::NotStored(Refusal::Length),
    ];
    let declared = variants(include_str!("../../src/status/failure.rs"), "RefreshError");
    assert_eq!(errors.len(), declared.len(), "{declared:?}");
    let texts = errors.map(|error| error.to_string().replace("(length)", "(...)"));
    assert_eq!(first_cells("Refreshes that failed"), texts);
}
