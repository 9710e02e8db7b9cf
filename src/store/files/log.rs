//! The file of the index, `.larder/index`: a log of changes, which every process follows.
//!
//! `magic | change...`, where a change is `length | CRC-32 | postcard` and has one or more frames.
//! A process appends a change while it holds the lock. Others read what was appended since they
//! looked last. They need no lock: a change that is not whole is left for the next time, and nobody
//! has read any of it if its writer fails and cuts it off. When most of the log is outdated, it is
//! written anew: the old file ends with [`Frame::Moved`], by which those who follow it know that
//! there is another one.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    fault::{self, STORE},
    index::Row,
    name,
    stale::{self, Stale},
};
use crate::store::{Error, ErrorKind, Result};

const MAGIC: &[u8; 16] = b"larder files 1\n\0";

/// The bytes of the magic that do not tell the version.
const NAME: usize = 13;

/// The length and the checksum before a frame.
const FRAME: usize = 8;

/// The largest change, in bytes. That is a removal of some million entries.
const MAX_CHANGE: u32 = 1 << 30;

/// How many bytes are read at once.
const BUFFER: u64 = 64 * 1024;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Frame {
    /// An entry, new or changed. It is done by removing the files `stale`, and moving the body and
    /// then the head to their places.
    Put {
        key: [u8; 32],
        row: Row,
        head: Option<Box<str>>,
        body: Option<Box<str>>,
        stale: Vec<Stale>,
    },
    /// An entry is gone. It is done by removing the files `stale`.
    Remove { key: [u8; 32], stale: Vec<Stale> },
    /// The index is in another file.
    Moved,
}

impl Frame {
    /// The files that it changes or removes.
    pub(super) fn files(&self) -> Vec<Box<str>> {
        let (written, stale) = match self {
            Self::Put { row, head: Some(_), stale, .. } => (row.files(), stale),
            Self::Put { stale, .. } | Self::Remove { stale, .. } => (Vec::new(), stale),
            Self::Moved => return Vec::new(),
        };
        written.into_iter().chain(stale.iter().map(|stale| stale.path.clone())).collect()
    }

    /// Whether every path in it is that of an entry's file below the root, or of an unfinished one.
    /// The index may come from somebody else, together with the folder.
    fn is_safe(&self) -> bool {
        let is_own = |stale: &Stale| name::is_entry_path(&stale.path);
        match self {
            Self::Put { row, head, body, stale, .. } => {
                name::is_head_path(&row.path)
                    && row.body.as_deref().is_none_or(name::is_beside)
                    && [head, body].into_iter().flatten().all(|path| name::is_unfinished(path))
                    && stale.iter().all(is_own)
            }
            Self::Remove { stale, .. } => stale.iter().all(is_own),
            Self::Moved => true,
        }
    }
}

/// An open log.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    file: File,
    /// The end of the last frame that was read.
    pub(super) end: u64,
    /// The number of frames up to there.
    pub(super) frames: usize,
    /// The last frame says that there is another file, or will be in a moment.
    pub(super) is_ended: bool,
}

/// What was read.
#[derive(Debug, Default)]
pub(super) struct NewFrames {
    pub(super) frames: Vec<Frame>,
    /// Something follows that is no whole frame.
    pub(super) has_rest: bool,
}

