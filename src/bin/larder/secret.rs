//! Which header fields of a response carry secrets: the same ones that a cassette does not record.

#[path = "../../testing/secret.rs"]
mod fields;

pub(crate) use self::fields::is_secret;
