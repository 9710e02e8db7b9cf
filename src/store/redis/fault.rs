//! The driver's errors as errors of the store: what each means for the caller, with the server and
//! what to do.

use redis::{ErrorKind as RedisKind, RedisError, RetryMethod, ServerErrorKind};

use crate::store::{Error, ErrorKind, server::failed};

pub(super) const STORE: &str = "redis";

/// Creates an error of the store with the driver's error as its source. `server` names the server,
/// without credentials.
pub(super) fn error(server: &str, error: RedisError) -> Error {
    let kind = kind(&error);
    let what = match kind {
        ErrorKind::Full => "is full; raise maxmemory, allow eviction, or make room on its disk",
        ErrorKind::Corrupt => "has a value of another type under a key of the cache",
        ErrorKind::Incompatible => "does not support RESP3; add ?protocol=resp2 to the URL",
        kind => failed(kind),
    };
    Error::new(kind, STORE, format!("{server} {what}")).with_source(error)
}

/// What the driver's error means for the caller.
pub(super) fn kind(error: &RedisError) -> ErrorKind {
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

/// Whether the script that publishes an entry did not find the entry's body.
pub(super) fn is_body_gone(error: &RedisError) -> bool {
    error.code() == Some("LARDERGONE")
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
