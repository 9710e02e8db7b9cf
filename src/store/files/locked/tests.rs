//! What a process that dies leaves behind, at each point of a change.

use std::path::Path;

use super::*;
use crate::store::{
    ErrorKind,
    files::{
        builder::Builder,
        change,
        found::tests::{KEY, head, text, write},
        open,
        read::{Want, look},
        stale::Stale,
    },
};

fn opened(path: &Path) -> Shared {
    open::open(Builder::new(path.to_owned())).unwrap()
}

/// The names of the files below the folder, without the hidden ones.
fn names(shared: &Shared) -> Vec<String> {
    let listing = shared.folder.list().unwrap();
    let heads = listing.heads.into_iter().map(|head| head.path);
    heads.chain(listing.bodies).collect()
}

/// The frame of a change from `old` to `new`, whose files are staged, and the lock.
fn begin(shared: &Shared) -> (Frame, Locked<'_>) {
    write(shared, "old");
    // The change is made as far as the log, and then not carried out.
    let before = shared.view().unwrap().log.as_ref().unwrap().end;
    let staged = write_staged(shared, "new");
    let locked = shared.lock().unwrap();
    assert_eq!(shared.view().unwrap().log.as_ref().unwrap().end, before);
    (staged, locked)
}

fn write_staged(shared: &Shared, new: &str) -> Frame {
    use crate::store::files::{
        document::{BodyFacts, Document},
        folder,
    };
    let row = (**shared.view().unwrap().index.get(&KEY).unwrap()).clone();
    let name = row.body.clone().unwrap();
    let crc = Some(crc32fast::hash(new.as_bytes()));
    let facts = BodyFacts { file: Some((&name, new.len() as u64)), crc };
    let bytes = Document::new(&KEY, &head(new.len() as u64), &facts).to_bytes();
    let stage = |bytes: &[u8]| {
        let path = shared.unfinished().unwrap();
        let metadata = folder::create(&shared.folder.hidden(&path), bytes).unwrap();
        (path, Stale::new("", &metadata))
    };
    let ((head, stamp), (body, _)) = (stage(&bytes), stage(new.as_bytes()));
    let (crc, version) = (crc32fast::hash(&bytes), row.version + 1);
    let row = Row { crc, version, len: stamp.len, changed: stamp.changed, ..row };
    let key = *KEY.as_bytes();
    Frame::Put { key, row, head: Some(head), body: Some(body), stale: Vec::new() }
}

/// What a process has done of a change before it died.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Window {
    Mark,
    Append,
    Body,
    Head,
}

fn die(shared: &Shared, window: Window) {
    let (frame, mut locked) = begin(shared);
    let mut view = shared.view().unwrap();
    let log = view.log.as_mut().unwrap();
    locked.mark(log.end).unwrap();
    if window >= Window::Append {
        log.append(slice::from_ref(&frame)).unwrap();
    }
    let Frame::Put { row, head, body, .. } = frame else { unreachable!() };
    if window >= Window::Body {
        shared.folder.publish(&body.unwrap(), &row.body_path().unwrap()).unwrap();
    }
    if window >= Window::Head {
        shared.folder.publish(&head.unwrap(), &row.path).unwrap();
    }
}

#[test]
fn a_change_is_completed_wherever_its_process_has_died() {
    for window in [Window::Mark, Window::Append, Window::Body, Window::Head] {
        for is_open in [true, false] {
            let directory = tempfile::tempdir().unwrap();
            let other = opened(directory.path());
            // Its staged files stay, as those of a process that was killed do.
            let dead = opened(directory.path());
            die(&dead, window);
            let other = if is_open {
                drop(other.lock().unwrap());
                other
            } else {
                opened(directory.path())
            };
            let expected = if window == Window::Mark { "old" } else { "new" };
            assert_eq!(text(&other).as_deref(), Some(expected), "{window:?} {is_open}");
            assert_eq!(names(&other).len(), 2, "{window:?}");
            assert!(!other.lock().unwrap().is_pending(), "{window:?}");
        }
    }
}

