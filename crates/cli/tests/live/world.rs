//! A hub in this process, and the program pointed at it.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rollcall_client::{Client, ClientOptions, Credentials, ServiceAccountKey};
use rollcall_hub::data_directory::DataDirectory;
use rollcall_hub::init::{self, Made};
use rollcall_hub::server::{self, RunningHub};
use rollcall_kit::clock::SystemClock;
use rollcall_kit::entropy::SystemEntropy;
use serde_json::Value as Json;
use tempfile::TempDir;

/// A fresh hub and a home directory with a profile for it.
pub struct World {
    pub address: String,
    pub made: Made,
    pub home: PathBuf,
    _hub: RunningHub,
    _directory: TempDir,
}

/// What a run of the program left behind.
#[derive(Debug)]
pub struct Run {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl World {
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("hub");
        let request = init::Request {
            data: data.clone(),
            organization: "Corp".into(),
            address: "127.0.0.1:0".into(),
            database: None,
        };
        let made = init::init(request, &SystemClock, &SystemEntropy)
            .await
            .unwrap();
        let hub = server::start(server::Options::new(DataDirectory::at(&data)))
            .await
            .unwrap();
        let world = Self {
            address: format!("127.0.0.1:{}", hub.port),
            made,
            home: directory.path().join("home"),
            _hub: hub,
            _directory: directory,
        };
        let (ca, key) = (path(&world.made.ca), path(&world.made.key));
        let set = ["profile", "set", "main", "--address", &world.address];
        world.done(&[&set[..], &["--ca", &ca, "--key", &key]].concat());
        world
    }

    /// Starts the program with pipes.
    pub fn start_program(&self, arguments: &[&str]) -> Child {
        self.program(arguments).spawn().unwrap()
    }

    fn program(&self, arguments: &[&str]) -> Command {
        let mut program = Command::new(env!("CARGO_BIN_EXE_rollcall"));
        program
            .args(arguments)
            .env_clear()
            .env("HOME", &self.home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        program
    }

    /// Runs the program, however it ends, and gives the paths of the calls it made.
    pub fn calls(&self, arguments: &[&str], input: &str) -> Vec<String> {
        const MARK: &str = "path=\"";
        let mut program = self.program(arguments);
        program.env("RUST_LOG", "rollcall_client=trace");
        let run = finish(program.spawn().unwrap(), input);
        let paths = run.err.lines().filter_map(|line| {
            let (_, path) = line.split_once(MARK)?;
            Some(path.trim_end_matches('"').to_owned())
        });
        paths.collect()
    }

    /// Runs the program with `input` on standard input.
    pub fn run_with(&self, arguments: &[&str], input: &str) -> Run {
        finish(self.start_program(arguments), input)
    }

    /// Runs the program with a token in place of the key of the profile.
    pub fn run_as(&self, token: &str, arguments: &[&str], input: &str) -> Run {
        let mut program = self.program(arguments);
        program.env("ROLLCALL_TOKEN", token.trim());
        finish(program.spawn().unwrap(), input)
    }

    /// Runs a command that must succeed.
    #[track_caller]
    pub fn done(&self, arguments: &[&str]) -> String {
        self.done_with(arguments, "")
    }

    /// Runs a command that must succeed, with `input` on standard input.
    #[track_caller]
    pub fn done_with(&self, arguments: &[&str], input: &str) -> String {
        let run = self.run_with(arguments, input);
        assert_eq!(run.code, Some(0), "{arguments:?}: {run:?}");
        run.out
    }

    /// Runs a command that must succeed, and reads its JSON.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Json {
        let out = self.done(&[arguments, &["-o", "json"]].concat());
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }

    /// Runs a command that must fail with `code` and say `hint`.
    #[track_caller]
    pub fn fails(&self, arguments: &[&str], code: i32, hint: &str) {
        let run = self.run_with(arguments, "");
        assert_eq!(run.code, Some(code), "{arguments:?}: {run:?}");
        assert!(run.err.contains(hint), "{arguments:?}: {run:?}");
    }

    /// A connection of its own, for what the program does not do.
    pub async fn client(&self) -> Client {
        let key = ServiceAccountKey::read(&self.made.key).unwrap();
        let options = ClientOptions::new(self.address.clone())
            .with_ca(&self.made.ca)
            .with_credentials(Credentials::Key(key));
        Client::connect(options).await.unwrap()
    }
}

/// Gives `input` to a program and waits until it ends.
fn finish(mut child: Child, input: &str) -> Run {
    // A program that ends without reading its input is fine.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    Run {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Presses Ctrl-C in a program.
pub fn interrupt(child: &Child) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
}

fn path(path: &std::path::Path) -> String {
    path.to_str().unwrap().to_owned()
}
