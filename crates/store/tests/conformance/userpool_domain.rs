//! Looking for the proof of a domain: due look-ups, claims, and the logins that end in it.

use rollcall_domain::userpool_domain::{
    AttemptFailure, AttemptOutcome, UserpoolDomain, ValidationStart,
};
use rollcall_store::Error;

use crate::world::{World, at, insert_users, pool, pool_id, read, write};

crate::on_both_engines!(
    look_ups,
    logins_of_a_domain,
    searches_of_a_pool,
    claims_race
);

fn validating(name: &str, operation: &str, second: i64) -> UserpoolDomain {
    let added = UserpoolDomain::add(pool_id(), name, "proof=".into(), at(0)).unwrap();
    match added.start_validation(operation.into(), at(second)) {
        ValidationStart::Started(domain) => domain,
        other => panic!("{other:?}"),
    }
}

async fn look_ups(world: &World) {
    let store = &world.store;
    let idle = UserpoolDomain::add(pool_id(), "a.example", "v".into(), at(0)).unwrap();
    let late = validating("b.example", "ops2", 9);
    let early = validating("c.example", "ops3", 5);
    let inserted = [idle, late.clone(), early.clone()];
    write(store, async move |tx| {
        for domain in &inserted {
            tx.insert_userpool_domain(domain).await?;
        }
        Ok(())
    })
    .await;
    let due = read(store, async |tx| {
        Ok([
            tx.list_due_userpool_domains(at(4), 10).await?,
            tx.list_due_userpool_domains(at(5), 10).await?,
            tx.list_due_userpool_domains(at(9), 10).await?,
            tx.list_due_userpool_domains(at(9), 1).await?,
        ])
    })
    .await;
    assert_eq!(due[0], []);
    assert_eq!(due[1], std::slice::from_ref(&early));
    assert_eq!(due[2], [early.clone(), late.clone()]);
    assert_eq!(due[3], std::slice::from_ref(&early));

    let claimed = early.claim_attempt(at(20), at(9));
    let saved = claimed.clone();
    write(store, async move |tx| tx.save_userpool_domain(&saved).await).await;
    let due = read(store, async |tx| {
        Ok([
            tx.list_due_userpool_domains(at(19), 10).await?,
            tx.list_due_userpool_domains(at(20), 10).await?,
        ])
    })
    .await;
    assert_eq!(due[0], std::slice::from_ref(&late));
    assert_eq!(due[1], [claimed.clone(), late]);

    let claim = claimed.validation.clone().unwrap();
    let failure = AttemptFailure::ValueDiffers;
    let AttemptOutcome::Postponed(waiting) = claimed.end_attempt(&claim, Err(failure), at(10))
    else {
        panic!("it goes on")
    };
    let saved = waiting.clone();
    write(store, async move |tx| tx.save_userpool_domain(&saved).await).await;
    let found = read(store, async |tx| {
        Ok([
            tx.find_userpool_domain(&pool_id(), "c.example").await?,
            tx.find_validating_userpool_domain(&"ops3".into()).await?,
            tx.find_validating_userpool_domain(&"ops9".into()).await?,
        ])
    })
    .await;
    assert_eq!(found, [Some(waiting.clone()), Some(waiting.clone()), None]);

    let proven = waiting.mark_valid(at(30));
    let saved = proven.clone();
    write(store, async move |tx| tx.save_userpool_domain(&saved).await).await;
    let found = read(store, async |tx| {
        Ok((
            tx.find_userpool_domain(&pool_id(), "c.example").await?,
            tx.find_validating_userpool_domain(&"ops3".into()).await?,
        ))
    })
    .await;
    assert_eq!(found, (Some(proven), None));
}

async fn logins_of_a_domain(world: &World) {
    let store = &world.store;
    insert_users(store, 3).await;
    let other = pool("ek02", "other");
    write(store, async move |tx| {
        tx.insert_userpool(&other.userpool).await
    })
    .await;
    let counts = read(store, async |tx| {
        Ok([
            tx.count_users_of_domain(&pool_id(), "staff.idp.hub.example")
                .await?,
            tx.count_users_of_domain(&pool_id(), "idp.hub.example")
                .await?,
            tx.count_users_of_domain(&pool_id(), "example").await?,
            tx.count_users_of_domain(
                &pool_id(),
                "a-name-that-is-longer-than-any-of-the-logins.example",
            )
            .await?,
            tx.count_users_of_domain(&"ek02".into(), "staff.idp.hub.example")
                .await?,
        ])
    })
    .await;
    assert_eq!(counts, [3, 0, 0, 0, 0]);
}

async fn searches_of_a_pool(world: &World) {
    let store = &world.store;
    let idle = UserpoolDomain::add(pool_id(), "a.example", "v".into(), at(0)).unwrap();
    let (first, second) = (
        validating("b.example", "ops2", 9),
        validating("c.example", "ops3", 5),
    );
    let inserted = [second.clone(), idle, first.clone()];
    write(store, async move |tx| {
        for domain in &inserted {
            tx.insert_userpool_domain(domain).await?;
        }
        Ok(())
    })
    .await;
    let found = read(store, async |tx| {
        Ok([
            tx.list_validating_userpool_domains(&pool_id(), 10).await?,
            tx.list_validating_userpool_domains(&pool_id(), 1).await?,
            tx.list_validating_userpool_domains(&"ek02".into(), 10)
                .await?,
        ])
    })
    .await;
    assert_eq!(found, [vec![first.clone(), second], vec![first], vec![]]);
}

/// What the hub's job does, by several hubs at once: each look-up is claimed by one of them.
async fn claims_race(world: &World) {
    const HUBS: usize = 6;
    const BATCH: u32 = 3;
    let store = &world.store;
    write(store, async |tx| {
        for n in 0..9 {
            let domain = validating(&format!("d{n}.example"), &format!("ops{n}"), n);
            tx.insert_userpool_domain(&domain).await?;
        }
        Ok(())
    })
    .await;
    let claims = (0..HUBS).map(|_| {
        store.write(async |tx| {
            let mut claimed = Vec::new();
            for domain in tx.list_due_userpool_domains(at(10), BATCH).await? {
                let domain = domain.claim_attempt(at(70), at(10));
                tx.save_userpool_domain(&domain).await?;
                claimed.push(domain.name.to_string());
            }
            Ok::<_, Error>(claimed)
        })
    });
    let mut names = Vec::new();
    for claimed in futures::future::join_all(claims).await {
        names.extend(claimed.unwrap());
    }
    let claims_made = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!((names.len(), claims_made), (9, 9), "{names:?}");
}
