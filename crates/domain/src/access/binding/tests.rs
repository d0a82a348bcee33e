//! Tables of cases for changes of bindings.

use super::*;

/// `+owner:sa1` adds the role of an owner for the service account `sa1`; the first letter of a
/// subject is its kind: `s`ervice account, `u`ser, `g`roup, `a`ll users.
fn binding(text: &str) -> AccessBinding {
    let (role, subject) = text.split_once(':').unwrap();
    let kind = match subject.chars().next().unwrap() {
        's' => "serviceAccount",
        'u' => "userAccount",
        'g' => "group",
        _ => "system",
    };
    let role = match role {
        "owner" => "organizations.owner",
        other => other,
    };
    let resource = ResourceRef::organization(&"bpf1".into());
    let role = format!("organization-manager.{role}");
    AccessBinding::parse("binding", &resource, &role, subject, kind).unwrap()
}

fn delta(text: &str) -> BindingDelta {
    let (action, rest) = text.split_at(1);
    BindingDelta {
        action: if action == "+" {
            BindingAction::Add
        } else {
            BindingAction::Remove
        },
        binding: binding(rest),
    }
}

/// What the caller has on the organization.
#[derive(Clone, Copy)]
enum Standing {
    Owner,
    Admin,
}

/// `sa1`, the disabled `sd1` and `ua1` are owners, `ga1` sees everything.
fn facts(standing: Standing) -> BindingFacts {
    let kinds = [
        ("sa1", SubjectKind::ServiceAccount),
        ("sa2", SubjectKind::ServiceAccount),
        ("sd1", SubjectKind::ServiceAccount),
        ("sd2", SubjectKind::ServiceAccount),
        ("ua1", SubjectKind::UserAccount),
        ("ux1", SubjectKind::ServiceAccount),
        ("ga1", SubjectKind::Group),
    ];
    BindingFacts {
        organization_id: "bpf1".into(),
        present: ["owner:sa1", "owner:sd1", "owner:ua1", "viewer:ga1"]
            .map(binding)
            .into(),
        kinds: kinds.map(|(id, kind)| (id.into(), kind)).into(),
        enabled: ["sa1", "sa2", "ux1"].map(SubjectId::from).into(),
        callers: vec![binding(match standing {
            Standing::Owner => "owner:sa8",
            Standing::Admin => "admin:sa8",
        })],
    }
}

#[track_caller]
fn check(standing: Standing, deltas: &[&str], expected: Result<&[&str], &str>) {
    let deltas: Vec<_> = deltas.iter().map(|text| delta(text)).collect();
    let found = update("deltas", &deltas, &facts(standing));
    match expected {
        Ok(effective) => {
            let effective: Vec<_> = effective.iter().map(|text| delta(text)).collect();
            assert_eq!(found, Ok(effective));
        }
        Err(part) => {
            let text = found.unwrap_err().to_string();
            assert!(text.contains(part), "{text}");
        }
    }
}

#[test]
fn only_what_changes_is_effective() {
    let admin = Standing::Admin;
    check(admin, &["+editor:sa2"], Ok(&["+editor:sa2"]));
    check(admin, &["+viewer:ga1"], Ok(&[]));
    check(admin, &["-viewer:ga1"], Ok(&["-viewer:ga1"]));
    check(admin, &["-editor:ga1", "-viewer:sa9"], Ok(&[]));
    check(
        admin,
        &["+editor:ga1", "-viewer:ga1", "+viewer:allUsers"],
        Ok(&["+editor:ga1", "-viewer:ga1", "+viewer:allUsers"]),
    );
}

#[test]
fn a_binding_occurs_once() {
    let admin = Standing::Admin;
    check(
        admin,
        &["+editor:sa2", "+editor:sa2"],
        Err("deltas[1].access_binding"),
    );
    check(
        admin,
        &["+editor:sa2", "-editor:sa2"],
        Err("deltas[1].access_binding"),
    );
}

#[test]
fn subjects_exist_and_are_what_they_are_called() {
    let admin = Standing::Admin;
    check(
        admin,
        &["+editor:sa2", "+editor:sa9"],
        Err("deltas[1].access_binding.subject: serviceAccount sa9 not found"),
    );
    check(
        admin,
        &["+editor:ux1"],
        Err("deltas[0].access_binding.subject.type: is userAccount, but ux1 is a serviceAccount"),
    );
}

#[test]
fn owners_are_the_matter_of_owners_and_one_is_left() {
    for text in ["+owner:sa2", "-owner:ua1"] {
        check(Standing::Admin, &[text], Err("only an owner"));
        check(Standing::Owner, &[text], Ok(&[text]));
    }
    check(Standing::Admin, &["+owner:sa1"], Ok(&[]));
    // Neither users nor disabled accounts can sign in.
    let left = Err("without an enabled service account");
    let owner = Standing::Owner;
    check(owner, &["-owner:sa1"], left);
    check(owner, &["-owner:sa1", "+owner:sd2"], left);
    check(owner, &["-owner:ua1"], Ok(&["-owner:ua1"]));
    check(owner, &["-owner:sd1"], Ok(&["-owner:sd1"]));
    let other = ["-owner:sa1", "-owner:ua1", "+owner:sa2"];
    check(owner, &other, Ok(&other));
}

