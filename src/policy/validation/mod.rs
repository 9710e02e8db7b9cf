//! Validation (RFC 9111 §4.3), which both policies share: [`asking`] the origin whether a stored response still holds, and
//! telling a caller whether its own [`copy`] does; both by [`validators`].
//!
//! All of it is a function of header lines; each line is read once, whatever is in it. A validator that is no single
//! value, or that could be read as a list, counts as none: the worst that comes of it is a whole response.

use http::Method;

mod asking;
mod copy;
#[cfg(test)]
mod tests;
mod validators;

pub(in crate::policy) use self::{
    asking::merged,
    validators::{date, etag, has_validator, is_weak, only, strong_tag},
};
pub(crate) use self::{
    asking::{Conditions, conditions, confirms, has_conditions, remove_conditions},
    copy::{is_unmodified, not_modified_headers},
    validators::is_same_tag,
};

/// The methods whose preconditions of freshness mean anything (RFC 9110 §13.1.2, §13.1.3).
fn is_conditional(method: &Method) -> bool {
    *method == Method::GET || *method == Method::HEAD
}
