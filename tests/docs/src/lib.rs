//! Compares the documentation with the examples.
//!
//! A snippet that larder's own doc tests do not compile must be part of an example's source, so
//! that it compiles and runs there. Such snippets are all Rust blocks of `README.md`, and those in
//! `src/` that are marked `ignore` because they need crates that larder does not depend on.

#![cfg(test)]
#![allow(clippy::unwrap_used)]

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

/// A block of code in the documentation.
struct Block {
    file: PathBuf,
    line: usize,
    info: String,
    code: Vec<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// All files under `folder` with the extension `rs`.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The text of a line of a doc comment. If `is_markdown`, other lines are returned unchanged.
fn documentation(line: &str, is_markdown: bool) -> Option<&str> {
    if is_markdown {
        return Some(line);
    }
    let line = line.trim_start();
    line.strip_prefix("//!").or_else(|| line.strip_prefix("///"))
}

fn blocks(file: &Path) -> Vec<Block> {
    let is_markdown = file.extension().is_some_and(|extension| extension == "md");
    let text = fs::read_to_string(file).unwrap();
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (index, line) in text.lines().enumerate() {
        let Some(line) = documentation(line, is_markdown) else { continue };
        match (line.trim_start().strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(info), None) => {
                let (info, code) = (info.to_owned(), Vec::new());
                open = Some(Block { file: file.to_owned(), line: index + 1, info, code });
            }
            (None, Some(block)) => block.code.push(line.to_owned()),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{}: a block of code has no end", file.display());
    blocks
}

/// Removes the indentation that all lines have.
fn unindented<S: AsRef<str>>(lines: &[S]) -> Vec<&str> {
    let lines = lines.iter().map(|line| line.as_ref().trim_end());
    let indentation = |line: &str| line.len() - line.trim_start().len();
    let filled = lines.clone().filter(|line| !line.is_empty());
    let common = filled.map(indentation).min().unwrap_or(0);
    lines.map(|line| line.get(common..).unwrap_or("")).collect()
}

/// The closest match of a block: the number of equal lines, and the line that differs.
#[derive(Default)]
struct Closest {
    same: usize,
    place: String,
    found: String,
}

/// Whether `source` contains `code`. If not, `closest` may change to a place in `source`.
fn find(code: &[&str], file: &Path, source: &[&str], closest: &mut Closest) -> bool {
    for start in 0..source.len() {
        // At the end of a file, the remaining lines are compared.
        let region = &source[start..source.len().min(start + code.len())];
        let region = unindented(region);
        let same = code.iter().zip(&region).take_while(|(ours, theirs)| ours == theirs).count();
        if same == code.len() {
            return true;
        }
        if same > closest.same {
            let place = format!("{}:{}", file.display(), start + same + 1);
            let found = region.get(same).copied().unwrap_or("(the end of the file)").to_owned();
            *closest = Closest { same, place, found };
        }
    }
    false
}

/// The blocks that are in no example, each with its closest match.
fn missing(blocks: &[Block]) -> String {
    let root = root();
    let sources: Vec<_> = rust_files(&root.join("examples"))
        .into_iter()
        .map(|file| (fs::read_to_string(&file).unwrap(), file))
        .collect();
    let mut report = String::new();
    for block in blocks {
        let code = unindented(&block.code);
        let filled = code.iter().filter(|line| !line.trim().is_empty()).count();
        assert!(filled > 1, "{}:{}: the block is empty", block.file.display(), block.line);
        let mut closest = Closest::default();
        let is_found = sources.iter().any(|(text, file)| {
            let lines: Vec<_> = text.lines().collect();
            find(&code, file.strip_prefix(&root).unwrap(), &lines, &mut closest)
        });
        if is_found {
            continue;
        }
        let file = block.file.strip_prefix(&root).unwrap().display();
        writeln!(report, "\n{file}:{} is in no example:\n", block.line).unwrap();
        for line in &code {
            writeln!(report, "    {line}").unwrap();
        }
        if closest.same > 0 {
            writeln!(report, "\nThe closest code is at {}.", closest.place).unwrap();
            writeln!(report, "  documentation: {}", code[closest.same]).unwrap();
            writeln!(report, "  example:       {}", closest.found).unwrap();
        }
    }
    report
}

#[test]
fn readme_snippets_are_regions_of_examples() {
    let mut blocks = blocks(&root().join("README.md"));
    // Every block names its language. Blocks in other languages are commands, queries and output.
    let others = ["sh", "js", "toml", "text"];
    blocks.retain(|block| !others.contains(&&*block.info));
    assert!(blocks.len() > 5, "the README has {} blocks of Rust", blocks.len());
    let report = missing(&blocks);
    assert!(report.is_empty(), "{report}");
}

#[test]
fn ignored_snippets_in_the_sources_are_regions_of_examples() {
    let files = rust_files(&root().join("src"));
    let mut blocks: Vec<_> = files.iter().flat_map(|file| blocks(file)).collect();
    blocks.retain(|block| block.info.contains("ignore"));
    assert!(blocks.len() > 5, "the sources have {} ignored blocks", blocks.len());
    let report = missing(&blocks);
    assert!(report.is_empty(), "{report}");
}

/// The paths and packages in the documentation, such as `examples/gateway` and `cargo run -p
/// gateway`.
#[test]
fn examples_named_in_the_documentation_exist() {
    let root = root();
    let mut files = rust_files(&root.join("src"));
    files.extend(rust_files(&root.join("examples")));
    files.extend(["README.md", "CHANGELOG.md", "examples/README.md"].map(|name| root.join(name)));
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let commands = text.lines().filter(|line| line.contains("cargo run"));
        let packages = commands.filter_map(|line| line.split_once(" -p ")).map(|(_, rest)| rest);
        let paths = text.match_indices("examples/").map(|(at, path)| &text[at + path.len()..]);
        for rest in packages.chain(paths) {
            let name = rest.split(|c| !is_name(c)).next().unwrap().trim_end_matches('.');
            let path = root.join("examples").join(name);
            assert!(path.exists(), "{}: examples/{name} does not exist", file.display());
        }
        for gone in ["--example", "feature `tokio`", "feature = \"tokio\""] {
            assert!(!text.contains(gone), "{}: {gone} is gone", file.display());
        }
    }
}
