//! The real program with everything on that writes: the log at its most talkative level into a file,
//! the export of the audit trail into another.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use http::Version;
use rollcall_client::ServiceAccountKey;
use rollcall_kit::clock::{Clock as _, SystemClock};
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use crate::caller::{Caller, Wire};
use crate::needles::{Found, Kind, Needles};
use crate::rest_transport::RestTransport;
use rollcall_proto::iam;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_rollcall-hub");
/// Stands in the environment of the program, so in its memory.
pub const MARKER: &str = "marker-of-the-environment-4711";
const POLL: Duration = Duration::from_millis(20);
const POLLS_MAX: u32 = 3_000;

/// A hub that runs until it is dropped, and all that it writes.
pub struct Program {
    child: Child,
    pub address: String,
    pub organization_id: String,
    ca: PathBuf,
    key: PathBuf,
    /// Everything on disk.
    directory: TempDir,
}

impl Program {
    /// Initialises and starts a hub, on this database instead of the embedded one.
    pub fn start(database: Option<&str>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let mut init = Command::new(PROGRAM);
        init.args(["init", "--organization", "Test", "--address", "localhost:0"])
            .args(["-o", "json", "--data"])
            .arg(path("hub"));
        if let Some(database) = database {
            init.args(["--database", database]);
        }
        let output = init.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let made: Json = serde_json::from_slice(&output.stdout).unwrap();
        let yaml = path("hub").join("hub.yaml");
        let text = std::fs::read_to_string(&yaml).unwrap();
        let audit = json!({"file": {"path": path("audit.jsonl")}});
        std::fs::write(&yaml, format!("{text}audit: {audit}\n")).unwrap();

        let file = |name: &str| std::fs::File::create(path(name)).unwrap();
        let child = Command::new(PROGRAM)
            .args(["serve", "--data"])
            .arg(path("hub"))
            .env("ROLLCALL_LOG", "trace")
            .env("MARKER", MARKER)
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("log"))
            .spawn()
            .unwrap();
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        let mut program = Self {
            child,
            address: String::new(),
            organization_id: text("organization_id"),
            ca: text("ca").into(),
            key: text("key").into(),
            directory,
        };
        program.address = program.wait_ready();
        program
    }

    fn wait_ready(&mut self) -> String {
        for _ in 0..POLLS_MAX {
            let stdout = std::fs::read_to_string(self.path().join("stdout")).unwrap();
            let line = stdout.lines().next().filter(|_| stdout.ends_with('\n'));
            if let Some(address) = line.and_then(|line| line.split_whitespace().last()) {
                return address.to_owned();
            }
            assert!(self.child.try_wait().unwrap().is_none(), "it ended");
            std::thread::sleep(POLL);
        }
        panic!("the hub did not become ready");
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// A connection of its own.
    pub async fn connect(&self, wire: Wire) -> Caller {
        Caller::new(wire, self.channel().await, self.rest())
    }

    async fn channel(&self) -> Channel {
        let ca = Certificate::from_pem(std::fs::read(&self.ca).unwrap());
        let tls = ClientTlsConfig::new().ca_certificate(ca);
        let endpoint = Endpoint::from_shared(format!("https://{}", self.address)).unwrap();
        endpoint.tls_config(tls).unwrap().connect().await.unwrap()
    }

    fn rest(&self) -> RestTransport {
        RestTransport::new(&self.address, &self.ca)
    }

    /// A client of plain HTTP, for what no client of the contract would send.
    pub fn http(&self, version: Version) -> reqwest::Client {
        let ca = reqwest::Certificate::from_pem(&std::fs::read(&self.ca).unwrap()).unwrap();
        let builder = reqwest::Client::builder().tls_certs_only([ca]);
        let builder = match version {
            Version::HTTP_11 => builder.http1_only(),
            _ => builder,
        };
        builder.https_only(true).build().unwrap()
    }

    /// The administrator on this connection.
    pub async fn administrator(&self, caller: &Caller, needles: &mut Needles) -> Caller {
        let key = ServiceAccountKey::read(&self.key).unwrap();
        let jwt = key.sign(SystemClock.now()).unwrap();
        let (_, signature) = jwt.expose().rsplit_once('.').unwrap();
        needles.add_secret("signature of a JWT", Kind::Token, signature);
        let made: iam::CreateIamTokenResponse = caller
            .call("IamTokenService/Create", json!({"jwt": jwt.expose()}))
            .await
            .unwrap();
        caller.with_token(&made.iam_token, needles)
    }

    /// Searches every file that the hub wrote.
    pub fn search_disk(&self, needles: &Needles) -> Vec<Found> {
        search_folder(self.path(), needles)
    }

    /// How many bytes lie on disk whose path has this in it.
    pub fn count_bytes(&self, part: &str) -> u64 {
        let mut sum = 0;
        visit(self.path(), &mut |path| {
            if path.to_string_lossy().contains(part) {
                sum += path.metadata().unwrap().size();
            }
        });
        sum
    }

    /// Whether a file whose path ends so holds `text`.
    pub fn holds(&self, end: &str, text: &str) -> bool {
        let mut is_found = false;
        visit(self.path(), &mut |path| {
            if path.to_string_lossy().ends_with(end) {
                let bytes = std::fs::read(path).unwrap();
                let mut parts = bytes.windows(text.len());
                is_found |= parts.any(|part| part == text.as_bytes());
            }
        });
        is_found
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Searches every file below `folder`.
pub fn search_folder(folder: &Path, needles: &Needles) -> Vec<Found> {
    let mut found = Vec::new();
    visit(folder, &mut |path| {
        // A server removes files as it likes.
        if let Ok(bytes) = std::fs::read(path) {
            found.extend(needles.search(&path.display().to_string(), &bytes));
        }
    });
    found
}

fn visit(folder: &Path, each: &mut dyn FnMut(&Path)) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => visit(&path, each),
            false => each(&path),
        }
    }
}
