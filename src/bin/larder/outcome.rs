//! How a command ends: its exit code, and its messages on standard error.

use std::{
    fmt::Display,
    io::{self, Write},
    process::ExitCode,
};

use larder::BoxError;

/// What a command does: it succeeds, or it finds something to tell by its exit code.
pub(crate) type Outcome = Result<Ended, BoxError>;

/// How a command has ended that has not failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It has done what it was asked to.
    Done,
    /// Nothing matched, `check` has found damage, or `copy` or `export` has left out what has not
    /// expired.
    Found,
    /// The question was answered with no.
    Declined,
}

/// The table of exit codes, for the help and the man page.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    an error, which is on standard error; for `rm`: the answer was no
  2    wrong arguments
  3    nothing matched; for `check`: damaged entries were found; for `copy` and `export`: damaged
       entries, or entries too large for the other store, were left out
  130  interrupted by Ctrl-C (143 by SIGTERM, 129 by SIGHUP); stores are whole, and `copy`
       goes on where it was when it is run again";

/// The exit code for this end. An error is printed, unless it is that of a pipe whose reader is
/// gone, such as `head`.
pub(crate) fn exit_code(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(Ended::Done) => ExitCode::SUCCESS,
        Ok(Ended::Found) => ExitCode::from(3),
        Ok(Ended::Declined) => ExitCode::FAILURE,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Other errors of I/O say what they are about.
            let of_terminal = if error.is::<io::Error>() { "standard output: " } else { "" };
            say(format!("{of_terminal}{}", chain(&error)));
            ExitCode::FAILURE
        }
    }
}

/// Prints a message on standard error, which may be closed.
pub(crate) fn say(message: impl Display) {
    let _closed = writeln!(io::stderr(), "larder: {message}");
}

/// Standard output, buffered. Its errors end the command.
pub(crate) fn stdout() -> io::BufWriter<io::StdoutLock<'static>> {
    io::BufWriter::with_capacity(64 << 10, io::stdout().lock())
}

/// Standard output for a command that goes on when its reader is gone, since it does more than to
/// print.
pub(crate) struct UnreadStdout(io::BufWriter<io::StdoutLock<'static>>);

impl UnreadStdout {
    pub(crate) fn new() -> Self {
        Self(stdout())
    }
}

impl Write for UnreadStdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        unless_unread(self.0.write(bytes), bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        unless_unread(self.0.flush(), ())
    }
}

fn unless_unread<T>(written: io::Result<T>, otherwise: T) -> io::Result<T> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(otherwise),
        written => written,
    }
}

fn is_closed_pipe(error: &BoxError) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// An error with its sources, on one line. A source whose text the error has already is left out.
fn chain(error: &BoxError) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let text = error.to_string();
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        source = error.source();
    }
    crate::text::escaped(&line).into_owned()
}
