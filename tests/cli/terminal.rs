//! Output to a terminal and to a closed pipe, and Ctrl-C.

use std::{
    io::Read,
    process::{Command, Stdio},
};

use crate::support::{Cache, HOUR, in_terminal, in_terminal_while, larder, writer};

fn with_long_urls() -> Cache {
    let cache = Cache::new("redb");
    let long = format!("/news/{}/the-end", "a".repeat(200));
    cache.fill(HOUR / 2, &[&long, "/old/1"]);
    cache
}

#[test]
fn lines_fit_into_the_terminal() {
    let cache = with_long_urls();
    for columns in [80, 200] {
        for command in ["ls", "stats"] {
            let ran = in_terminal(columns, "", &[command, &cache.arg()]);
            assert_eq!(ran.code, 0, "{ran:?}");
            let widths: Vec<_> = ran.out.lines().map(|line| line.chars().count()).collect();
            assert!(widths.iter().all(|&width| width <= usize::from(columns)), "{}", ran.out);
            let is_full = widths.iter().any(|&width| width == usize::from(columns));
            assert!(command == "stats" || is_full, "{}", ran.out);
            assert!(!ran.out.contains('\x1b'), "no colours: {}", ran.out);
        }
        let ran = in_terminal(columns, "", &["ls", &cache.arg()]);
        assert!(ran.out.contains("…") && ran.out.contains("aa/the-end\n"), "{}", ran.out);
    }
    let ran = cache.run("ls", &[]);
    assert!(ran.out.contains(&"a".repeat(200)), "not cut, because this is not a terminal");
}

#[test]
fn columns_and_an_ascii_locale_are_honoured() {
    let cache = with_long_urls();
    let line = format!("COLUMNS=60 LC_ALL=C {} ls {}", env!("CARGO_BIN_EXE_larder"), cache.arg());
    let output = Command::new("script").args(["-qec", &line, "/dev/null"]).output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(out.lines().all(|line| line.len() <= 60), "{out}");
    assert!(out.contains("...") && out.is_ascii(), "{out}");
}

#[test]
fn the_question_is_answered_on_the_terminal() {
    for cache in Cache::filled() {
        let args = ["rm", &cache.arg(), "--expired"];
        for no in ["n\n", "\n", "what\n"] {
            let ran = in_terminal(80, no, &args);
            assert_eq!(ran.code, 1, "{ran:?}");
            assert!(ran.out.contains("Remove 2 entries (12 B)? [y/N]"), "{}", ran.out);
            assert!(ran.out.contains("nothing was removed"), "{}", ran.out);
        }
        assert_eq!(cache.urls().len(), 7);
        // Ctrl-C.
        assert_eq!(in_terminal(80, "\x03", &args).code, 130);
        assert_eq!(cache.urls().len(), 7, "the file is closed and whole");
        let ran = in_terminal(80, "y\n", &args);
        assert!(ran.out.ends_with("removed 2 entries\n"), "{}", ran.out);
        assert_eq!(cache.urls().len(), 5);
    }
}

#[test]
fn entry_stored_during_the_question_is_not_removed() {
    let cache = Cache::new("sqlite");
    cache.fill(HOUR / 2, &["/news/1", "/news/2"]);
    let args = ["rm", &cache.arg(), "--url", "example.com/news/**"];
    let ran = in_terminal_while(80, "y\n", &args, || cache.fill(HOUR / 2, &["/news/3"]));
    assert!(ran.out.ends_with("removed 2 entries\n"), "{}", ran.out);
    assert_eq!(cache.urls(), ["/news/3"]);
}

#[test]
fn stored_control_characters_never_reach_the_terminal() {
    for cache in Cache::filled() {
        for args in [
            &["show", &cache.arg(), "http://example.com/hello"][..],
            &["show", &cache.arg(), "http://example.com/hello", "--raw"],
            &["show", &cache.arg(), "http://example.com/hello", "--body"],
            &["show", &cache.arg(), "http://example.com/hello", "--json"],
            &["show", &cache.arg(), "http://example.com/logo.png", "--body"],
        ] {
            let ran = in_terminal(80, "", args);
            let is_safe = |character: char| !character.is_control() || character == '\n';
            assert_eq!(ran.code, 0, "{ran:?}");
            assert!(ran.out.chars().all(is_safe), "{:?}", ran.out);
            assert!(!ran.out.is_empty());
        }
    }
}

#[test]
fn a_closed_pipe_ends_the_command_quietly() {
    let cache = Cache::new("redb");
    cache.fill(HOUR / 2, &["/large"]);
    for args in [
        &["show", &cache.arg(), "http://example.com/large", "--body"][..],
        &["export", &cache.arg(), "-"],
    ] {
        let mut child = larder(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut out = child.stdout.take().unwrap();
        out.read_exact(&mut [0]).unwrap();
        drop(out);
        let output = child.wait_with_output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*err), (Some(0), ""), "{args:?}");
    }
}

/// A signal ends a writing command in an orderly way: it closes the file, and finished work stays.
#[test]
fn an_interrupted_import_leaves_the_file_whole() {
    let cache = Cache::new("redb");
    cache.fill(HOUR / 2, &["/news/1"]);
    for (signal, code) in [("-INT", 130), ("-TERM", 143), ("-HUP", 129)] {
        let child = writer(&cache);
        let pid = child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{signal}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "larder: interrupted\n");
        assert_eq!(cache.urls(), ["/news/1"]);
    }
}

#[test]
fn an_output_that_cannot_be_written_is_an_error() {
    let cache = Cache::filled().next().unwrap();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = larder(["ls", &cache.arg()]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(err.starts_with("larder: standard output: No space left"), "{err}");
}
