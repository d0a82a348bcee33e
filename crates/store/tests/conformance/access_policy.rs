//! Access policies.

use rollcall_domain::access_policy::{AccessPolicyBinding, PolicyTemplate};
use rollcall_domain::named::Named as _;
use rollcall_domain::page::PageRequest;

use crate::world::{World, at, organization_id, read, write};

crate::on_both_engines!(policies);

fn policy(template: PolicyTemplate, seconds: i64) -> AccessPolicyBinding {
    AccessPolicyBinding {
        organization_id: organization_id(),
        template,
        parameters: [("message".to_owned(), "ask\nann \\ bob".to_owned())].into(),
        created_at: at(seconds),
    }
}

async fn policies(world: &World) {
    let store = &world.store;
    // Two of them are made in the same moment.
    let all: Vec<_> = PolicyTemplate::ALL
        .iter()
        .zip([1, 2, 3, 3])
        .map(|(template, seconds)| policy(*template, seconds))
        .collect();
    let inserted = all.clone();
    write(store, async move |tx| {
        for policy in inserted.iter().rev() {
            tx.save_access_policy(policy).await?;
        }
        Ok(())
    })
    .await;
    let pages = read(store, async |tx| {
        let mut request = PageRequest {
            size: 3,
            after: None,
        };
        let first = tx
            .list_access_policies(&organization_id(), &request)
            .await?;
        request.after = first.next;
        let second = tx
            .list_access_policies(&organization_id(), &request)
            .await?;
        let none = tx
            .list_access_policies(&"bpf9".into(), &PageRequest::first())
            .await?;
        Ok((first.items, second.items, none.items))
    })
    .await;
    assert_eq!((pages.0.len(), pages.1.len(), pages.2.len()), (3, 1, 0));
    let mut seen = [pages.0, pages.1].concat();
    seen.sort_by_key(|policy| policy.template);
    assert_eq!(seen, all);

    let template = PolicyTemplate::DenyUserListing;
    let outcome = write(store, async move |tx| {
        let changed = AccessPolicyBinding {
            parameters: [].into(),
            created_at: at(9),
            ..policy(template, 3)
        };
        tx.save_access_policy(&changed).await?;
        let found = tx.find_access_policy(&organization_id(), template).await?;
        let elsewhere = tx.find_access_policy(&"bpf9".into(), template).await?;
        let first = tx
            .delete_access_policy(&organization_id(), template)
            .await?;
        let again = tx
            .delete_access_policy(&organization_id(), template)
            .await?;
        let gone = tx.find_access_policy(&organization_id(), template).await?;
        Ok((found, elsewhere, first, again, gone))
    })
    .await;
    let unchanged_time = AccessPolicyBinding {
        parameters: [].into(),
        ..policy(template, 3)
    };
    assert_eq!(outcome, (Some(unchanged_time), None, true, false, None));
}