impl Log {
    /// Opens the log at `path`. Returns `None` if there is none, or one that is damaged.
    pub(super) fn open(path: &Path) -> Result<Option<Self>> {
        stale::check_plain(path)?;
        let opened = OpenOptions::new().read(true).write(true).open(path);
        let mut file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fault::io("open", path, error)),
        };
        let mut magic = [0; MAGIC.len()];
        match file.read_exact(&mut magic) {
            Ok(()) if magic == *MAGIC => {}
            Ok(()) if magic[..NAME] == MAGIC[..NAME] => {
                let message = format!(
                    "{} is of another version of larder; use that version, or remove the file, \
                     which is then made anew",
                    path.display()
                );
                return Err(Error::new(ErrorKind::Incompatible, STORE, message));
            }
            Ok(()) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(fault::io("read", path, error)),
        }
        Ok(Some(Self {
            path: path.to_owned(),
            file,
            end: MAGIC.len() as u64,
            frames: 0,
            is_ended: false,
        }))
    }

    /// Writes a log with these frames in place of the one at `path`. `announce` tells those who
    /// follow the old one.
    pub(super) fn create(
        path: &Path,
        staged: &Path,
        frames: &[Frame],
        announce: impl FnOnce() -> Result<()>,
    ) -> Result<Self> {
        let mut bytes = MAGIC.to_vec();
        frames.chunks(1).try_for_each(|frame| encode(frame, &mut bytes))?;
        let end = bytes.len() as u64;
        let write = || {
            let mut options = OpenOptions::new();
            let mut file = options.read(true).write(true).create_new(true).open(staged)?;
            file.write_all(&bytes)?;
            Ok(file)
        };
        let fail = |error| fault::io("write", path, error);
        let created = write().map_err(fail).and_then(|file| {
            announce()?;
            fs::rename(staged, path).map_err(fail)?;
            Ok(file)
        });
        if created.is_err() {
            drop(fs::remove_file(staged));
        }
        let file = created?;
        Ok(Self { path: path.to_owned(), file, end, frames: frames.len(), is_ended: false })
    }

    fn fail(&self, doing: &str, error: io::Error) -> Error {
        fault::io(doing, &self.path, error)
    }

    /// Whether it is the log at its path. Somebody may have removed or replaced the file.
    pub(super) fn is_in_place(&self) -> bool {
        stale::is_at(&self.file, &self.path)
    }

    /// Reads what was appended since.
    pub(super) fn follow(&mut self) -> Result<NewFrames> {
        let mut new = NewFrames::default();
        let len = self.file.metadata().map_err(|error| self.fail("read", error))?.len();
        if len < self.end {
            // Somebody has put another file in its place. It is read from its beginning.
            self.is_ended = true;
        }
        if len <= self.end {
            return Ok(new);
        }
        let mut reader = Reader::new(&self.file, self.end, len)
            .map_err(|error| fault::io("read", &self.path, error))?;
        while let Some(frames) = reader.next().map_err(|error| self.fail("read", error))? {
            self.end = reader.at;
            self.frames += frames.len();
            self.is_ended = frames.contains(&Frame::Moved);
            new.frames.extend(frames);
            if self.is_ended {
                break;
            }
        }
        new.has_rest = self.end < len;
        Ok(new)
    }

    /// Reads the frames from the byte `from` on, up to those that were read.
    pub(super) fn since(&self, from: u64) -> Result<Vec<Frame>> {
        if from < MAGIC.len() as u64 || from >= self.end {
            return Ok(Vec::new());
        }
        let reader = Reader::new(&self.file, from, self.end);
        let mut reader = reader.map_err(|error| self.fail("read", error))?;
        let mut frames = Vec::new();
        while let Some(change) = reader.next().map_err(|error| self.fail("read", error))? {
            frames.extend(change);
        }
        Ok(frames)
    }

    /// Cuts off what follows the frames that were read. The caller has the lock.
    pub(super) fn cut(&mut self) -> Result<()> {
        self.file.set_len(self.end).map_err(|error| self.fail("write", error))
    }

    /// Appends a change. The caller has the lock and has read everything before. If it fails,
    /// nothing is appended.
    pub(super) fn append(&mut self, frames: &[Frame]) -> Result<()> {
        let mut bytes = Vec::new();
        encode(frames, &mut bytes)?;
        let written =
            self.file.seek(SeekFrom::Start(self.end)).and_then(|_| self.file.write_all(&bytes));
        if let Err(error) = written {
            // Whoever has the lock next cuts it off if that fails too. It is no whole change, so
            // nobody has followed it.
            drop(self.file.set_len(self.end));
            return Err(self.fail("write", error));
        }
        self.end += bytes.len() as u64;
        self.frames += frames.len();
        self.is_ended = frames.contains(&Frame::Moved);
        Ok(())
    }

    pub(super) fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|error| self.fail("sync", error))
    }
}

