//! Stores that a layer has filled, and runs of the command.

use std::{
    convert::Infallible,
    ffi::OsStr,
    io::{Read, Write},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use larder::{
    CacheLayer, CacheOptions, Filter,
    store::{AnyStore, Redb, Sqlite, Store},
    time::{Clock, ManualClock, SystemClock, Timestamp},
};
use serde_json::Value;
use tempfile::TempDir;
use tower::{Layer, ServiceExt};

pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const JSON: &str = r#"{"users":[{"id":1,"name":"Böb"}],"next":null}"#;
pub(crate) const HOSTILE: &str = "<h1>hello</h1>\n\x1b]0;title\x07\n";

/// A folder with a store in a file.
pub(crate) struct Cache {
    pub(crate) folder: TempDir,
    kind: &'static str,
}

impl Cache {
    /// An empty store, whose file does not exist yet.
    pub(crate) fn new(kind: &'static str) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), kind }
    }

    /// Both kinds of files, with the responses of [`origin`]. Two were stored three hours ago and
    /// expired after an hour. The others were stored a minute ago.
    pub(crate) fn filled() -> impl Iterator<Item = Self> {
        ["redb", "sqlite"].into_iter().map(|kind| {
            let cache = Self::new(kind);
            cache.fill(HOUR * 3, &["/old/1", "/old/2"]);
            let urls =
                ["/users?page=2&sort=name", "/hello", "/logo.png", "/news/1", "/news/2?q=%1b[2J"];
            cache.fill(Duration::from_secs(60), &urls);
            cache
        })
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("cache.file")
    }

    pub(crate) fn store(&self) -> AnyStore {
        match self.kind {
            "redb" => AnyStore::new(Redb::open(self.path()).unwrap()),
            #[cfg(feature = "files")]
            "files" => AnyStore::new(larder::store::Files::open(self.path()).unwrap()),
            _ => AnyStore::new(Sqlite::open(self.path()).unwrap()),
        }
    }

    /// The STORE argument.
    pub(crate) fn arg(&self) -> String {
        format!("{}:{}", self.kind, self.path().display())
    }

    /// Requests these paths of `http://example.com` this long ago.
    pub(crate) fn fill(&self, ago: Duration, paths: &[&str]) {
        self.fill_into(self.store(), ago, paths);
    }

    /// The same through a wrapper of the store.
    pub(crate) fn fill_into<S: Store>(&self, store: S, ago: Duration, paths: &[&str]) {
        let now = SystemClock.now().as_millis() - u64::try_from(ago.as_millis()).unwrap();
        let clock = ManualClock::new(Timestamp::from_millis(now));
        let layer = CacheLayer::private(store).expire_after(HOUR).clock(clock);
        block_on(async {
            for path in paths {
                // The language of the request follows a blank.
                let (path, language) = path.split_once(' ').unwrap_or((path, ""));
                let request = Request::get(format!("http://example.com{path}"))
                    .header("accept-language", language)
                    .extension(CacheOptions::new().add_tag(tag(path)))
                    .body(Full::<Bytes>::default())
                    .unwrap();
                let response =
                    layer.layer(tower::service_fn(origin)).oneshot(request).await.unwrap();
                response.into_body().collect().await.unwrap();
            }
        });
    }

    /// The URLs that are stored.
    pub(crate) fn urls(&self) -> Vec<String> {
        let mut urls: Vec<String> = self
            .json(&["ls"], &[])
            .iter()
            .map(|entry| entry["url"].as_str().unwrap().replace("http://example.com", ""))
            .collect();
        urls.sort();
        urls
    }

    /// The key of the entry for this path.
    pub(crate) fn key(&self, path: &str) -> String {
        let url = format!("http://example.com{path}");
        self.json(&["ls"], &[&url])[0]["key"].as_str().unwrap().to_owned()
    }

    /// Runs a command over the store.
    pub(crate) fn run(&self, command: &str, args: &[&str]) -> Ran {
        run([command, &self.arg()].into_iter().chain(args.iter().copied()))
    }

    /// Runs a command with `--json`, and returns the objects.
    pub(crate) fn json(&self, command: &[&str], args: &[&str]) -> Vec<Value> {
        let arg = self.arg();
        let all = command.iter().copied().chain([arg.as_str()]).chain(args.iter().copied());
        let ran = run(all.chain(["--json"]));
        ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The number of entries by the layer's own filter, for comparison.
    pub(crate) fn count(&self, filter: &Filter) -> u64 {
        let entries = CacheLayer::private(self.store()).entries();
        block_on(entries.remove_where(filter, |_| {})).unwrap()
    }
}

fn tag(path: &str) -> &str {
    path.split('/').nth(1).unwrap_or_default()
}

/// Answers by path.
pub(crate) async fn origin<B>(request: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (kind, body): (&str, Vec<u8>) = match request.uri().path() {
        "/users" => ("application/json", JSON.into()),
        "/hello" => ("text/html; charset=utf-8", HOSTILE.into()),
        "/logo.png" => ("image/png", [&b"\x89PNG\r\n\x1a\n\0"[..], &[7; 5000]].concat()),
        "/large" => ("application/octet-stream", vec![0xee; 1 << 20]),
        path => ("text/plain", path.into()),
    };
    let mut response = Response::builder().header("content-type", kind);
    if request.uri().path() == "/varied" {
        response = response.header("vary", "accept-language");
    }
    let response = response
        .header("set-cookie", "sid=s3cret; HttpOnly")
        .header("x-note", http::HeaderValue::from_bytes(b"caf\xe9 \xc2\x9b31m").unwrap());
    Ok(response.body(Full::from(body)).unwrap())
}

/// The output of a run, and its exit code.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) bytes: Vec<u8>,
}

/// Runs the command without a terminal.
pub(crate) fn run<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Ran {
    finish(larder(args).stdin(Stdio::null()))
}

/// Runs the command with this standard input.
pub(crate) fn run_with(input: &[u8], args: &[&str]) -> Ran {
    let mut child = larder(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    ran(child.wait_with_output().unwrap())
}

pub(crate) fn larder<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_larder"));
    command.args(args).env("LC_ALL", "C.UTF-8").env_remove("COLUMNS");
    command
}

pub(crate) fn finish(command: &mut Command) -> Ran {
    ran(command.output().unwrap())
}

fn ran(output: std::process::Output) -> Ran {
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
        bytes: output.stdout,
    }
}

