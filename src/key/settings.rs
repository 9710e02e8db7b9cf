//! The settings of keys that are parsed from text, for every layer that has them.

use http::HeaderName;

use super::{Recipe, parameters::IgnoredParameters};
use crate::error::ConfigError;

impl Recipe {
    /// Adds request headers to the key.
    pub(crate) fn add_key_headers<N: AsRef<str>>(
        &mut self,
        names: impl IntoIterator<Item = N>,
    ) -> Result<(), ConfigError> {
        let names = header_names("add_key_headers", names)?;
        names.into_iter().for_each(|name| self.headers.add(name));
        Ok(())
    }

    /// Leaves request headers out of the key.
    pub(crate) fn add_ignored_headers<N: AsRef<str>>(
        &mut self,
        names: impl IntoIterator<Item = N>,
    ) -> Result<(), ConfigError> {
        let names = header_names("add_ignored_headers", names)?;
        names.into_iter().for_each(|name| self.headers.ignore(name));
        Ok(())
    }

    /// Leaves query parameters out of the key and of stored URLs.
    pub(crate) fn add_ignored_parameters<N: AsRef<str>>(
        &mut self,
        names: impl IntoIterator<Item = N>,
    ) -> Result<(), ConfigError> {
        const SETTING: &str = "add_ignored_parameters";
        let mut patterns = Vec::new();
        for name in names {
            let name = name.as_ref();
            let error = |message: String| {
                Err(ConfigError::new(SETTING, format!("the pattern {name:?} {message}")))
            };
            if name.is_empty() {
                return error("is empty; to ignore every parameter, write \"*\"".into());
            }
            match IgnoredParameters::pattern(name) {
                Ok(pattern) => patterns.push(pattern),
                Err(problem) => return error(format!("is not a valid glob: {}", problem.kind())),
            }
        }
        let mut ignored = self.ignored_parameters.clone();
        ignored.add(patterns).map_err(|error| ConfigError::new(SETTING, error.to_string()))?;
        self.ignored_parameters = ignored;
        Ok(())
    }

    /// Leaves fields of request bodies out of the key.
    pub(crate) fn add_ignored_request_body_fields<N: AsRef<str>>(
        &mut self,
        fields: impl IntoIterator<Item = N>,
    ) -> Result<(), ConfigError> {
        let mut ignored = self.body.ignored.clone();
        for field in fields {
            let field = field.as_ref();
            ignored.add(field).map_err(|problem| {
                let message = format!("the field {field:?} {problem}");
                ConfigError::new("add_ignored_request_body_fields", message)
            })?;
        }
        self.body.ignored = ignored;
        Ok(())
    }
}

/// Parses names of header fields.
pub(crate) fn header_names<N: AsRef<str>>(
    setting: &'static str,
    names: impl IntoIterator<Item = N>,
) -> Result<Vec<HeaderName>, ConfigError> {
    let parse = |name: N| {
        let name = name.as_ref();
        HeaderName::try_from(name).map_err(|_| {
            let message =
                format!("{name:?} is not a header name; write one like \"accept-language\"");
            ConfigError::new(setting, message)
        })
    };
    names.into_iter().map(parse).collect()
}
