//! Errors, as the client and as the log are told of them.

use std::{error::Error, io, iter};

use http::StatusCode;

use crate::hop::Refusal;

/// What an upstream that failed is to the client.
pub(crate) fn failure(error: &AnError) -> Refusal {
    eprintln!("gateway: upstream: {}", told(error));
    let is_late = |error: &io::Error| error.kind() == io::ErrorKind::TimedOut;
    match causes(error).any(|error| error.downcast_ref().is_some_and(is_late)) {
        true => (StatusCode::GATEWAY_TIMEOUT, "the upstream took too long"),
        false => (StatusCode::BAD_GATEWAY, "the upstream gave no answer of use"),
    }
}

type AnError = dyn Error + 'static;

fn causes(error: &AnError) -> impl Iterator<Item = &AnError> {
    iter::successors(Some(error), |&error| error.source())
}

pub(crate) fn told(error: &AnError) -> String {
    causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
