//! Validation (RFC 9111 §4.3), which both policies share. [`conditions()`] validates a stored
//! response with the origin. [`copy`] validates a caller's copy against a stored response. Both use
//! [`validators`].
//!
//! All functions here depend on header lines alone, and read each line once, whatever it contains.
//! A validator that is not a single value, or that could be read as a list, does not count. The
//! worst consequence is that a whole response is sent.

use http::Method;

mod conditions;
mod copy;
#[cfg(test)]
mod tests;
mod validators;

pub(in crate::policy) use self::{
    conditions::merged,
    validators::{etag, has_validator, is_weak, strong_tag},
};
pub(crate) use self::{
    conditions::{Conditions, conditions, has_conditions, is_updated_by, remove_conditions},
    copy::{is_unmodified, not_modified_headers},
    validators::{generated_etag, is_same_tag, remove_generated_etags},
};

/// Whether `If-None-Match` and `If-Modified-Since` apply to the method (RFC 9110 §13.1.2,
/// §13.1.3).
fn is_conditional(method: &Method) -> bool {
    *method == Method::GET || *method == Method::HEAD
}
