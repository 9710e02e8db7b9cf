//! What larder does not pass, each with its reason.

/// Required and optimal cases that are not passed.
pub(crate) const ACCEPTED: &[(&str, &str)] = &[];
