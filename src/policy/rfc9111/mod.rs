//! STUB
#![allow(dead_code)]
use super::{Admission, Exchange, Expiration, Rules, Scope, StaleLimit};
use crate::{
    entry::Head,
    status::{Miss, Refusal},
    time::Timestamp,
};
use http::{HeaderMap, HeaderName};
use std::time::Duration;
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Demands {
    pub(crate) max_age: Option<Duration>,
    pub(crate) max_stale: Option<StaleLimit>,
    pub(crate) min_fresh: Option<Duration>,
    pub(crate) no_cache: bool,
    pub(crate) no_store: bool,
    pub(crate) only_if_cached: bool,
}
impl Demands {
    pub(crate) const NONE: Self = Self {
        max_age: None,
        max_stale: None,
        min_fresh: None,
        no_cache: false,
        no_store: false,
        only_if_cached: false,
    };
    pub(crate) fn fit(&self, _h: &Head, _n: Timestamp) -> bool {
        true
    }
}
pub(crate) fn demands(_h: &HeaderMap) -> Demands {
    Demands::NONE
}
#[derive(Default)]
pub(crate) struct StaleRules {
    pub(crate) is_forbidden: bool,
    pub(crate) while_revalidate: Option<Duration>,
    pub(crate) if_error: Option<Duration>,
}
pub(crate) fn stale_rules(_s: Scope, _t: &[HeaderName], _h: &HeaderMap) -> StaleRules {
    StaleRules::default()
}
pub(crate) fn may_answer(_s: Scope, _t: &[HeaderName], _h: &Head) -> Result<(), Miss> {
    Ok(())
}
pub(crate) fn current_age(head: &Head, now: Timestamp) -> Duration {
    now.saturating_since(head.stored_at())
}
pub(crate) fn admit(
    _r: &Rules,
    _t: &[HeaderName],
    e: &Exchange<'_>,
    _c: Option<Expiration>,
) -> Result<Admission, Refusal> {
    Ok(Admission { expires_at: Some(e.now), withheld: vec![] })
}

pub(crate) fn speaks_for_get(_s: Scope, _t: &[HeaderName], _u: &str, _h: &HeaderMap) -> bool {
    false
}
pub(crate) fn named_urls(_u: &str, _h: &HeaderMap) -> Vec<String> {
    vec![]
}
