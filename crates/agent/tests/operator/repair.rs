//! Drift that is found and repaired, and single objects brought up to date.

use super::*;

async fn drift(world: &World, config: &Path, more: &[&str]) -> Json {
    let arguments = [&["drift", "-o", "json"], more].concat();
    let output = world.agent(config, &arguments).await;
    assert!(output.status.success(), "{output:?}\n{}", world.log());
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Somebody changes what the agent keeps in the hub.
async fn meddle(world: &World) {
    let users = world.users().await;
    let request = rollcall_proto::idp::UpdateUserRequest {
        user_id: users[0].id.clone(),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["full_name".into()],
        }),
        full_name: "Somebody".into(),
        ..Default::default()
    };
    world.client.users().update(request).await.unwrap();
    let request = DeleteUserRequest {
        user_id: users[1].id.clone(),
    };
    world.client.users().delete(request).await.unwrap();
}

/// Nothing changes in the directory, so that no delta would ever notice.
#[tokio::test(flavor = "multi_thread")]
async fn drift_is_found_and_repaired() {
    let world = World::start(Some(people(60))).await;
    let config = world.configure("", "");
    world.run(&config).await;
    let equal = drift(&world, &config, &[]).await;
    assert_eq!(equal["differing"], 0, "{equal:#}");
    // A group whose name is taken is a failed item.
    assert_eq!(equal["failing"], 1, "{equal:#}");
    let taken = status(
        &world,
        &config,
        &["--kind", "group", "--contains", "exists"],
    )
    .await;
    let taken = taken["failed_items"][0]["object"]
        .as_str()
        .unwrap()
        .to_owned();
    world.dc.admin_ldapdelete(&[&taken]).unwrap();
    world.run(&config).await;
    let equal = drift(&world, &config, &[]).await;
    assert_eq!(equal["differing"], 0, "{equal:#}");
    assert_eq!(equal["directory_digest"], equal["hub_digest"]);

    // Without a service: the command opens a session itself.
    meddle(&world).await;
    let sessions = world.sessions().await.len();
    let found = drift(&world, &config, &[]).await;
    // The deleted user is missing from its groups too.
    assert!(found["differing"].as_u64().unwrap() >= 2, "{found:#}");
    let kinds: Vec<&str> = found["objects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["difference"].as_str().unwrap())
        .collect();
    assert!(
        kinds.contains(&"values") && kinds.contains(&"not_in_hub"),
        "{found:#}"
    );
    assert_ne!(found["directory_digest"], found["hub_digest"]);
    assert_eq!(
        world.sessions().await.len(),
        sessions,
        "looking opens no session"
    );
    let repaired = drift(&world, &config, &["--repair"]).await;
    assert_eq!(repaired["repair"]["users"]["created"], 1, "{repaired:#}");
    assert_eq!(repaired["repair"]["users"]["updated"], 1);
    world.assert_equal().await;
    assert_eq!(drift(&world, &config, &[]).await["differing"], 0);

    // With a service: it finds the drift by itself and repairs it on request.
    let port = free_port();
    let top = format!("metrics: {{listen: '127.0.0.1:{port}'}}\ndrift: {{check_period: 2s}}");
    let config = world.configure("", &top);
    let agent = world.spawn(&config, &["--now"]);
    metrics_with(&world, port, "rollcall_agent_drift_objects 0").await;
    meddle(&world).await;
    for _ in 0..POLLS_MAX {
        let shown = status(&world, &config, &[]).await;
        if shown["drift"]["differing"].as_u64() > Some(1) {
            break;
        }
        tokio::time::sleep(POLL).await;
    }
    let shown = status(&world, &config, &[]).await;
    assert!(
        shown["drift"]["differing"].as_u64() > Some(1),
        "{shown:#}\n{}",
        world.log()
    );
    assert!(world.log().contains("the hub differs from the directory"));
    let repaired = drift(&world, &config, &["--repair"]).await;
    assert_eq!(repaired["repair"]["users"]["created"], 1, "{repaired:#}");
    world.assert_equal().await;
    metrics_with(&world, port, "rollcall_agent_drift_objects 0").await;
    assert_eq!(
        world.sessions().await.len(),
        sessions + 2,
        "one session of the service"
    );
    assert_eq!(agent.terminate().await, Some(0), "{}", world.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn resync_brings_one_object_and_its_memberships() {
    let world = World::start(None).await;
    let (people, groups) = (format!("OU=People,{BASE}"), format!("OU=Groups,{BASE}"));
    let crew = format!(
        "dn: CN=crew,{groups}\nchangetype: add\nobjectClass: group\nsAMAccountName: crew\n\
         member: CN=anna,{people}\nmember: CN=bert,{people}\n\n"
    );
    let ldif = [new_user("anna", &people), new_user("bert", &people), crew];
    world.dc.admin_ldapmodify(&ldif.concat()).unwrap();
    let config = world.configure("", "");
    let agent = world.spawn(&config, &[]);
    world.wait_equal().await;
    let found = world.found().await;
    let anna = found
        .users
        .iter()
        .find(|(_, user)| user.username.starts_with("anna"));
    let anna = anna.unwrap().0.clone();
    let user = world.users().await;
    let user = user.iter().find(|user| user.external_id == anna).unwrap();
    let (group_id, members) = {
        let groups = world.client.groups();
        let request = rollcall_proto::organizationmanager::ListExternalGroupsRequest {
            subject_container_id: world.pool.id.clone(),
            ..Default::default()
        };
        let mut groups = groups;
        let listed = groups.list_external(request).await.unwrap().into_inner();
        (listed.groups[0].id.clone(), listed.groups.len())
    };
    assert_eq!(members, 1);
    let leave = rollcall_proto::organizationmanager::UpdateGroupMembersRequest {
        group_id,
        member_deltas: vec![rollcall_proto::organizationmanager::MemberDelta {
            action: rollcall_proto::organizationmanager::member_delta::MemberAction::Remove as i32,
            subject_id: user.id.clone(),
        }],
    };
    // The membership of a user.
    world
        .client
        .groups()
        .update_members(leave.clone())
        .await
        .unwrap();
    let answer = world
        .agent(&config, &["resync", "anna", "-o", "json"])
        .await;
    assert!(answer.status.success(), "{answer:?}\n{}", world.log());
    let answer: Json = serde_json::from_slice(&answer.stdout).unwrap();
    assert_eq!(answer["memberships"]["created"], 1, "{answer:#}");
    assert_eq!(answer["objects"][0]["external_id"], anna);
    world.assert_equal().await;
    // The members of a group.
    world.client.groups().update_members(leave).await.unwrap();
    let output = world
        .agent(&config, &["resync", &format!("CN=crew,{groups}")])
        .await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    assert!(text.contains("memberships: 1 created"), "{text}");
    world.assert_equal().await;
    // What is not there is told, and nothing is removed for it.
    let output = world.agent(&config, &["resync", "nobody"]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("NOT VISIBLE"));
    assert_eq!(
        world.sessions().await.len(),
        1,
        "all in the session of the service"
    );
    assert_eq!(agent.terminate().await, Some(0), "{}", world.log());

    // Without a service, and with an object that the hub lost.
    let request = DeleteUserRequest {
        user_id: user.id.clone(),
    };
    world.client.users().delete(request).await.unwrap();
    let output = world.agent(&config, &["resync", &anna]).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    assert!(text.contains("users: 1 created"), "{text}");
    world.assert_equal().await;
    assert_eq!(world.sessions().await.len(), 2);
}
