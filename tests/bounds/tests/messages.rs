//! The messages of the compiler, each for one mistake. They are the ones that
//! `larder::guide::troubleshooting` explains.

#![allow(missing_docs)]

use std::process::Command;

/// The compiler's output for the library with this mistake.
fn said(mistake: &str) -> (bool, String) {
    let output = Command::new(env!("CARGO"))
        .args(["rustc", "--quiet", "--color=never", "--lib", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .args(["--", "--cfg"])
        .arg(format!("mistake=\"{mistake}\""))
        .output()
        .expect("cargo runs");
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn says(mistake: &str, expected: &[&str]) {
    let (is_compiled, said) = said(mistake);
    assert!(!is_compiled, "{mistake} compiles");
    for expected in expected {
        assert!(said.contains(expected), "{mistake}: {expected:?} is not in\n{said}");
    }
}

/// Without a mistake, the library compiles. This is a single test, because cargo builds one after
/// the other.
#[test]
fn compiler_names_the_bound_and_the_fix() {
    let (is_compiled, said) = said("none");
    assert!(is_compiled, "{said}");

    let inner = "cannot be the inner service of this cache";
    let takes = "it must be `Clone` and take `http::Request<larder::RequestBody<B>>`";
    says(
        "no_map_request",
        &[
            "`HttpClientService<Client>` cannot be the inner service of this cache",
            takes,
            "put a `map_request` between the cache and it",
            "`Service<http::Request<reqwest::Body>>` is implemented for it",
        ],
    );
    says("bare_client", &["`Client` cannot be the inner service of this cache", takes]);
    says("fixed_body", &[inner, takes, "put a `map_request` between the cache and it"]);
    says(
        "not_clone",
        &[inner, "the trait `Clone` is not implemented", "put a `tower::buffer::BufferLayer`"],
    );
    says(
        "no_store",
        &[
            "is not a store for a cache",
            "opening a store returns a `Result`",
            "`larder::store::AnyStore`",
        ],
    );
}
