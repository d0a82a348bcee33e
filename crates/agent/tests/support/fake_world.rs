//! A fake directory with some people, and what every search in it must keep to.

// Each test program uses a part of it.
#![allow(dead_code)]

use rollcall_lab::fake_directory::{Code, FakeDirectory, Fault, ObjectId, Searched};

use crate::world::World;

pub type Fake = World<FakeDirectory>;

/// What goes wrong, and what the reason must contain.
pub const FAULTS: [(Fault, &str); 7] = [
    (Fault::Cut, "broke off"),
    (Fault::Result(Code::Busy), "busy or unavailable (result 51"),
    (
        Fault::Result(Code::Unavailable),
        "busy or unavailable (result 52",
    ),
    (Fault::Result(Code::Referral), "refers to another server"),
    (Fault::Result(Code::TimeLimitExceeded), "limits (result 3"),
    (Fault::Result(Code::SizeLimitExceeded), "limits (result 4"),
    (Fault::Result(Code::OperationsError), "operationsError"),
];

/// This many users, and a group of all of them.
pub fn fill(world: &Fake, users: usize) -> (Vec<ObjectId>, ObjectId) {
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

/// The searches since the last call. None may rely on objectCategory, which tombstones lose.
pub fn searches(world: &Fake) -> Vec<Searched> {
    let searches = world.dc.take_searches();
    for search in &searches {
        assert!(!search.filter.contains("objectcategory"), "{search:?}");
    }
    searches
}