fn encode(frames: &[Frame], bytes: &mut Vec<u8>) -> Result<()> {
    let start = bytes.len();
    bytes.extend_from_slice(&[0; FRAME]);
    let content = postcard::to_allocvec(frames).unwrap_or_default();
    bytes.extend_from_slice(&content);
    let len = u32::try_from(content.len()).ok().filter(|len| *len <= MAX_CHANGE);
    let len = len.ok_or_else(|| {
        let message = format!(
            "a change of {} bytes does not fit into the index; change fewer entries at once, or \
             give them fewer tags",
            content.len()
        );
        Error::new(ErrorKind::TooLarge, STORE, message)
    })?;
    bytes[start..start + 4].copy_from_slice(&len.to_le_bytes());
    bytes[start + 4..start + FRAME].copy_from_slice(&crc32fast::hash(&content).to_le_bytes());
    Ok(())
}

/// Reads one change after the other. A length in the file may be wrong, so memory is only taken for
/// bytes that are there.
struct Reader<'a> {
    file: BufReader<&'a File>,
    /// The end of the last change that was read.
    at: u64,
    /// Where to stop.
    end: u64,
    content: Vec<u8>,
}

impl<'a> Reader<'a> {
    /// Reads from the byte `at` to the byte `end`.
    fn new(mut file: &'a File, at: u64, end: u64) -> io::Result<Self> {
        file.seek(SeekFrom::Start(at))?;
        let capacity = end.saturating_sub(at).min(BUFFER) as usize;
        let file = BufReader::with_capacity(capacity, file);
        Ok(Self { file, at, end, content: Vec::new() })
    }

    /// The next change. `None` if what follows is no whole change.
    fn next(&mut self) -> io::Result<Option<Vec<Frame>>> {
        let mut header = [0; FRAME];
        if self.end - self.at < FRAME as u64 || !self.read(&mut header)? {
            return Ok(None);
        }
        let [a, b, c, d, crc @ ..] = header;
        let len = u32::from_le_bytes([a, b, c, d]);
        let end = self.at + FRAME as u64 + u64::from(len);
        if len > MAX_CHANGE || end > self.end {
            return Ok(None);
        }
        self.content.clear();
        (&mut self.file).take(len.into()).read_to_end(&mut self.content)?;
        if self.content.len() != len as usize {
            return Ok(None);
        }
        let frames = decode(&self.content, u32::from_le_bytes(crc));
        if frames.is_some() {
            self.at = end;
        }
        Ok(frames)
    }

