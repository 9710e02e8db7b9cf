//! [`RecordedRequest`]: what a recording keeps of a request.

use std::mem;

use http::HeaderMap;

/// What a recording keeps of a request beside its method and its URL, so that people can read what
/// was sent, and a request that is not recorded can be compared with it. It has no secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecordedRequest {
    /// Which one it is among requests with the same key. The first one has the number 1.
    pub(crate) number: u32,
    /// The headers that are part of the key, and those that describe the body.
    pub(crate) headers: HeaderMap,
    /// The body in lines of text: without ignored fields, or as a summary.
    pub(crate) body: Vec<String>,
}

impl RecordedRequest {
    /// The approximate size in memory without the headers.
    pub(super) fn size(&self) -> usize {
        let lines: usize = self.body.iter().map(|line| mem::size_of::<String>() + line.len()).sum();
        mem::size_of::<Self>() + lines
    }
}
