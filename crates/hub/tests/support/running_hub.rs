//! The real program, initialised in a directory of its own and serving on a free port.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value as Json;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_rollcall-hub");
const READY_SECONDS_MAX: u64 = 60;
/// Nobody answers there, so that a search for the proof of a domain goes on until it is cancelled,
/// and asks nobody outside.
const CONFIGURATION: &str = "dns:\n  servers: [\"127.0.0.1:9\"]\n";

/// A hub that serves until it is dropped.
pub struct RunningHub {
    child: Child,
    /// `host:port` as discovery names it.
    pub address: String,
    pub organization_id: String,
    /// The certificate to trust.
    pub ca: PathBuf,
    /// The key of the administrator.
    pub key: PathBuf,
    _directory: TempDir,
}

impl RunningHub {
    /// Initialises and starts a hub.
    pub fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("hub");
        // Discovery names the port in use in place of port 0.
        let made = init(&data, "127.0.0.1:0");
        std::fs::OpenOptions::new()
            .append(true)
            .open(data.join("hub.yaml"))
            .and_then(|mut file| file.write_all(CONFIGURATION.as_bytes()))
            .unwrap();
        let (child, address) = serve(&data);
        let text = |name: &str| {
            made[name]
                .as_str()
                .unwrap_or_else(|| panic!("{name}: {made}"))
                .to_owned()
        };
        Self {
            child,
            address,
            organization_id: text("organization_id"),
            ca: text("ca").into(),
            key: text("key").into(),
            _directory: directory,
        }
    }
}

impl Drop for RunningHub {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn init(data: &Path, address: &str) -> Json {
    let output = Command::new(PROGRAM)
        .args([
            "init",
            "--organization",
            "Test",
            "--address",
            address,
            "-o",
            "json",
            "--data",
        ])
        .arg(data)
        .output()
        .unwrap();
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "init: {stdout}{stderr}");
    serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}"))
}

/// Starts the program, waits for its line and returns the address in it.
fn serve(data: &Path) -> (Child, String) {
    let mut child = Command::new(PROGRAM)
        .args(["serve", "--data"])
        .arg(data)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let (sender, receiver) = mpsc::channel();
    // Reads on after the first line, so that the program never waits for a full pipe.
    std::thread::spawn(move || {
        let mut line = String::new();
        let _ = stdout.read_line(&mut line);
        let _ = sender.send(line);
        let _ = stdout.read_to_end(&mut Vec::new());
    });
    let line = receiver.recv_timeout(Duration::from_secs(READY_SECONDS_MAX));
    let address = line
        .as_deref()
        .ok()
        .and_then(|line| line.split_whitespace().last());
    match address.map(str::to_owned) {
        Some(address) => (child, address),
        None => {
            let _ = child.kill();
            panic!("the hub did not become ready: {line:?}, {:?}", child.wait());
        }
    }
}
