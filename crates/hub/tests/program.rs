//! The program itself: its commands, its end, and what a power cut leaves.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rollcall_client::{Client, ClientOptions, Credentials, ServiceAccountKey};
use rollcall_proto::{idp, signin};
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_rollcall-hub");
const WRITERS: usize = 16;
const ACKNOWLEDGED_BEFORE_KILL: usize = 150;

fn init(data: &Path) -> Output {
    Command::new(PROGRAM)
        .args([
            "init",
            "--organization",
            "Test",
            "--address",
            "localhost:0",
            "-o",
            "json",
        ])
        .arg("--data")
        .arg(data)
        .output()
        .unwrap()
}

fn made(data: &Path) -> Value {
    let output = init(data);
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn serve_command(data: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .args(["serve", "--data"])
        .arg(data)
        .stderr(Stdio::null());
    command
}

/// A running program and the address it printed.
struct Program {
    child: Child,
    address: String,
}

impl Program {
    fn start(data: &Path) -> Self {
        Self::wait(serve_command(data))
    }

    fn wait(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line
            .trim_end()
            .strip_prefix("rollcall-hub is ready on ")
            .unwrap_or_else(|| panic!("not ready: {line:?}"))
            .to_owned();
        Self { child, address }
    }

    async fn administrator(&self, made: &Value) -> Client {
        let path = |name: &str| PathBuf::from(made[name].as_str().unwrap());
        let key = ServiceAccountKey::read(&path("key")).unwrap();
        let options = ClientOptions::new(&self.address)
            .with_ca(path("ca"))
            .with_credentials(Credentials::Key(key));
        Client::connect(options).await.unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_directory_is_initialised_once() {
    let temp = tempfile::tempdir().unwrap();
    let data = temp.path().join("hub");
    let json = made(&data);
    for name in ["organization_id", "address", "ca", "key"] {
        assert!(json[name].is_string(), "{json}");
    }
    let before = std::fs::read(data.join("administrator.json")).unwrap();
    let again = init(&data);
    assert_eq!(again.status.code(), Some(1));
    let message = String::from_utf8(again.stderr).unwrap();
    assert!(message.contains("already holds a hub"), "{message}");
    assert_eq!(
        std::fs::read(data.join("administrator.json")).unwrap(),
        before
    );
}

#[test]
fn text_output_says_what_to_do_next() {
    let temp = tempfile::tempdir().unwrap();
    let data = temp.path().join("hub");
    let output = Command::new(PROGRAM)
        .args([
            "init",
            "--organization",
            "Test",
            "--address",
            "localhost:0",
            "--data",
        ])
        .arg(&data)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains(&format!("rollcall-hub serve --data {}", data.display())),
        "{text}"
    );
}

#[test]
fn every_file_belongs_to_the_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let temp = tempfile::tempdir().unwrap();
    let data = temp.path().join("hub");
    made(&data);
    let _program = Program::start(&data);
    for entry in std::fs::read_dir(&data).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", entry.path().display());
    }
}

#[test]
fn a_second_hub_and_a_bad_configuration_are_refused() {
    let temp = tempfile::tempdir().unwrap();
    let data = temp.path().join("hub");
    let refused = |part: &str| {
        let mut command = serve_command(&data);
        let output = command.stderr(Stdio::piped()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(message.contains(part), "{message}");
    };
    refused("rollcall-hub init");
    made(&data);
    let program = Program::start(&data);
    refused("already runs");
    drop(program);
    let config = data.join("hub.yaml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}lease: 3\n")).unwrap();
    refused("lease");
}

