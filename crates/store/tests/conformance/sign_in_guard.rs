//! Guards against guessing.

use rollcall_domain::sign_in_guard::SignInGuard;

use crate::world::{World, at, read, write};

crate::on_both_engines!(guards);

async fn guards(world: &World) {
    let store = &world.store;
    let found = async |holder: &'static str| {
        read(store, async move |tx| tx.get_sign_in_guard(holder).await).await
    };
    assert_eq!(found("user:a").await, SignInGuard::default());
    let counted = SignInGuard {
        failures: vec![at(-1), at(0), at(255)],
        blocked_until: None,
    };
    let blocked = SignInGuard {
        failures: Vec::new(),
        blocked_until: Some(at(9)),
    };
    for guard in [counted.clone(), blocked.clone()] {
        let saved = guard.clone();
        write(store, async move |tx| {
            tx.save_sign_in_guard("user:a", &saved, at(9)).await
        })
        .await;
        assert_eq!(found("user:a").await, guard);
    }
    write(store, async move |tx| {
        tx.save_sign_in_guard("address:b", &counted, at(10)).await?;
        assert_eq!(tx.delete_old_sign_in_guards(at(8), 10).await?, 0);
        assert_eq!(tx.delete_old_sign_in_guards(at(9), 10).await?, 1);
        assert!(!tx.delete_sign_in_guard("user:a").await?);
        assert!(tx.delete_sign_in_guard("address:b").await?);
        Ok(())
    })
    .await;
    assert_eq!(found("address:b").await, SignInGuard::default());
}
