//! [`Staged`]: a body that is being written.

use std::{fs, io::Write, path::PathBuf};

use crc32fast::Hasher;

use super::{fault, shared::Shared};
use crate::store::Result;

/// A body on its way: a file in the hidden folder. It is removed if the entry is not published.
#[derive(Debug)]
pub(super) struct Staged {
    /// The path below the hidden folder.
    pub(super) path: Box<str>,
    full: PathBuf,
    file: fs::File,
    crc: Hasher,
}

impl Staged {
    pub(super) fn create(shared: &Shared) -> Result<Self> {
        let path = shared.unfinished()?;
        let full = shared.folder.hidden(&path);
        let file = fs::File::create_new(&full).map_err(|error| fault::io("write", &full, error))?;
        Ok(Self { path, full, file, crc: Hasher::new() })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.file.write_all(bytes);
        written.map_err(|error| fault::io("write", &self.full, error))?;
        self.crc.update(bytes);
        Ok(())
    }

    /// The checksum of what was written.
    pub(super) fn crc(&self) -> u32 {
        self.crc.clone().finalize()
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // A published file is not there any more.
        drop(fs::remove_file(&self.full));
    }
}
