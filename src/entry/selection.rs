//! [`Selection`]: what a head knows of a variant on its way into a store.

use super::Variance;

/// What selects a response that lies beside the resident of its primary key. It is no part of the
/// response, and is known only until the response is stored.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Selection(
    #[cfg_attr(not(feature = "files"), allow(dead_code, reason = "only a name needs it"))]
    pub(super) Option<[u8; Variance::SELECTOR]>,
);

impl PartialEq for Selection {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Selection {}
