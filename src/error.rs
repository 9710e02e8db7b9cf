//! [`ConfigError`]: the error for an invalid setting.

use std::{error::Error, fmt};

/// A setting is invalid. The message names the setting and suggests a valid value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    setting: &'static str,
    message: String,
}

impl ConfigError {
    pub(crate) fn new(setting: &'static str, message: impl Into<String>) -> Self {
        Self { setting, message: message.into() }
    }

    /// The name of the setting, which is the name of the method that takes it.
    #[must_use]
    pub fn setting(&self) -> &'static str {
        self.setting
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.setting, self.message)
    }
}

impl Error for ConfigError {}

/// Any error, as response bodies carry it.
pub type BoxError = Box<dyn Error + Send + Sync>;
