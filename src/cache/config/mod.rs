//! The setters of a layer. A section of the documentation is an `impl` block. A setter refuses a
//! value that makes no sense.

use http::StatusCode;

use crate::error::ConfigError;

// In the order in which the documentation shows them.
mod key;
mod storage;

mod policy;
mod tags;

mod calls;

/// The statuses of a list, which may be numbers.
fn parse_statuses<T>(
    setting: &'static str,
    statuses: impl IntoIterator<Item = T>,
) -> Result<Vec<StatusCode>, ConfigError>
where
    T: TryInto<StatusCode, Error: Into<http::Error>>,
{
    let statuses = statuses.into_iter().map(|status| parse_status(setting, status));
    statuses.collect()
}

fn parse_status<T>(setting: &'static str, status: T) -> Result<StatusCode, ConfigError>
where
    T: TryInto<StatusCode, Error: Into<http::Error>>,
{
    status.try_into().map_err(|error| {
        let error: http::Error = error.into();
        ConfigError::new(setting, format!("{error}; a status is a number from 100 to 999"))
    })
}

/// Returns an error if responses of this status can never be stored.
fn check_status(setting: &'static str, status: StatusCode) -> Result<(), ConfigError> {
    let why = match status {
        StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED => "is not a whole response",
        _ if status.is_informational() => "is not a final status",
        _ => return Ok(()),
    };
    let message = format!("{} {why} and cannot be replayed; leave it out", status.as_u16());
    Err(ConfigError::new(setting, message))
}
