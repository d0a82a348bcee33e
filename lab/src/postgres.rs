//! A private PostgreSQL server for tests.
//!
//! Invariant: it listens on a leased loopback address only, its files are in a temporary directory,
//! and both are gone when [`Postgres`] is dropped. Durability is switched off: these servers test
//! SQL and concurrency, not disks. Deliberately absent: passwords, since nothing in it is secret.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::geteuid;
use tempfile::TempDir;

use crate::account::Account;
use crate::address::Address;
use crate::keeper::{Kept, Leash};

const USER: &str = "rollcall";
/// PostgreSQL refuses to run as root; the first of these accounts that exists is used then.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];
const START_POLL: Duration = Duration::from_millis(20);
/// 60 s: a start takes a fraction of a second, but tests may run on a machine that is overloaded.
const START_POLLS_MAX: u32 = 3_000;
/// SIGQUIT is PostgreSQL's immediate shutdown: the files are thrown away anyway.
const STOP_SIGNAL: i32 = 3;
const GRACE_SECONDS: u32 = 10;

/// A running server; drop it to stop it.
#[derive(Debug)]
pub struct Postgres {
    // Order matters: the server stops before its address and its directory are given back.
    _server: Kept,
    address: Address,
    port: u16,
    programs: PathBuf,
    databases: AtomicU32,
    directory: TempDir,
}

impl Postgres {
    /// Creates a cluster and starts it. Blocks for about a second.
    ///
    /// # Errors
    /// When PostgreSQL is not installed or does not start; the message has the end of its log.
    pub fn start() -> Result<Self> {
        let programs = find_programs()?;
        let directory = tempfile::Builder::new().prefix("rollcall-pg-").tempdir()?;
        let account = if geteuid().is_root() {
            Some(Account::find(&UNPRIVILEGED)?)
        } else {
            None
        };
        if let Some(account) = &account {
            chown(directory.path(), Some(account.user), Some(account.group))?;
        }
        let data = directory.path().join("data");
        initialise(&programs, &data, account.as_ref())?;

        let address = Address::lease()?;
        let port = address.free_port()?;
        let mut command = as_account(account.as_ref());
        command.push(text(&programs.join("postgres"))?);
        command.extend(["-D".to_owned(), text(&data)?]);
        for setting in settings(&address, port) {
            command.extend(["-c".to_owned(), setting]);
        }
        let log_path = directory.path().join("log");
        let leash = Leash {
            lock_path: address.lock_path(),
            stop_signal: STOP_SIGNAL,
            grace_seconds: GRACE_SECONDS,
            log_path: &log_path,
        };
        let mut server = Kept::start(&leash, &command)?;
        wait_ready(&mut server, &programs, &address, port)?;
        Ok(Self {
            _server: server,
            address,
            port,
            programs,
            databases: AtomicU32::new(0),
            directory,
        })
    }

    /// Creates an empty database with C collation and UTF-8 and returns its URL.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn fresh_database(&self) -> Result<String> {
        let name = format!("test{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let output = client(&self.programs, "createdb", &self.address, self.port)
            .args(["--template=template0", "--locale=C", "--encoding=UTF8"])
            .arg(&name)
            .output()
            .context("run createdb")?;
        check("createdb", &output)?;
        Ok(format!(
            "postgresql://{USER}@{}:{}/{name}",
            self.address.ip(),
            self.port
        ))
    }

    /// Where all files of the server are, its log included.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Everything in the database at `url`, as a backup has it.
    ///
    /// # Errors
    /// When `pg_dump` fails.
    pub fn dump(&self, url: &str) -> Result<Vec<u8>> {
        let output = Command::new(self.programs.join("pg_dump"))
            .arg(url)
            .output()
            .context("run pg_dump")?;
        check("pg_dump", &output)?;
        Ok(output.stdout)
    }
}

