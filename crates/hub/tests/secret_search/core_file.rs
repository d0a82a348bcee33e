//! Core files are off: by the limit, and because the kernel counts the process among those that it
//! makes none of, whoever takes core files on this machine (prctl(2), PR_SET_DUMPABLE).

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::io::{FdFlags, fcntl_setfd};

use crate::program::PROGRAM;

/// Debian's user `nobody`.
const NOBODY: u32 = 65_534;

/// Looks at a hub that runs as somebody else than root: the files of a process in `/proc` belong to
/// its user unless the kernel makes no core file of it (proc(5)).
pub fn check() {
    assert!(rustix::process::geteuid().is_root(), "tests run as root");
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("hub");
    let init = ["init", "--organization", "Test", "--address", "localhost:0"];
    let output = Command::new(PROGRAM)
        .args(init)
        .arg("--data")
        .arg(&data)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    give(directory.path());
    // The folder of the program may be closed to others, so it is started through an open file.
    let program = File::open(PROGRAM).unwrap();
    fcntl_setfd(&program, FdFlags::empty()).unwrap();
    let mut child = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()))
        .args(["serve", "--data"])
        .arg(&data)
        .uid(NOBODY)
        .gid(NOBODY)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
    let proc = format!("/proc/{}", child.id());
    let status = std::fs::read_to_string(format!("{proc}/status")).unwrap();
    let limits = std::fs::read_to_string(format!("{proc}/limits")).unwrap();
    let owner = std::fs::metadata(format!("{proc}/environ")).unwrap().uid();
    let _ = child.kill();
    let _ = child.wait();
    assert!(line.contains("is ready"), "{line:?}");
    let runs_as = status.lines().find(|line| line.starts_with("Uid:"));
    assert!(runs_as.unwrap().contains(&NOBODY.to_string()), "{status}");
    let core = limits.lines().find(|line| line.contains("core file size"));
    let words: Vec<_> = core.unwrap().split_whitespace().collect();
    assert_eq!(words[4..6], ["0", "0"], "{words:?}");
    assert_eq!(owner, 0, "the kernel would write a core file");
}

/// Gives everything in a folder to that user.
fn give(path: &Path) {
    chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path());
        }
    }
}
