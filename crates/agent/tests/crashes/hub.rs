//! The hub killed: it is waited for, and the agent goes on in its session.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::*;
use crate::world::start_hub;

/// Tells a program of this test that it is to be the hub on these data.
const HUB_DATA: &str = "ROLLCALL_TEST_HUB_DATA";
const HUB_ADDRESS: &str = "ROLLCALL_TEST_HUB_ADDRESS";

/// A hub in a process of its own: this very program, asked for by its environment. It ends with
/// its standard input.
struct HubProcess(Child);

impl HubProcess {
    async fn start(test: &str, data: &Path, address: &str) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(HUB_DATA, data)
            .env(HUB_ADDRESS, address)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut hub = Self(child);
        for _ in 0..600 {
            if tokio::net::TcpStream::connect(address).await.is_ok() {
                return hub;
            }
            assert!(hub.0.try_wait().unwrap().is_none(), "the hub ended");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the hub does not listen at {address}");
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for HubProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn be_the_hub(data: String) {
    let address = std::env::var(HUB_ADDRESS).unwrap();
    let hub = start_hub(Path::new(&data), &address).await;
    let end =
        tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    end.await.unwrap().unwrap();
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_17_a_hub_killed_at_any_step_is_waited_for() {
    const NAME: &str = "hub::at_17_a_hub_killed_at_any_step_is_waited_for";
    if let Ok(data) = std::env::var(HUB_DATA) {
        return be_the_hub(data).await;
    }
    let mut world = World::start(Some(people(60))).await;
    world.stop_hub().await;
    let (data, address) = (world.hub_data.clone(), world.address.clone());
    let mut hub = HubProcess::start(NAME, &data, &address).await;
    let wire = hub_wire(&world).await;
    let ways = Ways {
        hub: Some(&wire),
        ..Ways::default()
    };
    let measured = Agent::new(&world, "measured", &ways, "", "");
    let (code, log) = (
        measured.spawn(&["--once", "--now"]).end().await,
        measured.log(),
    );
    assert_eq!(code, Some(0), "{log}");
    let all = wire.bytes();
    for step in 1..STEPS {
        let name = format!("step{step}");
        world.new_pool(&name).await;
        let agent = Agent::new(&world, &name, &ways, "", "");
        let bytes = (all * step / STEPS).min(all * 97 / 100);
        wire.stall_after(bytes);
        let working = agent.spawn(&["--now"]);
        wire.stalled().await;
        hub.kill();
        wire.set(Way::Cut);
        hub = HubProcess::start(NAME, &data, &address).await;
        wire.open();
        world.wait_equal().await;
        let session = wait_session(&world, "a session", is_open).await;
        // Until the token is stored, too.
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(working.terminate().await, Some(0), "{}", agent.log());
        world.assert_equal().await;
        let sessions = object_sessions(&world).await;
        assert_eq!(
            sessions.len(),
            1,
            "it went on in its session: {sessions:#?}"
        );
        assert_eq!(sessions[0].session_id, session.session_id);
        assert_eq!(told(&world).await, made(&world).await, "{sessions:#?}");
        let made = |object| counter(&sessions[0], object, ChangeType::Create).0;
        let found = left(&world, None).await;
        println!("{name}: killed at {bytes} bytes; {found:?}");
        assert_eq!(
            made(RelatedObjectType::User),
            found.users,
            "{}",
            agent.log()
        );
        assert_eq!(made(RelatedObjectType::Group), found.groups);
        assert!(is_finished(&sessions[0]), "{sessions:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_17_a_hub_killed_in_a_delta_is_waited_for() {
    const NAME: &str = "hub::at_17_a_hub_killed_in_a_delta_is_waited_for";
    if let Ok(data) = std::env::var(HUB_DATA) {
        return be_the_hub(data).await;
    }
    let mut world = World::start(None).await;
    world.stop_hub().await;
    let (data, address) = (world.hub_data.clone(), world.address.clone());
    let mut hub = HubProcess::start(NAME, &data, &address).await;
    let wire = hub_wire(&world).await;
    let ways = Ways {
        hub: Some(&wire),
        ..Ways::default()
    };
    let agent = Agent::new(&world, "anna", &ways, "", "safety: {max_removals: 0}");
    change_everything(&world, 0);
    let service = agent.spawn(&["--now"]);
    world.wait_equal().await;
    let session = wait_session(&world, "a session", is_open).await;
    let before = wire.bytes();
    change_everything(&world, 1);
    world.wait_equal().await;
    let delta = wire.bytes() - before;
    let mut rounds = 2;
    for step in 1..=5 {
        wire.stall_after(delta * step / 8);
        change_everything(&world, rounds);
        rounds += 1;
        let stalled = tokio::time::timeout(Duration::from_secs(60), wire.stalled()).await;
        assert!(stalled.is_ok(), "nothing was sent\n{}", agent.log());
        hub.kill();
        wire.set(Way::Cut);
        hub = HubProcess::start(NAME, &data, &address).await;
        wire.open();
        world.wait_equal().await;
    }
    // The last counters and the token are on their way.
    let made = (STEADY + EACH * rounds) as i64;
    let gone = (EACH * (rounds - 1)) as i64;
    let told = |session: &SynchronizationSession| {
        let users = |change| counter(session, RelatedObjectType::User, change).0;
        (users(ChangeType::Create), users(ChangeType::Delete)) == (made, gone)
    };
    let counted = wait_session(&world, "exact counters", told).await;
    assert_eq!(
        counted.session_id,
        session.session_id,
        "it went on in its session\n{}",
        agent.log()
    );
    assert_eq!(service.terminate().await, Some(0), "{}", agent.log());
    world.assert_equal().await;
}
