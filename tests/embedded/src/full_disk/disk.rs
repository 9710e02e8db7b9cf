//! A disk of 24 MiB for a child process.
//!
//! The child runs in its own mount namespace, so the disk disappears with it. A tmpfs needs a user
//! namespace, which most machines grant to everybody. An ext4 image needs a loop device, and so
//! root.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    child::CHILD,
    faults::{faults, notes, summary},
};

/// The file system of the disk.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Disk {
    Tmpfs,
    Ext4,
}

/// The requirements on the machine, for the message of a test that cannot run.
const NEEDS: &str = "This test mounts a file system of 24 MiB in a namespace of its own and cannot \
    do so here. It needs `unshare` and `mount` of util-linux, and the right to create user and \
    mount namespaces: in a container, start it with `--cap-add SYS_ADMIN` and a seccomp profile \
    that allows `unshare` and `mount`; on Ubuntu 24.04 and later, run `sysctl -w \
    kernel.apparmor_restrict_unprivileged_userns=0`. The variant with ext4 needs root, loop \
    devices and `mkfs.ext4` of e2fsprogs as well.";

/// The line that reports the mounted disk.
const MOUNTED: &str = "the disk is mounted";

const TMPFS: &str = "mount -t tmpfs -o size=24m,mode=700 tmpfs \"$DISK\"";

/// No space is reserved for root, who runs the test.
const EXT4: &str = "truncate -s 24M \"$DISK.img\"; mkfs.ext4 -q -F -m 0 \"$DISK.img\"; \
    mount -o loop \"$DISK.img\" \"$DISK\"; rmdir \"$DISK/lost+found\"";

/// Runs the test again in a process with an empty disk. Fails with the faults that it reports.
pub(crate) fn on(disk: Disk, name: &str) {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("disk");
    std::fs::create_dir(&place).unwrap();
    let (namespaces, mount) = match disk {
        Disk::Tmpfs => ("-Urm", TMPFS),
        Disk::Ext4 => ("-m", EXT4),
    };
    let script = format!(
        "set -e; {mount}; echo '{MOUNTED}'; exec \"$0\" --exact \"$1\" --nocapture \
         --include-ignored --test-threads=1"
    );
    let output = Command::new("unshare")
        .args([namespaces, "sh", "-c", &script])
        .arg(env::current_exe().unwrap())
        .arg(name)
        .env(CHILD, &place)
        .env("DISK", &place)
        .output()
        .unwrap_or_else(|error| panic!("cannot run `unshare`: {error}. {NEEDS}"));
    let printed = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(printed.contains(MOUNTED), "{NEEDS}\n{errors}");
    for note in notes(&printed) {
        println!("{name}: {note}");
    }
    let found = faults(&printed);
    let status = output.status;
    assert!(found.is_empty(), "{status}, {}\n{errors}", summary(&found));
}

/// The file that takes all the space.
fn filler(disk: &Path) -> PathBuf {
    disk.join("filler")
}

/// Fills the disk to the last page, as another process does.
pub(crate) fn fill(disk: &Path) {
    for size in ["256k", "4k", "1k"] {
        let output = Command::new("dd")
            .args(["if=/dev/zero", "oflag=append", "conv=notrunc", &format!("bs={size}")])
            .arg(format!("of={}", filler(disk).display()))
            .stdout(Stdio::null())
            .env("LC_ALL", "C")
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(errors.contains("No space left on device"), "{errors}");
    }
    // Data that is not yet written to the disk itself may find no space there, or may free some.
    let synced = Command::new("sync").arg("--file-system").arg(disk).status().unwrap();
    assert!(synced.success());
}

/// Removes the file that fills the disk.
pub(crate) fn make_room(disk: &Path) {
    std::fs::remove_file(filler(disk)).unwrap();
}
