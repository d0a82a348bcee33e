//! Service accounts and their keys.

use rollcall_domain::access::{AccessBinding, ResourceRef, Role, Subject};
use rollcall_domain::filter::{self, Filter};
use rollcall_domain::iam_token::IamToken;
use rollcall_domain::id::{OrganizationId, SubjectId};
use rollcall_domain::page::PageRequest;
use rollcall_domain::service_account::{ServiceAccount, ServiceAccountKey};

use crate::world::{NOW, World, at, organization_id, read, refused, write};

crate::on_both_engines!(accounts, keys, owners_that_can_sign_in);

fn account(n: i64) -> ServiceAccount {
    let (name, id) = (format!("agent-{n}"), format!("aje{n}"));
    ServiceAccount::create(organization_id(), &name, "d", id.as_str().into(), at(n)).unwrap()
}

fn key(n: i64) -> ServiceAccountKey {
    let (pem, id) = (
        "-----BEGIN PUBLIC KEY-----\n".to_owned(),
        format!("ajek{n}"),
    );
    ServiceAccountKey::create("aje1".into(), "laptop", pem, id.as_str().into(), at(n)).unwrap()
}

async fn accounts(world: &World) {
    let store = &world.store;
    let disabled = account(2).disable(at(5));
    let inserted = disabled.clone();
    write(store, async move |tx| {
        tx.insert_service_account(&account(1)).await?;
        tx.insert_service_account(&inserted).await
    })
    .await;
    let twin = ServiceAccount {
        id: "aje3".into(),
        ..account(1)
    };
    let taken = "a service account with this name already exists";
    let refusal = refused(store, async move |tx| {
        tx.insert_service_account(&twin).await
    })
    .await;
    assert_eq!(refusal, taken);
    let twin = ServiceAccount {
        name: account(1).name,
        ..account(2)
    };
    let refusal = refused(store, async move |tx| tx.save_service_account(&twin).await).await;
    assert_eq!(refusal, taken);

    let list = async |text: &'static str| {
        read(store, async move |tx| {
            let filter = Filter::parse(text, filter::SERVICE_ACCOUNT_FIELDS).unwrap();
            let page = PageRequest::first();
            let organization = organization_id();
            let found = tx.list_service_accounts(&organization, &filter, &page);
            Ok(found.await?.items)
        })
        .await
    };
    assert_eq!(list("").await, [account(1), disabled.clone()]);
    assert_eq!(list("status = ACTIVE").await, [account(1)]);
    assert_eq!(
        list("status != ACTIVE").await,
        std::slice::from_ref(&disabled)
    );
    assert_eq!(
        list("status contains 'DIS'").await,
        std::slice::from_ref(&disabled)
    );
    assert_eq!(list("name = 'agent-1' AND id = 'aje1'").await, [account(1)]);
    assert_eq!(list("name IN ('agent-3')").await, []);

    let enabled = disabled.enable(at(6));
    let saved = enabled.clone();
    let found = write(store, async move |tx| {
        tx.save_service_account(&saved).await?;
        Ok((
            tx.find_service_account(&"aje2".into()).await?,
            tx.find_service_account(&"aje1".into()).await?,
            tx.find_service_account(&"aje9".into()).await?,
        ))
    })
    .await;
    assert_eq!(found, (Some(enabled), Some(account(1)), None));
}

async fn keys(world: &World) {
    let store = &world.store;
    let used = key(2).disable(at(4)).mark_used(at(5)).unwrap();
    let saved = used.clone();
    let token = |n: u8, subject: &str| {
        let subject = Subject::service_account(subject);
        IamToken::issue("aje7".into(), vec![n; 32], subject, NOW)
    };
    let tokens = [
        token(1, "aje1"),
        token(2, "aje2").impersonated_by(Subject::service_account("aje1")),
        token(3, "aje2"),
    ];
    let (count, found, page) = write(store, async move |tx| {
        tx.insert_service_account(&account(1)).await?;
        tx.insert_service_account_key(&key(1)).await?;
        tx.insert_service_account_key(&key(2)).await?;
        tx.save_service_account_key(&saved).await?;
        for token in &tokens {
            tx.insert_iam_token(token).await?;
        }
        let id = "aje1".into();
        let page = PageRequest::first();
        Ok((
            tx.count_service_account_keys(&id).await?,
            tx.find_service_account_key(&"ajek2".into()).await?,
            tx.list_service_account_keys(&id, &page).await?.items,
        ))
    })
    .await;
    assert_eq!((count, found), (2, Some(used.clone())));
    assert_eq!(page, [key(1), used]);

    let deleted = write(store, async |tx| {
        let key = tx.delete_service_account_key(&"ajek1".into()).await?;
        let again = tx.delete_service_account_key(&"ajek1".into()).await?;
        let account = tx.delete_service_account(&"aje1".into()).await?;
        let gone = tx.delete_service_account(&"aje1".into()).await?;
        Ok((key, again, account, gone))
    })
    .await;
    assert_eq!(deleted, (true, false, true, false));
    let left = read(store, async |tx| {
        Ok((
            tx.find_service_account_key(&"ajek2".into()).await?,
            tx.find_iam_token(&[1; 32]).await?.is_some(),
            tx.find_iam_token(&[2; 32]).await?.is_some(),
            tx.find_iam_token(&[3; 32]).await?.is_some(),
        ))
    })
    .await;
    assert_eq!(left, (None, false, false, true));
}

async fn owners_that_can_sign_in(world: &World) {
    let store = &world.store;
    let organization = ResourceRef::organization(&organization_id());
    let bound = |n: i64, role: Role| AccessBinding {
        resource: organization.clone(),
        role,
        subject: account(n).subject(),
    };
    let bindings = [
        bound(1, Role::Owner),
        bound(2, Role::Owner),
        bound(3, Role::Admin),
        bound(9, Role::Owner),
    ];
    write(store, async move |tx| {
        for n in 1..=3 {
            tx.insert_service_account(&account(n)).await?;
        }
        for binding in &bindings {
            tx.insert_access_binding(binding).await?;
        }
        Ok(())
    })
    .await;
    let count = async |except: &'static str| {
        let organization = ResourceRef::organization(&organization_id());
        read(store, async move |tx| {
            tx.count_enabled_service_accounts_with_role(&organization, Role::Owner, &except.into())
                .await
        })
        .await
    };
    assert_eq!((count("aje1").await, count("aje3").await), (1, 2));
    write(store, async |tx| {
        tx.save_service_account(&account(2).disable(at(5))).await
    })
    .await;
    assert_eq!((count("aje1").await, count("aje3").await), (0, 1));
    let enabled = async |organization: OrganizationId| {
        let asked = ["aje1", "aje2", "aje9"].map(SubjectId::from);
        read(store, async move |tx| {
            tx.find_enabled_service_accounts(&organization, &asked)
                .await
        })
        .await
    };
    let here = enabled(organization_id()).await;
    assert_eq!(here, ["aje1".into()].into());
    assert!(enabled("bpf9".into()).await.is_empty());
}