#[test]
fn a_stop_signal_ends_it_cleanly() {
    use rustix::process::{Pid, Signal, kill_process};
    let temp = tempfile::tempdir().unwrap();
    let data = temp.path().join("hub");
    made(&data);
    for signal in [Signal::TERM, Signal::INT] {
        let mut program = Program::start(&data);
        kill_process(Pid::from_child(&program.child), signal).unwrap();
        assert!(program.child.wait().unwrap().success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_a_kill() {
    let temp = tempfile::tempdir().unwrap();
    let data = temp.path().join("hub");
    let made = made(&data);
    let mut program = Program::start(&data);
    let client = program.administrator(&made).await;
    let pool_id = create_pool(&client, &made).await;

    let (sender, mut acknowledged) = tokio::sync::mpsc::unbounded_channel();
    for writer in 0..WRITERS {
        let (client, pool_id, sender) = (client.clone(), pool_id.clone(), sender.clone());
        tokio::spawn(async move {
            for number in 0.. {
                let login = format!("u{writer}-{number}");
                let Some(ids) = create_user(&client, &pool_id, &login).await else {
                    return;
                };
                if sender.send(ids).is_err() {
                    return;
                }
            }
        });
    }
    drop(sender);
    let mut seen = Vec::new();
    while seen.len() < ACKNOWLEDGED_BEFORE_KILL {
        seen.push(acknowledged.recv().await.expect("the hub works"));
    }
    program.child.kill().unwrap();
    program.child.wait().unwrap();
    while let Some(ids) = acknowledged.recv().await {
        seen.push(ids);
    }

    let program = Program::start(&data);
    let client = program.administrator(&made).await;
    for (user_id, operation_id) in seen {
        let request = idp::GetUserRequest {
            user_id: user_id.clone(),
        };
        let user = client.channel().users().get(request).await;
        assert!(user.is_ok(), "user {user_id} was acknowledged: {user:?}");
        let request = rollcall_proto::operation::GetOperationRequest { operation_id };
        let operation = client
            .channel()
            .operations()
            .get(request)
            .await
            .unwrap()
            .into_inner();
        assert!(operation.done);
    }
}

/// A change that waits for the directory is neither lost with the hub nor done twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_change_that_waits_survives_a_kill() {
    let temp = tempfile::tempdir().unwrap();
    let data = temp.path().join("hub");
    let made = made(&data);
    let mut program = Program::start(&data);
    let client = program.administrator(&made).await;
    let pool_id = create_pool(&client, &made).await;
    let settings = idp::CreateSynchronizationSettingsRequest {
        subject_container_id: pool_id.clone(),
        filter: Some(idp::SynchronizationFilter {
            domain: "corp.example".into(),
            ..Default::default()
        }),
        enable_password_writeback: true,
        ..Default::default()
    };
    let channel = client.channel();
    channel
        .synchronization()
        .create_synchronization_settings(settings)
        .await
        .unwrap();
    let (user_id, _) = create_user(&client, &pool_id, "ann").await.unwrap();
    let convert = idp::ConvertToExternalUserRequest {
        user_id: user_id.clone(),
        external_id: "guid-ann".into(),
    };
    channel.users().convert_to_external(convert).await.unwrap();
    let reset = idp::SetOthersPasswordRequest {
        user_id,
        password_spec: Some(idp::PasswordSpec {
            password: "Correct horse 7".into(),
            generation_proof: String::new(),
        }),
    };
    let begun = channel.users().set_others_password(reset).await.unwrap();
    let begun = begun.into_inner();
    assert!(!begun.done);
    program.child.kill().unwrap();
    program.child.wait().unwrap();

    let program = Program::start(&data);
    let client = program.administrator(&made).await;
    let first = idp::GetPasswordChangesRequest {
        userpool_id: pool_id.clone(),
        agent_id: "agent-1".into(),
        offset: 0,
    };
    // The stream of requests stays open until the test ends.
    let requests =
        futures::StreamExt::chain(futures::stream::iter([first]), futures::stream::pending());
    let channel = client.channel();
    let stream = channel.users().get_password_changes(requests).await;
    let change = stream.unwrap().into_inner().message().await.unwrap();
    let change = change.unwrap();
    assert_eq!(change.modifying_operation_id, begun.id);
    let answer = idp::CommitPasswordRequest {
        external_user_id: change.external_user_id,
        password: change.password,
        modifying_operation_id: change.modifying_operation_id,
        userpool_id: pool_id,
        ..Default::default()
    };
    channel.users().commit_password(answer).await.unwrap();
    let request = rollcall_proto::operation::GetOperationRequest {
        operation_id: begun.id,
    };
    let ended = channel
        .operations()
        .get(request)
        .await
        .unwrap()
        .into_inner();
    rollcall_client::operation_response::<idp::SetOthersPasswordResponse>(ended).unwrap();
    let request = signin::SignInRequest {
        username: "ann@staff.idp.rollcall.internal".into(),
        password: "Correct horse 7".into(),
    };
    let answer = channel.sign_ins().sign_in(request).await.unwrap();
    assert!(answer.into_inner().result.is_some());
}

async fn create_pool(client: &Client, made: &Value) -> String {
    let request = idp::CreateUserpoolRequest {
        organization_id: made["organization_id"].as_str().unwrap().into(),
        name: "staff".into(),
        default_subdomain: "staff".into(),
        ..Default::default()
    };
    let operation = client
        .channel()
        .userpools()
        .create(request)
        .await
        .unwrap()
        .into_inner();
    let pool: idp::Userpool = rollcall_client::operation_response(operation).unwrap();
    pool.id
}

/// Ids of the user and of the operation; `None` once the hub is gone.
async fn create_user(client: &Client, pool_id: &str, login: &str) -> Option<(String, String)> {
    let hash = idp::PasswordHash {
        password_hash: "8846f7eaee8fb117ad06bdd830b7586c".into(),
        password_hash_type: idp::password_hash::PasswordHashType::AdMd4.into(),
        created_at: None,
    };
    let request = idp::CreateUserRequest {
        userpool_id: pool_id.into(),
        username: format!("{login}@staff.idp.rollcall.internal"),
        full_name: login.into(),
        credentials: Some(idp::create_user_request::Credentials::PasswordHash(hash)),
        ..Default::default()
    };
    let operation = client
        .channel()
        .users()
        .create(request)
        .await
        .ok()?
        .into_inner();
    let id = operation.id.clone();
    let user: idp::User = rollcall_client::operation_response(operation).unwrap();
    Some((user.id, id))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_has_one_line_per_call_and_no_secret() {
    let temp = tempfile::tempdir().unwrap();
    let data = temp.path().join("hub");
    let made = made(&data);
    let log_path = temp.path().join("log");
    let log = std::fs::File::create(&log_path).unwrap();
    let mut command = serve_command(&data);
    command
        .args(["--log-format", "json"])
        .env("ROLLCALL_LOG", "debug")
        .stderr(log);
    let mut program = Program::wait(command);
    let client = program.administrator(&made).await;
    let token = client.token().await.unwrap().unwrap();
    let pool_id = create_pool(&client, &made).await;
    create_user(&client, &pool_id, "ann").await.unwrap();
    let spec = idp::PasswordSpec {
        password: "Correct horse 7".into(),
        generation_proof: String::new(),
    };
    let request = idp::CreateUserRequest {
        userpool_id: pool_id,
        username: "bob@staff.idp.rollcall.internal".into(),
        full_name: "Bob".into(),
        credentials: Some(idp::create_user_request::Credentials::PasswordSpec(spec)),
        ..Default::default()
    };
    client.channel().users().create(request).await.unwrap();
    program.child.kill().unwrap();
    program.child.wait().unwrap();

    let log = std::fs::read_to_string(&log_path).unwrap();
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let creations: Vec<_> = lines
        .iter()
        .filter(|line| line["target"] == "access")
        .map(|line| &line["fields"])
        .filter(|fields| {
            fields["method"]
                .as_str()
                .unwrap()
                .ends_with("UserService/Create")
        })
        .collect();
    assert_eq!(creations.len(), 2, "{log}");
    for fields in creations {
        assert_eq!(fields["code"], "Ok");
        assert!(
            fields["micros"].is_i64() && fields["request_id"].is_string(),
            "{fields}"
        );
        assert!(
            fields["subject"].as_str().unwrap().starts_with("aje"),
            "{fields}"
        );
        assert!(fields["peer"].as_str().unwrap().contains(':'), "{fields}");
    }
    let secret = token.expose().rsplit('.').next().unwrap().to_owned();
    for secret in [
        "Correct horse 7",
        "8846f7eaee8fb117ad06bdd830b7586c",
        &secret,
    ] {
        assert!(!log.to_lowercase().contains(&secret.to_lowercase()));
    }
}
