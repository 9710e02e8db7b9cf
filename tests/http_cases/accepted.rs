//! The cases that larder does not pass, each with its reason.

/// The required and optimal cases that larder does not pass. The test fails if one of them passes,
/// or if another case does not.
pub(crate) const ACCEPTED: &[(&str, &str)] = &[
    (
        "conditional-lm-fresh-no-lm",
        "RFC 9111 §4.3.2: the `Date` stands in for the `Last-Modified`, and is later than the caller's",
    ),
    (
        "partial-store-partial-complete",
        "nothing tells that two parts without a strong validator are of one response (RFC 9110 §15.3.7.3)",
    ),
    (
        "partial-store-partial-reuse-partial",
        "`Content-Range` promises six bytes, of which five come: the last five are not all there",
    ),
    (
        "partial-store-partial-reuse-partial-absent",
        "`Content-Range` promises six bytes, of which five come: the end is not there",
    ),
    (
        "partial-store-partial-reuse-partial-suffix",
        "`Content-Range` promises six bytes, of which five come: the last is not there",
    ),
    ("vary-normalise-lang-select", "which of its languages suits a request is the origin's to say"),
];
