//! HAR 1.2, the archive of HTTP exchanges that browsers' developer tools write and open.
//!
//! An archive that larder writes has more in each entry, under `_larder`, as the format allows:
//! key, times and tags. With it, `import` stores the entry as it was.

pub(crate) mod exchange;
pub(crate) mod read;
pub(crate) mod write;

use serde::{Deserialize, Serialize};

/// What a HAR has no place for.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Extra {
    pub(crate) key: String,
    pub(crate) stored_at: String,
    pub(crate) expires_at: Option<String>,
    pub(crate) tags: Vec<String>,
}
