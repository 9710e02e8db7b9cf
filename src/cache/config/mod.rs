//! The setters of a layer, a file for each section of them. A setting that makes no sense is refused
//! when it is given.

use http::StatusCode;

use crate::error::ConfigError;

// In the order in which the documentation shows them.
mod kept;
mod key;

mod expiry;
mod grpc;
mod policy;
mod tags;

mod calls;
mod seen;

/// Whether responses of this status can be stored at all.
fn check_status(setting: &'static str, status: StatusCode) -> Result<(), ConfigError> {
    let why = match status {
        StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED => "is not a whole response",
        _ if status.is_informational() => "is not a final status",
        _ => return Ok(()),
    };
    let message = format!("{} {why} and cannot be replayed; leave it out", status.as_u16());
    Err(ConfigError::new(setting, message))
}
