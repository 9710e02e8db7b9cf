//! Which cases larder does not pass, each with its reason.

/// Required and optimal cases that are not passed. The test fails where one of them is, or where another is not.
pub(crate) const ACCEPTED: &[(&str, &str)] = &[
    (
        "conditional-lm-fresh-no-lm",
        "by RFC 9111 §4.3.2 the `Date` of a response stands in for the `Last-Modified` that it lacks, \
         and is later than the caller's",
    ),
    (
        "partial-store-partial-complete",
        "without a strong validator nothing tells that two parts are of the same response (RFC 9110 §15.3.7.3)",
    ),
    (
        "partial-store-partial-reuse-partial",
        "the origin's `Content-Range` promises six bytes, of which five come: the last five are not all there",
    ),
    (
        "partial-store-partial-reuse-partial-absent",
        "the origin's `Content-Range` promises six bytes, of which five come: the end is not there",
    ),
    (
        "partial-store-partial-reuse-partial-suffix",
        "the origin's `Content-Range` promises six bytes, of which five come: the last is not there",
    ),
    ("vary-normalise-lang-order", "of languages with the same weight, many origins take the first"),
    ("vary-normalise-lang-select", "which of its languages suits a request is the origin's to say"),
    (
        "vary-normalise-space",
        "the white space within a field of unknown syntax may mean something (RFC 9111 §4.1)",
    ),
];