/// The body of a change cannot be moved any more: its staged file is gone and a folder is in the
/// way.
#[test]
fn a_change_that_cannot_be_completed_locks_nobody_out() {
    let directory = tempfile::tempdir().unwrap();
    let dead = opened(directory.path());
    die(&dead, Window::Append);
    let row = dead.folder.list().unwrap().heads.remove(0);
    let path = dead.folder.path(&row.path);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let other = opened(directory.path());
    assert!(look(&other, &KEY, Want::Body).unwrap().is_none());
    assert!(!other.lock().unwrap().is_pending());
    fs::remove_dir(&path).unwrap();
    write(&other, "again");
    assert_eq!(text(&other).unwrap(), "again");
    change::clear(&other).unwrap();
    assert_eq!(names(&other).len(), 0);
}

/// Somebody ends `clear`, and takes the files from version control again.
#[test]
fn a_removal_that_is_completed_later_leaves_restored_files() {
    let directory = tempfile::tempdir().unwrap();
    let dead = opened(directory.path());
    write(&dead, "old");
    let files = names(&dead);
    let read = |path: &String| fs::read(dead.folder.path(path)).unwrap();
    let contents: Vec<_> = files.iter().map(read).collect();
    let stale = files.iter().map(|path| dead.folder.stale(path).unwrap()).collect();
    let mut locked = dead.lock().unwrap();
    let mut view = dead.view().unwrap();
    let log = view.log.as_mut().unwrap();
    locked.mark(log.end).unwrap();
    log.append(&[Frame::Remove { key: *KEY.as_bytes(), stale }]).unwrap();
    drop((view, locked));
    for (path, bytes) in files.iter().zip(&contents) {
        let path = dead.folder.path(path);
        fs::remove_file(&path).unwrap();
        fs::write(&path, bytes).unwrap();
        let later = std::time::SystemTime::now() + std::time::Duration::from_secs(1);
        fs::File::options().write(true).open(path).unwrap().set_modified(later).unwrap();
    }
    let other = opened(directory.path());
    assert_eq!(text(&other).unwrap(), "old");
}

#[test]
fn a_log_that_ends_without_a_successor_is_written_anew() {
    let directory = tempfile::tempdir().unwrap();
    let (other, dead) = (opened(directory.path()), opened(directory.path()));
    write(&dead, "old");
    let locked = dead.lock().unwrap();
    dead.view().unwrap().log.as_mut().unwrap().append(&[Frame::Moved]).unwrap();
    drop(locked);
    assert_eq!(text(&other).unwrap(), "old");
    write(&other, "new");
    assert_eq!(text(&other).unwrap(), "new");
    assert_eq!(text(&opened(directory.path())).unwrap(), "new");
}

/// A reader that cannot complete the change does not return the new body under the old head.
#[test]
fn a_folder_that_is_only_read_never_mixes_a_change_that_was_not_completed() {
    let directory = tempfile::tempdir().unwrap();
    let dead = opened(directory.path());
    die(&dead, Window::Body);
    let builder = Builder::new(directory.path().to_owned()).read_only(true);
    let reader = open::open(builder).unwrap();
    let error = look(&reader, &KEY, Want::Body).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    // Without a checksum, nothing else would show it.
    let head = dead.folder.path(&dead.folder.list().unwrap().heads[0].path);
    let text = fs::read_to_string(&head).unwrap();
    let lines = text.split_inclusive('\n');
    let edited: String = lines.filter(|line| !line.contains("\"checksum\"")).collect();
    fs::write(&head, edited).unwrap();
    let error = look(&reader, &KEY, Want::Body).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("not completed"), "{error}");
}

/// What cannot be removed is not gone.
#[test]
fn an_entry_that_could_not_be_removed_stays_in_the_index() {
    let directory = tempfile::tempdir().unwrap();
    let shared = opened(directory.path());
    write(&shared, "old");
    let path = shared.folder.list().unwrap().heads[0].path.clone();
    let full = shared.folder.path(&path);
    fs::remove_file(&full).unwrap();
    fs::create_dir(&full).unwrap();
    let stale = vec![shared.folder.stale(&path).unwrap()];
    let frame = Frame::Remove { key: *KEY.as_bytes(), stale };
    shared.lock().unwrap().commit(&[frame]).unwrap_err();
    assert_eq!(shared.view().unwrap().index.len(), 1);
    fs::remove_dir(&full).unwrap();
    assert!(change::remove(&shared, &KEY, None).unwrap());
    assert_eq!(shared.view().unwrap().index.len(), 0);
}
