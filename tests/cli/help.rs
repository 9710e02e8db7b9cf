//! Help, completions and man pages.

use crate::support::run;

const COMMANDS: [&str; 11] = [
    "ls",
    "show",
    "stats",
    "rm",
    "sweep",
    "copy",
    "export",
    "import",
    "check",
    "completions",
    "man",
];

#[test]
fn the_help_of_every_command_has_examples() {
    let ran = run(["--help"]);
    assert_eq!((ran.code, &*ran.err), (0, ""));
    assert!(ran.out.contains("Exit codes:\n  0    done\n"), "{}", ran.out);
    for command in COMMANDS {
        assert!(ran.out.contains(&format!("\n  {command} ")), "{command}");
        let ran = run([command, "--help"]);
        assert_eq!(ran.code, 0);
        assert!(ran.out.contains("\nExamples:\n  larder "), "{}", ran.out);
        assert!(ran.out.lines().all(|line| line.chars().count() <= 100), "{}", ran.out);
    }
    assert_eq!(run(["none"]).code, 2);
    assert_eq!(run([""; 0]).code, 2);
    assert_eq!(run(["--version"]).out, format!("larder {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn there_are_completions_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let ran = run(["completions", shell]);
        assert_eq!(ran.code, 0);
        for command in COMMANDS {
            assert!(ran.out.contains(command), "{shell}: {command}");
        }
    }
}

#[test]
fn there_is_a_man_page_for_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let ran = run(["man", "--dir", folder.path().to_str().unwrap()]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    for command in COMMANDS {
        let page = folder.path().join(format!("larder-{command}.1"));
        let page = std::fs::read_to_string(page).unwrap();
        assert!(page.contains("Examples:"), "{command}");
        assert_eq!(run(["man", command]).out, page);
    }
    let page = std::fs::read_to_string(folder.path().join("larder.1")).unwrap();
    assert!(page.contains("Exit codes:"), "{page}");
    assert_eq!(run(["man"]).out, page);
    assert_eq!(run(["man", "none"]).code, 1);
}
