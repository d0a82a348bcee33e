//! AT-4 with the ten thousand people it names. The acceptance tests do the same with a real hub and
//! with a real domain controller, in smaller units: a real hub takes minutes to be filled with so
//! many, and Samba renames every object below a unit by itself.

// Helpers of tests fail by panicking, as tests do.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "support/crowd.rs"]
mod crowd;

use crowd::Crowd;
use serde_json::Value;

const PEOPLE: u64 = 10_000;

/// One run, which changes nothing.
async fn run(crowd: &Crowd, mode: &str) -> Value {
    let program = env!("CARGO_BIN_EXE_rollcall-agent").as_ref();
    let summary = crowd.run(program).await.unwrap().summary;
    assert_eq!(summary["mode"], mode, "{summary:#}");
    assert_eq!(summary["users_in_scope"], PEOPLE, "{summary:#}");
    assert_eq!(summary["memberships_in_scope"], PEOPLE / 2, "{summary:#}");
    assert_eq!(summary["failed_items_count"], 0, "{summary:#}");
    for kind in ["users", "groups", "memberships"] {
        for (what, number) in summary[kind].as_object().unwrap() {
            assert_eq!(*number, 0, "{kind} {what}: {summary:#}");
        }
    }
    summary
}

#[tokio::test(flavor = "multi_thread")]
async fn at_04_a_unit_of_ten_thousand_is_renamed_and_moved() {
    let crowd = Crowd::start(PEOPLE).await.unwrap();
    crowd.fill_hub();
    run(&crowd, "full").await;

    let people = crowd.directory.edit(|domain| {
        let people = domain.people().unwrap();
        domain.rename(people, "Staff").unwrap();
        people
    });
    let renamed = run(&crowd, "delta").await;
    assert_eq!(renamed["objects_read"], 1, "{renamed:#}");

    crowd.directory.edit(|domain| {
        let company = domain.add_unit("Company", domain.root()).unwrap();
        domain.move_to(people, company).unwrap();
    });
    let moved = run(&crowd, "delta").await;
    assert_eq!(moved["objects_read"], 2, "{moved:#}");

    // And when everything is compared.
    crowd.hub.forget_token();
    run(&crowd, "full").await;
}
