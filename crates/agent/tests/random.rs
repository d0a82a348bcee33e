//! Five hundred random changes of every kind; after each batch the hub is what an independent
//! oracle reads out of the directory.
//!
//! The changes follow from the seed, which is printed; the directory gives objectGUIDs by itself,
//! so that only the order of equal objects may differ when a seed is repeated.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/change.rs"]
mod change;
#[path = "support/dice.rs"]
mod dice;
#[path = "random/domain.rs"]
mod domain;
#[path = "random/password.rs"]
mod password;
#[path = "random/step.rs"]
mod step;
#[path = "support/world.rs"]
mod world;

use dice::Dice;
use domain::{Domain, GROUPS, PEOPLE};
use password::{Cursor, Passwords};
use rollcall_lab::oracle::NestedGroups;
use step::Step;
use world::World;

const CHANGES: usize = 500;
const CHANGES_PER_BATCH: usize = 25;
/// Changes before the first run.
const START: usize = 80;

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_random_changes_arrive_in_batches() {
    let mut dice = Dice::of_environment();
    let mut world = World::start(None).await;
    let mut domain = Domain::new();
    for _ in 0..START {
        let step = domain.step(&mut dice);
        step.carry_out(&world.dc);
    }
    if dice.once_in(2) {
        println!("nested groups are flattened");
        world.nested_groups = NestedGroups::Flatten;
    }
    let filter_group = if dice.once_in(3) {
        domain.keep_a_group(&mut dice)
    } else {
        None
    };
    for step in domain.create_users_with_both_passwords() {
        step.carry_out(&world.dc);
    }
    let name = |world: &mut World, domain: &Domain| {
        world.units = vec![domain.unit_dn(PEOPLE), domain.unit_dn(GROUPS)];
        world.groups = filter_group.iter().map(|at| domain.group_dn(*at)).collect();
    };
    name(&mut world, &domain);
    println!("units {:?}, groups {:?}", world.units, world.groups);
    let lines = "safety: {max_removals: 0}";
    let mut config = world.configure("", lines);
    world.run(&config).await;
    world.assert_equal().await;
    let mut passwords = Passwords::default();
    let differing = passwords.differences(&world, Cursor::Kept).await;
    assert_eq!(differing, Vec::<String>::new());
    assert!(passwords.to_change > 0 && passwords.to_change < passwords.compared);

    for batch in 0..CHANGES / CHANGES_PER_BATCH {
        println!("batch {batch}");
        for _ in 0..CHANGES_PER_BATCH {
            let step: Step = domain.step(&mut dice);
            step.carry_out(&world.dc);
        }
        name(&mut world, &domain);
        let mut cursor = Cursor::Kept;
        match dice.below(12) {
            0 => {
                println!("everything is compared");
                cursor = Cursor::Lost;
                world.reset_token().await;
            }
            1 => {
                println!("the agent lost its memory");
                cursor = Cursor::Lost;
                std::fs::remove_file(world.working_directory().join("index.redb")).unwrap();
                config = world.configure("", lines);
            }
            _ => {}
        }
        world.run(&config).await;
        let differences = world.expected().differences(&world.found().await);
        assert!(
            differences.is_empty(),
            "batch {batch} of seed {}: {differences:#?}",
            dice.seed
        );
        let differing = passwords.differences(&world, cursor).await;
        assert!(
            differing.is_empty(),
            "batch {batch} of seed {}: {differing:#?}",
            dice.seed
        );
    }
    println!("{domain:?}");
}
