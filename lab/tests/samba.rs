//! The Samba domain controller of the lab does what tests rely on.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::TcpStream;
use std::path::Path;

use rollcall_lab::samba::{Dc, DcOptions, Fill};

fn filled() -> DcOptions {
    DcOptions {
        fill: Some(Fill::default()),
    }
}

fn count(ldif: &str) -> usize {
    ldif.lines().filter(|line| line.starts_with("dn:")).count()
}

/// Processes that have the directory of the controller in their command line.
fn processes_in(directory: &Path) -> Vec<String> {
    let directory = directory.to_str().unwrap();
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(directory))
        .collect()
}

#[test]
fn a_filled_domain_has_what_its_summary_says_and_ends_completely() {
    let dc = Dc::start(&filled()).unwrap();
    let summary = dc.summary().unwrap().unwrap();
    let people = format!("OU=People,{}", dc.base_dn());
    let users = dc
        .admin_ldapsearch(&["-b", &people, "(objectClass=user)", "dn"])
        .unwrap();
    assert_eq!(summary["count"]["users"], count(&users));
    let groups = format!("OU=Groups,{}", dc.base_dn());
    let groups = dc
        .admin_ldapsearch(&["-b", &groups, "(objectClass=group)", "member"])
        .unwrap();
    assert_eq!(summary["count"]["groups"], count(&groups));
    let members = groups
        .lines()
        .filter(|line| line.starts_with("member:"))
        .count();
    assert_eq!(summary["count"]["memberships"], members);

    let directory = dc
        .conf_path()
        .parent()
        .unwrap()
        .parent()
        .unwrap()
        .to_path_buf();
    assert!(!processes_in(&directory).is_empty());
    let ip = dc.ip();
    drop(dc);
    assert_eq!(processes_in(&directory), Vec::<String>::new());
    assert!(TcpStream::connect((ip, 636)).is_err());
    assert!(!directory.exists());
}

#[test]
fn two_controllers_run_side_by_side_and_one_survives_a_kill() {
    let mut one = Dc::start(&DcOptions::default()).unwrap();
    let two = Dc::start(&DcOptions::default()).unwrap();
    one.samba_tool(&["group", "add", "only-in-one"]).unwrap();
    let filter = "(sAMAccountName=only-in-one)";
    assert_eq!(count(&one.admin_ldapsearch(&[filter, "dn"]).unwrap()), 1);
    assert_eq!(count(&two.admin_ldapsearch(&[filter, "dn"]).unwrap()), 0);

    one.kill();
    assert!(TcpStream::connect((one.ip(), 636)).is_err());
    one.restart().unwrap();
    assert_eq!(count(&one.admin_ldapsearch(&[filter, "dn"]).unwrap()), 1);
    one.stop();
    assert!(one.admin_ldapsearch(&[filter, "dn"]).is_err());
}
