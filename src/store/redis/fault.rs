//! The driver's errors as errors of the store: what each means for the caller, with the server and
//! what to do.

use std::{io, time::Duration};

use redis::{ErrorKind as RedisKind, RedisError, RetryMethod, ServerErrorKind};

use super::record::{Damage, RecordError};
use crate::{
    Key,
    store::{Error, ErrorKind},
};

pub(super) const STORE: &str = "redis";

/// Creates an error of the store with the driver's error as its source. `server` names the server,
/// without credentials.
pub(super) fn error(server: &str, error: RedisError) -> Error {
    let kind = kind(&error);
    let message = match kind {
        ErrorKind::Full => {
            format!("{server} is full; raise maxmemory, allow eviction, or make room on its disk")
        }
        ErrorKind::Denied => {
            format!("{server} refused access; check the login and its rights")
        }
        ErrorKind::Corrupt => {
            format!("{server} has a value of another type under a key of the cache")
        }
        ErrorKind::Invalid => format!("{server} cannot be used with these settings"),
        ErrorKind::Incompatible => {
            format!("{server} does not support RESP3; add ?protocol=resp2 to the URL")
        }
        _ => format!("{server} is unavailable"),
    };
    Error::new(kind, STORE, message).with_source(error)
}

fn kind(error: &RedisError) -> ErrorKind {
    match code(error).as_deref() {
        Some("WRONGTYPE") => return ErrorKind::Corrupt,
        Some("OOM" | "MISCONF") => return ErrorKind::Full,
        // `DENIED` comes from a server in protected mode.
        Some("NOPERM" | "NOAUTH" | "WRONGPASS" | "DENIED") => return ErrorKind::Denied,
        _ => {}
    }
    match error.kind() {
        RedisKind::AuthenticationFailed => ErrorKind::Denied,
        RedisKind::InvalidClientConfig | RedisKind::EmptySentinelList => ErrorKind::Invalid,
        RedisKind::RESP3NotSupported => ErrorKind::Incompatible,
        _ => ErrorKind::Unavailable,
    }
}

/// The error code of the server's answer.
fn code(error: &RedisError) -> Option<String> {
    let code = error.code()?;
    // An error of a command in a script is reported as the script's; Redis 6 reports it as a
    // position in the script.
    if (code == "ERR" || code.starts_with('@'))
        && let Some(detail) = error.detail()
    {
        // Redis 7 has no code for a command that the user may not use in a script.
        if detail.starts_with("The user executing the script") {
            return Some("NOPERM".to_owned());
        }
        let inner = ["WRONGTYPE", "OOM", "MISCONF", "NOPERM", "READONLY"]
            .into_iter()
            .find(|code| detail.contains(code));
        return Some(inner.unwrap_or(code).to_owned());
    }
    Some(code.to_owned())
}

/// Whether the server does not know the script of the digest that it was sent.
pub(super) fn is_unknown_script(error: &RedisError) -> bool {
    error.kind() == RedisKind::Server(ServerErrorKind::NoScript)
}

/// The error of a change of the entry under `key`.
pub(super) fn of_change(server: &str, key: &Key, answer: RedisError) -> Error {
    // The script that publishes an entry says so.
    if answer.code() != Some("LARDERGONE") {
        return error(server, answer);
    }
    let message = format!(
        "{server} removed the body of key {key} while it was being written; the entry is not stored"
    );
    Error::new(ErrorKind::Unavailable, STORE, message)
}

/// Whether the server has a script's keys on several nodes. The script was not run.
pub(super) fn is_cross_slot(error: &RedisError) -> bool {
    error.kind() == RedisKind::Server(ServerErrorKind::CrossSlot)
}

/// Whether the connection cannot be used after this error.
pub(super) fn breaks_connection(error: &RedisError) -> bool {
    error.is_io_error()
        || is_demoted(error)
        || matches!(
            error.retry_method(),
            RetryMethod::Reconnect | RetryMethod::ReconnectFromInitialConnections
        )
}

/// Whether none of the connections to the nodes of a cluster can be used after this error.
pub(super) fn breaks_cluster(error: &RedisError) -> bool {
    // The driver's own task has ended, with the runtime that it was spawned in.
    let has_ended =
        || error.is_io_error() && error.to_string().contains("redis_cluster: Unable to");
    error.is_timeout()
        || has_ended()
        || matches!(error.retry_method(), RetryMethod::ReconnectFromInitialConnections)
}

/// Whether the server accepts no writes because it is a replica now. The command was not carried
/// out.
pub(super) fn is_demoted(error: &RedisError) -> bool {
    code(error).as_deref() == Some("READONLY")
}

pub(super) fn slow(server: &str, limit: Duration) -> Error {
    let message = format!("{server} did not answer within {limit:?}");
    Error::new(ErrorKind::Unavailable, STORE, message)
}

/// The error of requests that are not sent because the server did not answer others.
pub(super) fn silence(limit: Duration) -> RedisError {
    let why = format!("no answer within {limit:?}; the server is not asked again for as long");
    io::Error::new(io::ErrorKind::TimedOut, why).into()
}

pub(super) fn corrupt(key: &Key, what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, STORE, format!("the entry of key {key} has {what}"))
}

pub(super) fn damaged(key: &Key, error: RecordError) -> Error {
    match error {
        RecordError::Damage(Damage(what)) => corrupt(key, what),
        RecordError::Head(error) => corrupt(key, "a damaged head").with_source(error),
    }
}

pub(super) fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, STORE, message)
}

/// The server answered something unexpected.
pub(super) fn strange(server: &str) -> Error {
    let message = format!("{server} sent an unexpected answer; is it a Redis server?");
    Error::new(ErrorKind::Other, STORE, message)
}

#[cfg(test)]
mod tests {
    use redis::make_extension_error;

    use super::*;

    #[test]
    fn error_codes_are_recognised_inside_scripts_too() {
        for (code, detail, expected) in [
            ("OOM", "command not allowed", ErrorKind::Full),
            ("ERR", "Error running script: @user_script:18: -OOM command not", ErrorKind::Full),
            ("@user_script:", "18: -OOM command not allowed when used memory", ErrorKind::Full),
            ("@user_script:", "3: WRONGTYPE Operation against a key", ErrorKind::Corrupt),
            ("@user_script:", "3: -NOPERM this user has no permissions", ErrorKind::Denied),
            ("ERR", "The user executing the script can't run this command", ErrorKind::Denied),
            ("NOPERM", "this user has no permissions to run", ErrorKind::Denied),
            ("NOAUTH", "Authentication required.", ErrorKind::Denied),
            ("WRONGPASS", "invalid username-password pair", ErrorKind::Denied),
            ("ERR", "unknown command", ErrorKind::Unavailable),
        ] {
            let error = make_extension_error(code.to_owned(), Some(detail.to_owned()));
            assert_eq!(kind(&error), expected, "{code} {detail}");
        }
        let demoted = make_extension_error("@user_script:".into(), Some("1: -READONLY You".into()));
        assert!(is_demoted(&demoted) && breaks_connection(&demoted));
    }
}
