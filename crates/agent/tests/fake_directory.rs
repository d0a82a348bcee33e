//! What a Samba domain controller cannot show, against a directory that behaves as MS-ADTS says:
//! changes in pages, long member lists in ranges, broken answers, other and restored controllers.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/world.rs"]
mod world;

use rollcall_lab::fake_directory::{FakeDirectory, ObjectId};
use world::World;

type Fake = World<FakeDirectory>;

/// This many users, and a group of all of them.
fn fill(world: &Fake, users: usize) -> (Vec<ObjectId>, ObjectId) {
    world.dc.edit(|domain| {
        let people = domain.people().unwrap();
        let users: Vec<ObjectId> = (0..users)
            .map(|at| domain.add_user(&format!("u{at:04}"), people).unwrap())
            .collect();
        let groups = domain.groups().unwrap();
        let group = domain.add_group("everybody", groups, users.clone());
        (users, group.unwrap())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_come_in_pages() {
    let world = World::start_fake().await;
    world.dc.edit(|domain| domain.policy.changes_per_page = 7);
    let (users, group) = fill(&world, 40);
    let config = world.configure("", "");
    let first = world.run(&config).await;
    assert_eq!(first["users"]["created"], 40, "{first:#}");
    assert_eq!(first["memberships"]["created"], 40, "{first:#}");
    world.assert_equal().await;

    world.dc.edit(|domain| {
        for user in &users[..20] {
            domain.set(*user, "title", &["Lead"]).unwrap();
            domain.remove_member(group, *user).unwrap();
        }
        domain.delete(users[39]).unwrap();
    });
    let delta = world.run(&config).await;
    assert_eq!(delta["mode"], "delta", "{delta:#}");
    assert_eq!(delta["users"]["removed"], 1, "{delta:#}");
    world.assert_equal().await;
}
