//! [`Mode`]: whether a cassette records, replays, or stays out of the way.

use std::{env, ffi::OsStr, fmt};

use crate::store::{Error, ErrorKind, Result};

/// The environment variable that decides for [`Cassette::record_or_replay`].
///
/// [`Cassette::record_or_replay`]: super::Cassette::record_or_replay
const VARIABLE: &str = "LARDER_CASSETTE";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Calls the client for every request, and records the response.
    Record,
    /// Never calls the client.
    Replay,
    /// Replays what is recorded, and records the rest.
    RecordOrReplay,
    /// Calls the client for every request, and records nothing.
    Off,
}

impl Mode {
    /// The mode that the environment asks for. Without the variable, or if it is empty, the
    /// cassette records or replays.
    pub(super) fn from_env() -> Result<Self> {
        Self::parse(env::var_os(VARIABLE).as_deref().unwrap_or_default())
    }

    fn parse(text: &OsStr) -> Result<Self> {
        match text.to_str() {
            Some("") => Ok(Self::RecordOrReplay),
            Some("record") => Ok(Self::Record),
            Some("replay") => Ok(Self::Replay),
            Some("off") => Ok(Self::Off),
            _ => {
                let message = format!(
                    "{VARIABLE} is {text:?}; set it to \"record\", \"replay\" or \"off\", or unset \
                     it to replay what is recorded and record the rest"
                );
                Err(Error::new(ErrorKind::Invalid, super::NAME, message))
            }
        }
    }

    /// Whether recorded responses are answers.
    pub(super) fn replays(self) -> bool {
        matches!(self, Self::Replay | Self::RecordOrReplay)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Record => "record",
            Self::Replay => "replay",
            Self::RecordOrReplay => "record or replay",
            Self::Off => "off",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_has_three_values() {
        let parse = |text: &str| Mode::parse(OsStr::new(text));
        assert_eq!(parse("").unwrap(), Mode::RecordOrReplay);
        assert_eq!(parse("record").unwrap(), Mode::Record);
        assert_eq!(parse("replay").unwrap(), Mode::Replay);
        assert_eq!(parse("off").unwrap(), Mode::Off);
        for unknown in ["Record", "replay ", "none", "0"] {
            let error = parse(unknown).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            let text = error.to_string();
            let names = ["LARDER_CASSETTE", unknown, "\"record\"", "\"replay\"", "\"off\""];
            assert!(names.iter().all(|name| text.contains(name)), "{text}");
        }
    }
}
