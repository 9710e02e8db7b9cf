//! Errors, as the client and as the log get them.

use std::{error::Error, io, iter, net::IpAddr};

use http::StatusCode;

use crate::{
    body::{Upload, UploadError},
    hop::Refusal,
    log,
};

/// Logs why a request failed, and returns the answer for its client.
pub(crate) fn failure(error: &AnError, client: IpAddr, upload: &Upload) -> Refusal {
    let is_late = |error: &io::Error| error.kind() == io::ErrorKind::TimedOut;
    let is_late = causes(error).any(|error| error.downcast_ref().is_some_and(is_late));
    let fault = upload.fault();
    // Nothing goes to the upstream while nothing comes from the client.
    let fault = fault.or((is_late && upload.is_awaited()).then_some(UploadError::TooSlow));
    if let Some(fault) = fault {
        return bad_upload(&fault, client);
    }
    log::say(&format_args!("upstream: {}", told(error)));
    match is_late {
        true => (StatusCode::GATEWAY_TIMEOUT, "the upstream took too long"),
        false => (StatusCode::BAD_GATEWAY, "the upstream gave no usable answer"),
    }
}

/// Logs why a request's body ended early, and returns the answer for its client.
pub(crate) fn bad_upload(fault: &UploadError, client: IpAddr) -> Refusal {
    log::say(&format_args!("client {client}: {}", told(fault)));
    match fault {
        UploadError::Broken(_) => (StatusCode::BAD_REQUEST, "the request's body is broken"),
        UploadError::TooSlow => {
            (StatusCode::REQUEST_TIMEOUT, "the request's body comes too slowly")
        }
    }
}

type AnError = dyn Error + 'static;

pub(crate) fn causes(error: &AnError) -> impl Iterator<Item = &AnError> {
    iter::successors(Some(error), |&error| error.source())
}

pub(crate) fn told(error: &AnError) -> String {
    causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
