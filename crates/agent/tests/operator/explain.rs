//! One object, explained from both sides.

use super::*;

async fn explain(world: &World, config: &Path, object: &str) -> (Json, String) {
    let json = world
        .agent(config, &["explain", object, "-o", "json"])
        .await;
    assert!(json.status.success(), "{object}: {json:?}");
    let text = world.agent(config, &["explain", object]).await;
    let text = String::from_utf8(text.stdout).unwrap();
    (serde_json::from_slice(&json.stdout).unwrap(), text)
}

/// What the agent knows of one object, while the service runs in the same directory.
#[tokio::test(flavor = "multi_thread")]
async fn explain_shows_one_object_on_both_sides() {
    let world = World::start(None).await;
    let (people, groups) = (format!("OU=People,{BASE}"), format!("OU=Groups,{BASE}"));
    let group = |name: &str, members: &[&str]| {
        let members = members.iter().map(|dn| format!("member: {dn}\n"));
        format!(
            "dn: CN={name},{groups}\nchangetype: add\nobjectClass: group\nsAMAccountName: {name}\n{}\n",
            members.collect::<String>()
        )
    };
    let anna = format!("CN=anna,{people}");
    let ldif = [
        new_user("anna", &people),
        new_user("late", &people),
        new_user("outside", &format!("CN=Users,{BASE}")),
        group("crew", &[&anna]),
        group("all", &[&format!("CN=crew,{groups}")]),
    ];
    world.dc.admin_ldapmodify(&ldif.concat()).unwrap();
    let config = world.configure("", "");
    let agent = world.spawn(&config, &[]);
    world.wait_equal().await;

    let (json, text) = explain(&world, &config, "anna").await;
    assert_eq!(
        (&json["kind"], &json["scope"]),
        (&"user".into(), &"in".into())
    );
    assert_eq!(json["object"], anna);
    assert!(
        json["reasons"][0].as_str().unwrap().contains(&people),
        "{json:#}"
    );
    let name = json["fields"].as_array().unwrap();
    let name = name.iter().find(|f| f["field"] == "full_name").unwrap();
    assert_eq!(
        (&name["directory"], &name["hub"]),
        (&"anna".into(), &"anna".into())
    );
    assert_eq!(json["state"]["differs"], false);
    assert_eq!(json["state"]["hub"], "active");
    let member_of = &json["memberships"]["groups"];
    assert_eq!(
        member_of.as_array().unwrap().len(),
        1,
        "only direct ones: {json:#}"
    );
    assert_eq!(member_of[0]["group"], format!("CN=crew,{groups}"));
    assert_eq!(
        (&member_of[0]["directory"], &member_of[0]["hub"]),
        (&true.into(), &true.into())
    );
    let change = &json["last_change"];
    assert!(change["usn_changed"].as_i64().unwrap() > 0, "{json:#}");
    assert!(change["read_from_invocation_id"].is_string(), "{json:#}");
    let origin = &change["origin"];
    assert_eq!(
        origin["invocation_id"], change["read_from_invocation_id"],
        "{json:#}"
    );
    assert!(origin["controller"].is_string(), "{json:#}");
    assert!(
        text.contains("scope: in") && !text.contains("\n!"),
        "{text}"
    );
    assert!(!text.contains(world.dc.sync_password()));

    // The same object by its other names.
    let guid = json["external_id"].as_str().unwrap().to_owned();
    for other in [anna.as_str(), guid.as_str(), "anna@corp.example.com"] {
        assert_eq!(
            explain(&world, &config, other).await.0["external_id"],
            json["external_id"]
        );
    }
    // What differs is marked.
    let user = world.users().await;
    let user = user.iter().find(|user| user.external_id == guid).unwrap();
    let request = rollcall_proto::idp::UpdateUserRequest {
        user_id: user.id.clone(),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["full_name".into()],
        }),
        full_name: "Somebody".into(),
        ..Default::default()
    };
    world.client.users().update(request).await.unwrap();
    let (_, text) = explain(&world, &config, "anna").await;
    let line = "! full_name (from displayname): directory \"anna\", hub \"Somebody\"";
    assert!(text.contains(line), "{text}");

    let (json, _) = explain(&world, &config, "crew").await;
    let members = &json["memberships"]["members"];
    assert_eq!(
        (&json["kind"], &members["directory_count"]),
        (&"group".into(), &1.into())
    );
    assert_eq!(
        (&members["hub_count"], &members["only_in_hub_count"]),
        (&1.into(), &0.into())
    );
    for (name, kind, reason) in [
        ("outside", "user", "outside of every organizational unit"),
        ("Domain Admins", "group", "critical"),
        ("DC1$", "other", "neither a user nor a group"),
    ] {
        let (json, _) = explain(&world, &config, name).await;
        assert_eq!(
            (&json["kind"], &json["scope"]),
            (&kind.into(), &"out".into()),
            "{json:#}"
        );
        assert!(
            json["reasons"][0].as_str().unwrap().contains(reason),
            "{json:#}"
        );
        assert_eq!(json["hub_id"], Json::Null);
    }
    let nobody = world.agent(&config, &["explain", "nobody"]).await;
    assert_eq!(nobody.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("not in the directory"));

    // Deleted: it is told from where.
    world
        .dc
        .admin_ldapdelete(&[&format!("CN=late,{people}")])
        .unwrap();
    world.wait_users_exactly(1).await;
    let (json, _) = explain(&world, &config, "late").await;
    assert_eq!(
        (&json["deleted"], &json["scope"]),
        (&true.into(), &"out".into())
    );
    assert!(
        json["reasons"][0].as_str().unwrap().contains(&people),
        "{json:#}"
    );
    assert_eq!(agent.terminate().await, Some(0), "{}", world.log());
}
