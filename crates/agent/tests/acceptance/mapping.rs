//! The mapping of attributes as the hub's settings say it.

use crate::change::*;
use crate::world::World;
use rollcall_proto::idp::{
    CreateSynchronizationSettingsRequest, GroupAttributeMapping, GroupTargetAttribute, MappingType,
    SynchronizationFilter, UserAttributeMapping, UserTargetAttribute,
};

fn user_mapping(
    source: &str,
    target: UserTargetAttribute,
    kind: MappingType,
) -> UserAttributeMapping {
    UserAttributeMapping {
        source: source.into(),
        target: target.into(),
        r#type: kind.into(),
    }
}

async fn set(world: &World, mappings: Vec<UserAttributeMapping>) {
    let request = CreateSynchronizationSettingsRequest {
        subject_container_id: world.pool.id.clone(),
        filter: Some(SynchronizationFilter {
            domain: world.dc.realm().to_lowercase(),
            organization_units: world.units.clone(),
            groups: Vec::new(),
        }),
        replacement_domain: world.domain().to_owned(),
        user_attribute_mappings: mappings,
        group_attribute_mappings: vec![GroupAttributeMapping {
            source: "info".into(),
            target: GroupTargetAttribute::Description.into(),
            r#type: MappingType::Direct.into(),
        }],
        ..CreateSynchronizationSettingsRequest::default()
    };
    let mut settings = world.client.synchronization();
    settings
        .create_synchronization_settings(request)
        .await
        .unwrap();
}

async fn unset(world: &World) {
    let request = rollcall_proto::idp::DeleteSynchronizationSettingsRequest {
        subject_container_id: world.pool.id.clone(),
    };
    let mut settings = world.client.synchronization();
    settings
        .delete_synchronization_settings(request)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_come_from_where_the_settings_of_the_hub_say() {
    use MappingType::{Direct, DirectArbitraryAttribute as Any, Empty};
    use UserTargetAttribute::{
        CompanyName, Department, Email, EmployeeId, FamilyName, JobTitle, PhoneNumber, Username,
    };
    let world = World::start(None).await;
    let people = format!("OU=People,{BASE}");
    let anna = format!("CN=anna,{people}");
    let crew = format!("CN=crew,OU=Groups,{BASE}");
    let changes = [
        new_user("anna", &people).replace("userPrincipalName: anna@corp.example.com\n", ""),
        replace(&anna, "mobile", "+7 1"),
        replace(&anna, "telephoneNumber", "+7 2"),
        replace(&anna, "sn", "Kept by the hub"),
        replace(&anna, "physicalDeliveryOfficeName", "Room 4"),
        replace(&anna, "wWWHomePage", "https://anna.example"),
        modify(
            &anna,
            "replace: otherTelephone\notherTelephone: 2\notherTelephone: 1",
        ),
        new_group("crew", &format!("OU=Groups,{BASE}"), &[&anna]),
        replace(&crew, "info", "From info"),
        replace(&crew, "description", "From description"),
    ];
    world.dc.admin_ldapmodify(&changes.concat()).unwrap();
    set(
        &world,
        vec![
            user_mapping("sAMAccountName", Username, Direct),
            user_mapping("mobile", PhoneNumber, Direct),
            user_mapping("objectSid", EmployeeId, Direct),
            user_mapping("", FamilyName, Empty),
            user_mapping("physicalDeliveryOfficeName", Department, Any),
            user_mapping("wWWHomePage", CompanyName, Any),
            user_mapping("otherTelephone", JobTitle, Any),
            user_mapping("objectGUID", Email, Any),
        ],
    )
    .await;
    let config = world.configure("", "");
    let look = async || {
        let users = world.users().await;
        assert_eq!(users.len(), 1);
        let user = users.into_iter().next().unwrap();
        let groups = world.found().await.groups;
        let about = groups.values().next().unwrap().description.clone();
        (user, about)
    };
    for mode in ["full", "delta"] {
        let run = world.run(&config).await;
        assert_eq!(run["mode"], mode);
        assert_eq!(run["failed_items_count"], 0, "{run:#}");
        let (user, about) = look().await;
        assert_eq!(user.username, format!("anna@{}", world.domain()));
        assert_eq!(user.phone_number, "+7 1");
        assert!(user.employee_id.starts_with("S-1-5-21-"), "{user:?}");
        assert_eq!(user.family_name, "");
        assert_eq!(user.department, "Room 4");
        assert_eq!(user.company_name, "https://anna.example");
        assert_eq!(user.job_title, "1");
        assert_eq!(user.email, user.external_id);
        assert_eq!(about, "From info");
        // A change of another attribute makes the delta read the user in another way.
        let change = replace(&anna, "displayName", "Anna B");
        world.dc.admin_ldapmodify(&change).unwrap();
    }
    let change = replace(&anna, "physicalDeliveryOfficeName", "Room 5");
    world.dc.admin_ldapmodify(&change).unwrap();
    let delta = world.run(&config).await;
    assert_eq!(delta["users"]["updated"], 1, "{delta:#}");
    assert_eq!(look().await.0.department, "Room 5");

    // What cannot be followed, or is misspelt, changes nobody.
    for (source, why) in [
        ("physicalDeliveryOfficeNames", "no such attribute"),
        ("manager", "names of other objects"),
        ("memberOf", "worked out"),
        ("whenChanged", "value of its own"),
        ("thumbnailPhoto", "no text"),
    ] {
        unset(&world).await;
        set(&world, vec![user_mapping(source, Department, Any)]).await;
        let reason = world.failing_run(&config).await;
        let named = reason.contains(&source.to_lowercase());
        assert!(
            named && (reason.contains(why) || why == "worked out"),
            "{reason}"
        );
        assert_eq!(look().await.0.department, "Room 5");
    }
    unset(&world).await;
    set(&world, vec![user_mapping("unicodePwd", Department, Any)]).await;
    let (code, summary) = world.once(&config).await;
    assert_eq!(code, 2, "{summary:#}");
    let reason = summary["reason"].as_str().unwrap();
    assert!(reason.contains("never copied"), "{reason}");
}