/// Runs the command in a terminal with this number of columns, which `script` provides. Answers its
/// question with `input`.
pub(crate) fn in_terminal(columns: u16, input: &str, args: &[&str]) -> Ran {
    in_terminal_while(columns, input, args, || {})
}

/// The same, but calls `meanwhile` before the answer.
pub(crate) fn in_terminal_while(
    columns: u16,
    input: &str,
    args: &[&str],
    meanwhile: impl Fn(),
) -> Ran {
    let quoted = |arg: &&str| format!("'{}'", arg.replace('\'', r"'\''"));
    let args: Vec<_> = args.iter().map(quoted).collect();
    let line = format!(
        "stty -echo rows 30 cols {columns}; {} {}",
        env!("CARGO_BIN_EXE_larder"),
        args.join(" ")
    );
    let mut child = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .env("LC_ALL", "C.UTF-8")
        .env_remove("COLUMNS")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("`script` of util-linux makes the terminal; install bsdutils");
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    let mut input = Some(input).filter(|input| !input.is_empty());
    loop {
        if String::from_utf8_lossy(&bytes).ends_with("[y/N] ")
            && let Some(input) = input.take()
        {
            meanwhile();
            stdin.write_all(input.as_bytes()).unwrap();
        }
        match stdout.read(&mut chunk).unwrap() {
            0 => break,
            len => bytes.extend_from_slice(&chunk[..len]),
        }
    }
    let code = child.wait().unwrap().code().unwrap_or(-1);
    let out = String::from_utf8_lossy(&bytes).replace("\r\n", "\n");
    Ran { code, out, err: String::new(), bytes }
}

/// A command that has the file open for writing and waits for its input.
pub(crate) fn writer(cache: &Cache) -> Child {
    loop {
        let mut child = larder(["import", &cache.arg(), "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let files = format!("/proc/{}/fd", child.id());
        let has_opened = || {
            let mut files = std::fs::read_dir(&files).unwrap();
            files.any(|file| {
                std::fs::read_link(file.unwrap().path()).is_ok_and(|to| to == cache.path())
            })
        };
        while !has_opened() {
            assert!(child.try_wait().unwrap().is_none(), "the command ended");
        }
        // Another command can open the file only before it is locked. Then the first command shares
        // it.
        if cache.run("ls", &[]).code != 0 && child.try_wait().unwrap().is_none() {
            return child;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        cache.run("sweep", &[]);
    }
}

pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(work)
}
