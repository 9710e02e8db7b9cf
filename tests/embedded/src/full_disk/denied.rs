//! A file that may not be written is `Denied` and not `Full`. A disk without room for another file
//! is `Full` and not `Denied`.

use std::{
    env,
    fs::{File, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
};

use larder::store::{Error, ErrorKind};

use super::{
    disk::{Disk, fill, make_room},
    on_disk, read_stored, stored,
    watch::old_head,
};
use crate::{
    child::{CHILD, child_path, say},
    entries::{body, key, put},
    faults::{DONE, described, ends, expect, fault, faults, note, runtime, summary},
    stores::Embedded,
};

for_each_store! {
    file_without_permission_to_write_is_denied,
    file_without_permission_to_read_is_denied,
    directory_without_permission_to_write_is_denied_or_works,
    read_only_disk_is_denied_even_when_it_is_full,
    disk_without_room_for_another_file_is_full_or_works,
}

fn file_without_permission_to_write_is_denied<S: Embedded>(name: &str) {
    without_permission::<S>(name, 0o400, 0o500, false);
}

fn file_without_permission_to_read_is_denied<S: Embedded>(name: &str) {
    without_permission::<S>(name, 0o000, 0o700, false);
}

/// A store that creates no other files can write here.
fn directory_without_permission_to_write_is_denied_or_works<S: Embedded>(name: &str) {
    without_permission::<S>(name, 0o600, 0o500, true);
}

/// Sets these modes of a file and its directory, and opens it in a process to which they apply. If
/// `may_work`, a store may be able to write.
fn without_permission<S: Embedded>(
    name: &str,
    file_mode: u32,
    directory_mode: u32,
    may_work: bool,
) {
    if let Some(file) = child_path() {
        runtime().block_on(fails_with::<S>(&file, ErrorKind::Denied, may_work));
        return say(DONE);
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("cache");
    runtime().block_on(async {
        let store = stored::<S>(&file).await.unwrap();
        store.close_file().await.unwrap();
    });
    let set = |path: &Path, mode| {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    };
    set(&file, file_mode);
    set(directory.path(), directory_mode);
    let output = without_capabilities(name, &file);
    set(directory.path(), 0o700);
    let printed = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let found = faults(&printed);
    assert!(found.is_empty(), "{}\n{errors}", summary(&found));
}

/// Runs the test again. Modes do not apply to root, so root gives up its capabilities.
fn without_capabilities(name: &str, file: &Path) -> Output {
    let script = "if [ \"$(id -u)\" = 0 ]; then set -- \
         setpriv --bounding-set=-all --inh-caps=-all \"$0\" \"$@\"; else set -- \"$0\" \"$@\"; fi; \
         exec \"$@\"";
    Command::new("sh")
        .args(["-c", script])
        .arg(env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(CHILD, file)
        .output()
        .unwrap()
}

/// The disk is full first, and then read-only. Each error has its own kind.
fn read_only_disk_is_denied_even_when_it_is_full<S: Embedded>(name: &str) {
    on_disk(Disk::Tmpfs, name, async |disk| {
        let file = disk.join("cache");
        let Some(store) = stored::<S>(&file).await else { return };
        expect("closing", ends("closing", store.close_file()).await);
        drop(store);
        fill(disk);
        remount(disk, "ro");
        fails_with::<S>(&file, ErrorKind::Denied, false).await;
        remount(disk, "rw");
        make_room(disk);
    });
}

/// The disk has room for bytes, and for no further file.
fn disk_without_room_for_another_file_is_full_or_works<S: Embedded>(name: &str) {
    on_disk(Disk::Tmpfs, name, async |disk| {
        let file = disk.join("cache");
        let Some(store) = stored::<S>(&file).await else { return };
        expect("closing", ends("closing", store.close_file()).await);
        drop(store);
        remount(disk, "nr_inodes=20");
        let full = (0..20).find_map(|number| File::create(disk.join(number.to_string())).err());
        assert_eq!(full.unwrap().kind(), io::ErrorKind::StorageFull);
        fails_with::<S>(&file, ErrorKind::Full, true).await;
    });
}

fn remount(disk: &Path, options: &str) {
    // The other options stay unchanged. A user namespace could not name the owner among them.
    let status = Command::new("mount")
        .args(["--options-mode", "ignore", "-o", &format!("remount,{options}"), "tmpfs"])
        .arg(disk)
        .status()
        .unwrap();
    assert!(status.success(), "the disk cannot be remounted with {options}");
}

/// Opens the file and puts an entry. Failures must be of this kind, and the error must name the
/// file. A file that opens must be readable. If `may_work`, the put may succeed.
async fn fails_with<S: Embedded>(file: &Path, kind: ErrorKind, may_work: bool) {
    let check = |what: &str, error: &Error| {
        let text = described(error);
        note(format!("{what}: {text}"));
        if error.kind() != kind {
            fault(format!("{what} fails, but not with {kind:?}: {text}"));
        }
        if !text.contains(&*file.to_string_lossy()) {
            fault(format!("{what}: the error does not name the file: {text}"));
        }
    };
    let store = match S::open_file(file) {
        Ok(store) => store,
        Err(error) => return check("opening", &error),
    };
    read_stored(&store, "opened").await;
    match ends("a put", put(&store, key(100), old_head(), body(100, super::LEN))).await {
        Ok(()) if may_work => note("a put succeeds"),
        Ok(()) => fault("a put succeeds in a file that may not be written"),
        Err(error) => check("a put", &error),
    }
    drop(ends("closing", store.close_file()).await);
}
