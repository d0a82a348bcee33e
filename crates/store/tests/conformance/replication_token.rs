//! Replication tokens and demands for a full run.

use rollcall_domain::sync_session::SessionType;
use rollcall_kit::secret::SecretString;

use crate::world::{World, at, pool_id, read, write};

crate::on_both_engines!(tokens);

async fn tokens(world: &World) {
    let store = &world.store;
    write(store, async |tx| {
        let empty = tx
            .get_replication_token(&pool_id(), SessionType::AdSync, at(0))
            .await?;
        let set = empty
            .set(
                SecretString::new("v1:abc".into()),
                None,
                &"aje1".into(),
                at(1),
            )
            .unwrap();
        tx.save_replication_token(&set).await?;
        let other = tx
            .get_replication_token(&pool_id(), SessionType::LdapSync, at(0))
            .await?;
        tx.save_replication_token(&other.demand_full_run(at(2)))
            .await
    })
    .await;
    let facts = read(store, async |tx| {
        Ok((
            tx.find_open_facts(&pool_id(), SessionType::AdSync).await?,
            tx.find_open_facts(&pool_id(), SessionType::LdapSync)
                .await?,
        ))
    })
    .await;
    assert_eq!(
        (facts.0.has_token, facts.0.full_run_demanded_at),
        (true, None)
    );
    assert_eq!(
        (facts.1.has_token, facts.1.full_run_demanded_at),
        (false, Some(at(2)))
    );

    write(store, async |tx| {
        for token in tx.list_replication_tokens(&pool_id(), at(3)).await? {
            tx.save_replication_token(&token.reset(at(3))).await?;
        }
        Ok(())
    })
    .await;
    let (tokens, others) = read(store, async |tx| {
        let mine = tx.list_replication_tokens(&pool_id(), at(4)).await?;
        Ok((
            mine,
            tx.find_replication_token(&"ek02".into(), SessionType::AdSync)
                .await?,
        ))
    })
    .await;
    assert_eq!(tokens.len(), 4);
    assert!(tokens.iter().all(|token| token.token.is_none()));
    assert!(
        tokens
            .iter()
            .all(|token| token.full_run_demanded_at == Some(at(3)))
    );
    assert_eq!(others, None);
    let deleted = write(store, async |tx| {
        tx.delete_replication_tokens(&pool_id()).await
    })
    .await;
    assert_eq!(deleted, 4);
}