fn settings(address: &Address, port: u16) -> [String; 9] {
    [
        format!("listen_addresses={}", address.ip()),
        format!("port={port}"),
        "unix_socket_directories=".to_owned(),
        "fsync=off".to_owned(),
        "full_page_writes=off".to_owned(),
        "synchronous_commit=off".to_owned(),
        "shared_buffers=32MB".to_owned(),
        // Several pools and a racing second writer per test.
        "max_connections=200".to_owned(),
        "max_wal_size=64MB".to_owned(),
    ]
}

fn initialise(programs: &Path, data: &Path, account: Option<&Account>) -> Result<()> {
    let mut command = as_account(account);
    command.push(text(&programs.join("initdb"))?);
    let (program, before) = command.split_first().context("an empty command")?;
    let output = Command::new(program)
        .args(before)
        .args(["--username", USER, "--auth=trust", "--no-locale"])
        .args(["--encoding=UTF8", "--no-sync", "--no-instructions"])
        .args(["--wal-segsize=1", "-D"])
        .arg(data)
        .current_dir("/")
        .output()
        .context("run initdb")?;
    check("initdb", &output)
}

fn wait_ready(server: &mut Kept, programs: &Path, address: &Address, port: u16) -> Result<()> {
    for _ in 0..START_POLLS_MAX {
        server.check_alive().context("start PostgreSQL")?;
        let answer = client(programs, "pg_isready", address, port).output()?;
        if answer.status.success() {
            return Ok(());
        }
        std::thread::sleep(START_POLL);
    }
    bail!("PostgreSQL did not become ready:\n{}", server.log_tail())
}

fn client(programs: &Path, name: &str, address: &Address, port: u16) -> Command {
    let mut command = Command::new(programs.join(name));
    command
        .arg(format!("--host={}", address.ip()))
        .arg(format!("--port={port}"))
        .arg(format!("--username={USER}"));
    command
}

/// The newest PostgreSQL of Debian's layout (one directory per version), else the one on PATH.
fn find_programs() -> Result<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .filter(|(_, path)| path.join("initdb").exists())
        .collect();
    versions.sort();
    if let Some((_, path)) = versions.pop() {
        return Ok(path);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .find(|directory| directory.join("initdb").exists())
        .context("PostgreSQL is not installed: apt-get install postgresql")
}

fn as_account(account: Option<&Account>) -> Vec<String> {
    account.map_or_else(Vec::new, |account| {
        vec![
            "setpriv".to_owned(),
            format!("--reuid={}", account.user),
            format!("--regid={}", account.group),
            "--clear-groups".to_owned(),
            "--".to_owned(),
        ]
    })
}

fn text(path: &Path) -> Result<String> {
    let text = path.to_str();
    Ok(text
        .with_context(|| format!("{} is not UTF-8", path.display()))?
        .to_owned())
}

fn check(what: &str, output: &Output) -> Result<()> {
    ensure!(
        output.status.success(),
        "{what} failed ({}):\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    fn select(url: &str, sql: &str) -> String {
        let output = Command::new("psql")
            .args(["--no-psqlrc", "--tuples-only", "--no-align", url, "-c", sql])
            .output()
            .unwrap();
        check("psql", &output).unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    #[test]
    fn databases_are_fresh_and_the_server_ends_with_its_owner() {
        let server = Postgres::start().unwrap();
        let first = server.fresh_database().unwrap();
        let second = server.fresh_database().unwrap();
        select(&first, "create table t(a text); insert into t values ('x')");
        let tables = "select count(*) from pg_tables where tablename = 't'";
        assert_eq!(select(&first, tables), "1");
        assert_eq!(select(&second, tables), "0");
        let collation = "select datcollate from pg_database where datname = current_database()";
        assert_eq!(select(&second, collation), "C");

        let endpoint = (server.address.ip(), server.port);
        let directory = server.directory.path().to_path_buf();
        drop(server);
        assert!(TcpStream::connect(endpoint).is_err());
        assert!(!directory.exists());
    }

    #[test]
    fn two_servers_run_side_by_side() {
        let (one, two) = (Postgres::start().unwrap(), Postgres::start().unwrap());
        let (one, two) = (one.fresh_database().unwrap(), two.fresh_database().unwrap());
        assert_ne!(one, two);
    }
}