    /// Whether so many bytes are there: a process may have cut off what another had left.
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<bool> {
        match self.file.read_exact(bytes) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The frames of a change with this content. `None` if it is damaged or has an unsafe path.
fn decode(content: &[u8], crc: u32) -> Option<Vec<Frame>> {
    if crc32fast::hash(content) != crc {
        return None;
    }
    let frames: Vec<Frame> = postcard::from_bytes(content).ok()?;
    frames.iter().all(Frame::is_safe).then_some(frames)
}

#[cfg(test)]
mod tests {
    use super::{super::index::tests::row, *};

    fn put(number: u8) -> Frame {
        let row = row(HEAD, &["x"]);
        let body = Some("unfinished/0123456789abcdef/0".into());
        Frame::Put { key: [number; 32], row, head: None, body, stale: Vec::new() }
    }

    fn remove(paths: &[&str]) -> Frame {
        let stale = |path: &&str| Stale { path: (*path).into(), len: 1, changed: 2 };
        Frame::Remove { key: [1; 32], stale: paths.iter().map(stale).collect() }
    }

    const HEAD: &str = "a/b~01234567.json";

    #[test]
    fn unsafe_paths_are_no_frames() {
        let is_read = |frame: &Frame| {
            let mut bytes = Vec::new();
            encode(std::slice::from_ref(frame), &mut bytes).unwrap();
            decode(&bytes[FRAME..], crc32fast::hash(&bytes[FRAME..])).is_some()
        };
        assert!(is_read(&put(1)) && is_read(&remove(&[HEAD, "a/b~01234567.body.txt"])));
        let outside = ["../x~01234567.json", "/x~01234567.json", "a/../x~01234567.json"];
        let inside =
            ["README.md", ".git/x~01234567.json", "a//x~01234567.json", "C:/x~01234567.json"];
        for path in outside.into_iter().chain(inside) {
            assert!(!is_read(&remove(&[HEAD, path])), "{path}");
            let Frame::Put { key, row, stale, .. } = put(1) else { unreachable!() };
            let of_row = Row { path: path.into(), ..row.clone() };
            let moved = Some(path.into());
            for (row, head, body) in [
                (of_row, None, None),
                (row.clone(), moved.clone(), None),
                (row.clone(), None, moved.clone()),
                (Row { body: Some("../x".into()), ..row }, None, None),
            ] {
                let frame = Frame::Put { key, row, head, body, stale: stale.clone() };
                assert!(!is_read(&frame), "{frame:?}");
            }
        }
    }

    /// A change of several frames is read as a whole or not at all, so that nobody has followed a
    /// part of it when its writer cuts it off.
    #[test]
    fn a_change_that_is_cut_off_was_followed_by_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let (path, staged) = (directory.path().join("index"), directory.path().join("staged"));
        let mut log = Log::create(&path, &staged, &[], || Ok(())).unwrap();
        let mut other = Log::open(&path).unwrap().unwrap();
        let before = fs::read(&path).unwrap();
        log.append(&[put(1), put(2), put(3)]).unwrap();
        let whole = fs::read(&path).unwrap();
        for len in before.len()..whole.len() {
            fs::write(&path, &whole[..len]).unwrap();
            assert!(other.follow().unwrap().frames.is_empty(), "{len}");
            assert_eq!(other.end, before.len() as u64);
        }
        fs::write(&path, &whole).unwrap();
        assert_eq!(other.follow().unwrap().frames.len(), 3);
        // A shorter file is another one.
        fs::write(&path, &before).unwrap();
        assert!(other.follow().unwrap().frames.is_empty() && other.is_ended);
    }

    #[test]
    fn frames_are_followed_and_a_rest_is_cut_off() {
        let directory = tempfile::tempdir().unwrap();
        let (path, staged) = (directory.path().join("index"), directory.path().join("staged"));
        assert!(Log::open(&path).unwrap().is_none());
        let mut log = Log::create(&path, &staged, &[put(1)], || Ok(())).unwrap();
        let mut other = Log::open(&path).unwrap().unwrap();
        assert_eq!(other.follow().unwrap().frames, [put(1)]);
        log.append(&[put(2), remove(&[HEAD])]).unwrap();
        let end = other.end;
        assert_eq!(other.follow().unwrap().frames.len(), 2);
        assert_eq!(other.since(end).unwrap().len(), 2);
        assert!(other.follow().unwrap().frames.is_empty());

        // A process died while it appended.
        let whole = fs::read(&path).unwrap();
        let mut bytes = Vec::new();
        encode(&[put(3)], &mut bytes).unwrap();
        for cut in [1, FRAME, bytes.len() - 1] {
            fs::write(&path, [&whole, &bytes[..cut]].concat()).unwrap();
            let new = other.follow().unwrap();
            assert!(new.frames.is_empty() && new.has_rest);
            other.cut().unwrap();
            assert_eq!(fs::read(&path).unwrap(), whole);
        }
        log.append(&[Frame::Moved]).unwrap();
        assert_eq!(other.follow().unwrap().frames, [Frame::Moved]);
        assert!(other.is_ended);
    }

    #[test]
    fn other_files_are_no_log_and_other_versions_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("index");
        for bytes in ["", "larder", "something else that is long"] {
            fs::write(&path, bytes).unwrap();
            assert!(Log::open(&path).unwrap().is_none(), "{bytes}");
        }
        fs::write(&path, "larder files 2\n\0").unwrap();
        assert_eq!(Log::open(&path).unwrap_err().kind(), ErrorKind::Incompatible);
    }
}
