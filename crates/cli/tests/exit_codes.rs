//! Exit codes and error texts of the program itself, without a hub.

use std::process::{Command, Output};

struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory for the test"))
    }

    fn rollcall(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_rollcall"))
            .args(arguments)
            .env_clear()
            .env("HOME", self.0.path())
            .output()
            .expect("the program starts")
    }

    #[track_caller]
    fn fails(&self, arguments: &[&str], code: i32, hint: &str) {
        let output = self.rollcall(arguments);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(text.contains(hint), "{text}");
        assert!(
            output.stdout.is_empty(),
            "errors do not go to standard output"
        );
    }
}

#[test]
fn usage_faults_end_with_2() {
    let home = Home::new();
    home.fails(&[], 2, "Usage");
    home.fails(&["user", "fly"], 2, "unrecognized subcommand");
    home.fails(&["userpool", "list"], 2, "ROLLCALL_KEY");
    home.fails(
        &["userpool", "list", "--key", "key.json"],
        2,
        "ROLLCALL_ADDRESS",
    );
    let with_address = [
        "userpool",
        "list",
        "--key",
        "missing.json",
        "--address",
        "hub:443",
    ];
    home.fails(&with_address, 2, "missing.json");
    home.fails(&["profile", "use", "main"], 2, "no profile");
    home.fails(&["settings", "create", "--interval", "15"], 2, "15m");
    home.fails(&["user", "list", "--page-size", "1001"], 2, "1..=1000");
}

#[test]
fn an_unreachable_hub_ends_with_1() {
    let home = Home::new();
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = free.local_addr().expect("an address").to_string();
    drop(free);
    let output = Command::new(env!("CARGO_BIN_EXE_rollcall"))
        .args(["userpool", "list", "--address", &address])
        .env_clear()
        .env("HOME", home.0.path())
        .env("ROLLCALL_TOKEN", "t1.token")
        .output()
        .expect("the program starts");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("cannot be reached"), "{text}");
    assert!(!text.contains("t1.token"), "{text}");
}

#[test]
fn profiles_live_in_the_home_directory() {
    let home = Home::new();
    let set = [
        "profile",
        "set",
        "main",
        "--address",
        "hub.example:443",
        "--key",
        "key.json",
    ];
    assert_eq!(home.rollcall(&set).status.code(), Some(0));
    let file = home.0.path().join(".config/rollcall/config.yaml");
    let text = std::fs::read_to_string(file).expect("the file of profiles");
    assert!(text.contains("hub.example:443"), "{text}");
    let shown = home.rollcall(&["profile", "show", "-o", "json"]);
    let json: serde_json::Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    assert_eq!(
        json.get("address").and_then(|address| address.as_str()),
        Some("hub.example:443")
    );
    home.fails(&["userpool", "list"], 2, "key.json");
}