#[test]
fn what_is_taken_away_is_what_it_is_called() {
    let admin = Standing::Admin;
    let kind = Err("access_binding.subject.type: is userAccount, but ux1 is a serviceAccount");
    check(admin, &["-viewer:ux1"], kind);
    check(admin, &["-viewer:sa9", "-viewer:allUsers"], Ok(&[]));
}

#[test]
fn roles_are_given_by_those_who_may() {
    let mut facts = facts(Standing::Admin);
    facts.callers = vec![binding("groups.admin:sa8")];
    let given = binding("admin:sa2");
    let deltas = [delta("+admin:sa2")];
    for refused in [
        update("deltas", &deltas, &facts),
        replace("bindings", std::slice::from_ref(&given), &facts),
    ] {
        let text = refused.unwrap_err().to_string();
        assert!(
            text.contains("the role organization-manager.admin"),
            "{text}"
        );
    }
    let kept = update("deltas", &[delta("+viewer:ga1")], &facts);
    assert_eq!(kept, Ok(vec![]), "what is there is not given");
}

#[test]
fn a_replacement_leaves_exactly_what_is_wanted() {
    let wanted = ["owner:sa1", "owner:sd1", "editor:sa2"].map(binding);
    let found = replace("access_bindings", &wanted, &facts(Standing::Owner)).unwrap();
    let expected = ["-viewer:ga1", "-owner:ua1", "+editor:sa2"].map(delta);
    assert_eq!(found.len(), expected.len());
    assert!(
        expected.iter().all(|delta| found.contains(delta)),
        "{found:?}"
    );
    assert_eq!(found.last(), expected.last(), "removals come first");

    let refused = |wanted: &[&str], standing| {
        let wanted: Vec<_> = wanted.iter().map(|text| binding(text)).collect();
        let facts = facts(standing);
        replace("access_bindings", &wanted, &facts)
            .unwrap_err()
            .to_string()
    };
    let text = refused(&["viewer:ga1"], Standing::Admin);
    assert!(text.contains("only an owner"), "{text}");
    for wanted in [&[][..], &["owner:ua1", "owner:sd1"]] {
        let text = refused(wanted, Standing::Owner);
        assert!(text.contains("without an enabled service"), "{text}");
    }
    let text = refused(&["viewer:ga1", "viewer:ga1"], Standing::Owner);
    assert!(text.starts_with("access_bindings[1]"), "{text}");
    let text = refused(&["owner:sa1", "viewer:sa9"], Standing::Owner);
    assert!(text.starts_with("access_bindings[1].subject"), "{text}");
}

#[track_caller]
fn check_parse(resource: &ResourceRef, [role, id, kind]: [&str; 3], field: Option<&str>) {
    let parsed = AccessBinding::parse("b", resource, role, id, kind);
    match (parsed, field) {
        (Ok(binding), None) => {
            assert_eq!(binding.role.name(), role);
            assert_eq!(binding.subject.id.as_str(), id);
        }
        (Err(Refusal::Invalid { field, .. }), Some(expected)) => assert_eq!(field, expected),
        (parsed, _) => panic!("{role} {id} {kind}: {parsed:?}"),
    }
}

#[test]
fn texts_of_requests_are_checked() {
    let organization = ResourceRef::organization(&"bpf1".into());
    let pool = ResourceRef::userpool(&"ek01".into());
    let owner = "organization-manager.organizations.owner";
    let viewer = "organization-manager.viewer";
    check_parse(&organization, [viewer, "aje1", "userAccount"], None);
    check_parse(&organization, [owner, "aje1", "userAccount"], None);
    check_parse(&pool, [viewer, "allUsers", "system"], None);
    let everybody = "group:organization:bpf1:users";
    check_parse(&pool, [viewer, everybody, "system"], None);
    check_parse(&pool, ["viewer", "aje1", "userAccount"], Some("b.role_id"));
    check_parse(&pool, [owner, "aje1", "userAccount"], Some("b.role_id"));
    let kind = Some("b.subject.type");
    check_parse(&organization, [owner, "allUsers", "system"], kind);
    check_parse(&organization, [owner, "aje1", "group"], kind);
    check_parse(&pool, [viewer, "aje1", "user"], kind);
    check_parse(&pool, [viewer, "aje1", "federatedUser"], kind);
    let id = Some("b.subject.id");
    check_parse(&pool, [viewer, "aje1", "system"], id);
    check_parse(&pool, [viewer, "group:federation:x:users", "system"], id);
}
