//! Names with everything that has a meaning in DNs, filters, LDIF or YAML.

use crate::change::*;
use crate::dice::Dice;
use crate::world::World;
use rollcall_lab::oracle::GroupNames;

const ALPHABET: [char; 30] = [
    ',',
    '\\',
    '+',
    '"',
    '<',
    '>',
    ';',
    '=',
    '#',
    '/',
    '*',
    '(',
    ')',
    '\0',
    ' ',
    ' ',
    '\n',
    '\'',
    '&',
    '|',
    '!',
    ':',
    '%',
    '{',
    'Ж',
    'ё',
    'ß',
    'İ',
    '\u{1f427}',
    'a',
];
const UNITS: usize = 12;
const USERS: usize = 60;
const GROUPS: usize = 20;
/// A third of the longest title in the standard schema, which may be counted in bytes.
const TITLE_MAX: usize = 42;

/// A name that is like no other even if case and spaces do not count. Most are short, some are as
/// long as a relative name may be in the standard schema, and some longer.
fn name_with_zero(dice: &mut Dice, number: usize) -> String {
    let length = match dice.below(10) {
        0 => 60,
        1 => 220,
        _ => 1 + dice.below(12),
    };
    let mut name: String = (0..length)
        .map(|_| *dice.pick(&ALPHABET).unwrap())
        .collect();
    match dice.below(6) {
        0 => name.insert(0, ' '),
        1 => name.insert(0, '#'),
        _ => {}
    }
    let middle = name.chars().count() / 2;
    let at = name.char_indices().nth(middle).map_or(0, |(at, _)| at);
    name.insert_str(at, &format!("x{number}x"));
    if dice.once_in(4) {
        name.push(' ');
    }
    if dice.once_in(8) {
        // As two controllers leave it that made an object of the same name (MS-ADTS 3.1.1.5.1.2).
        name = format!("c{number}\nCNF:{number:08x}-1111-2222-3333-444444444444");
    }
    name
}

/// The same without what Samba 4.17 takes in new relative names and cannot read back: zero bytes,
/// with which it loses the parents of what lies below, and names that end like [`ends_badly`].
fn name(dice: &mut Dice, number: usize) -> String {
    let name = name_with_zero(dice, number).replace('\0', "0");
    if ends_badly(&name) { name + "." } else { name }
}

/// Whether a name ends in commas with a space before or between them that is not its first
/// character. In a distinguished name such commas are escaped, which libldb 2.6 forgets when it
/// takes the space for one at the end of the name: it cuts the end off with everything from the
/// space on, and as many characters before it as there are escapes, possibly in the middle of one.
/// `a \,` becomes the empty name, `Ж \,` no UTF-8.
fn ends_badly(name: &str) -> bool {
    let kept = name.trim_end_matches([' ', ',']).len();
    let end = &name[kept..];
    let spaces = if kept == 0 { end.get(1..) } else { Some(end) };
    name.ends_with(',') && spaces.is_some_and(|end| end.contains(' '))
}

/// What the directory calls an object.
fn dn_of(world: &World, account: &str) -> String {
    let filter = format!("(|(sAMAccountName={account})(description={account}))");
    let dump = world.dc.admin_ldapsearch(&[&filter, "dn"]).unwrap();
    let line = dump
        .lines()
        .find_map(|line| line.strip_prefix("dn:"))
        .unwrap();
    match line.strip_prefix(':') {
        None => line.trim_start().to_owned(),
        Some(encoded) => {
            use base64::Engine as _;
            let decoded = base64::engine::general_purpose::STANDARD.decode(encoded.trim());
            String::from_utf8(decoded.unwrap()).unwrap()
        }
    }
}

struct Names {
    units: Vec<String>,
    changes: String,
    group_names: Vec<String>,
}

fn everything(dice: &mut Dice) -> Names {
    let mut units = vec![format!("OU=People,{BASE}")];
    let mut changes = String::new();
    for number in 0..UNITS {
        let above = dice.pick(&units).unwrap().clone();
        let dn = format!("OU={},{above}", escaped(&name(dice, number)));
        changes += &line("dn", &dn);
        changes += "changetype: add\nobjectClass: organizationalUnit\n";
        changes += &format!("description: unit{number}\n\n");
        units.push(dn);
    }
    let mut users = Vec::new();
    for number in 0..USERS {
        let own = name(dice, 1_000 + number);
        let dn = format!("CN={},{}", escaped(&own), dice.pick(&units).unwrap());
        changes += &line("dn", &dn);
        changes += &format!(
            "changetype: add\nobjectClass: user\nsAMAccountName: user{number}\n\
             userPrincipalName: user{number}@corp.example.com\nuserAccountControl: 544\n"
        );
        if dice.once_in(2) {
            changes += &line("displayName", &name_with_zero(dice, 2_000 + number));
        }
        let title: String = name_with_zero(dice, 3_000 + number)
            .chars()
            .take(TITLE_MAX)
            .collect();
        changes += &line("title", &title);
        changes.push('\n');
        users.push(dn);
    }
    let mut group_names = Vec::new();
    for number in 0..GROUPS {
        let own = name(dice, 4_000 + number);
        let dn = format!("CN={},{}", escaped(&own), dice.pick(&units).unwrap());
        changes += &line("dn", &dn);
        changes += &format!("changetype: add\nobjectClass: group\nsAMAccountName: group{number}\n");
        for _ in 0..3 {
            let member = dice.below(USERS / 3) * 3;
            let from = changes.rfind("\ndn:: ").unwrap();
            let value = line("member", &users[member]);
            if !changes[from..].contains(&value) {
                changes += &value;
            }
        }
        changes.push('\n');
        group_names.push(own);
    }
    Names {
        units,
        changes,
        group_names,
    }
}

#[test]
fn names_that_samba_cannot_read_back() {
    for (name, bad) in [
        ("a ,", true),
        ("Ж ,", true),
        ("a , ,", true),
        ("a, ,", true),
        ("  ,", true),
        (" ,", false),
        ("a b,", false),
        ("a,", false),
        ("a , ", false),
        ("a ,b", false),
        ("a +,", false),
        (" a,", false),
        ("", false),
    ] {
        assert_eq!(ends_badly(name), bad, "{name:?}");
    }
}

/// What the directory cannot show stays as it is and is told, and the others go on (P6).
#[tokio::test(flavor = "multi_thread")]
async fn at_13_a_name_that_the_directory_cannot_read_back_stops_nobody_else() {
    let world = World::start(None).await;
    let people = format!("OU=People,{BASE}");
    let config = world.configure("", "");
    let made = [new_user("anna", &people), new_user("boris", &people)];
    world.dc.admin_ldapmodify(&made.concat()).unwrap();
    world.run(&config).await;
    let anna = world.id_of("anna").await.unwrap();
    let renamed = |from: &str, to: &str| {
        let (dn, new) = (line("dn", from), line("newrdn", to));
        format!("{dn}changetype: modrdn\n{new}deleteoldrdn: 1\n\n")
    };
    let changes = [
        replace(&format!("CN=anna,{people}"), "title", "Lead"),
        renamed(
            &format!("CN=anna,{people}"),
            &format!("CN={}", escaped("Ж ,")),
        ),
        replace(&format!("CN=boris,{people}"), "title", "Lead"),
        new_user("clara", &people),
    ];
    world.dc.admin_ldapmodify(&changes.concat()).unwrap();
    let title = async |world: &World, login: &str| {
        let wanted = format!("{login}@{}", world.domain());
        let users = world.users().await;
        let found = users.into_iter().find(|user| user.username == wanted);
        found.unwrap().job_title
    };
    // In the first run it is changed, in the second one only tried again.
    for _ in 0..2 {
        let (code, summary) = world.once(&config).await;
        assert_eq!(code, 0, "{summary:#}");
        assert_eq!(summary["mode"], "delta", "{summary:#}");
        assert_eq!(title(&world, "boris").await, "Lead");
        assert_eq!(title(&world, "clara").await, "");
        assert_eq!(title(&world, "anna").await, "", "it cannot be read");
        assert_eq!(world.id_of("anna").await.unwrap(), anna);
        for streams in [&summary, &summary["streams"]["account_state"]] {
            let items = streams["failed_items"].as_array().unwrap();
            assert_eq!(items.len(), 1, "{summary:#}");
            let text = items[0].to_string();
            for part in [
                "the directory cannot show it",
                "operationsError",
                "compare everything",
            ] {
                assert!(text.contains(part), "{part}: {text}");
            }
        }
    }
    // Samba itself cannot rename it. What helps, helps: a comparison of everything does not ask for
    // the object by itself, and gets it whole.
    world.reset_token().await;
    let run = world.run(&config).await;
    assert_eq!(run["mode"], "full", "{run:#}");
    assert_eq!(run["failed_items_count"], 0, "{run:#}");
    let states = &run["streams"]["account_state"];
    assert_eq!(states["failed_items_count"], 0, "{run:#}");
    assert_eq!(title(&world, "anna").await, "Lead");
    assert_eq!(world.id_of("anna").await.unwrap(), anna);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_13_special_characters_in_every_kind_of_name() {
    let mut dice = Dice::of_environment();
    let mut world = World::start(None).await;
    world.units.truncate(1);
    let names = everything(&mut dice);
    world.dc.admin_ldapmodify(&names.changes).unwrap();
    let config = world.configure("", "safety: {max_removals: 0}");
    let first = world.run(&config).await;
    let expected = world.expected();
    // Every name of a user fits unless it has a zero byte; no name of a group does here.
    assert!(
        expected.state.users.len() > USERS / 4,
        "{}",
        expected.unfit.len()
    );
    assert_eq!(first["failed_items_count"], expected.failed_items());
    world.assert_equal().await;

    // Groups by their accounts, so that memberships under such names are seen too.
    let mapping =
        "  group_attribute_mapping: [{source: sAMAccountName, target: Name, type: direct}]";
    world.group_names = GroupNames::AccountName;
    let config = world.configure(mapping, "safety: {max_removals: 0}");
    world.run(&config).await;
    assert_eq!(world.found().await.groups.len(), GROUPS);
    world.assert_equal().await;

    // Everything gets another name, and some another place.
    let mut changes = String::new();
    for number in 0..USERS {
        let dn = dn_of(&world, &format!("user{number}"));
        changes += &line("dn", &dn);
        changes += "changetype: modrdn\n";
        let new = format!("CN={}", escaped(&name(&mut dice, 5_000 + number)));
        changes += &line("newrdn", &new);
        changes += "deleteoldrdn: 1\n";
        if dice.once_in(3) {
            changes += &line("newsuperior", dice.pick(&names.units).unwrap());
        }
        changes.push('\n');
    }
    world.dc.admin_ldapmodify(&changes).unwrap();
    let delta = world.run(&config).await;
    assert_eq!(delta["mode"], "delta");
    world.assert_equal().await;
    for number in 0..UNITS {
        let dn = dn_of(&world, &format!("unit{number}"));
        let new = format!("OU={}", escaped(&name(&mut dice, 6_000 + number)));
        let (dn, new) = (line("dn", &dn), line("newrdn", &new));
        let change = format!("{dn}changetype: modrdn\n{new}deleteoldrdn: 1\n\n");
        world.dc.admin_ldapmodify(&change).unwrap();
    }
    let delta = world.run(&config).await;
    assert_eq!(delta["mode"], "delta");
    world.assert_equal().await;

    // The same names in the filter: units by DN, groups by DN and by name.
    for (number, group_name) in names.group_names.iter().enumerate().take(6) {
        let unit = dn_of(&world, &format!("unit{number}"));
        let group = dn_of(&world, &format!("group{number}"));
        world.units = vec![unit, format!("OU=Groups,{BASE}")];
        // An entry has at most 253 characters.
        world.units.retain(|unit| unit.chars().count() <= 253);
        let by_name = number % 2 == 0 && group_name.chars().count() <= 253;
        if !by_name && group.chars().count() > 253 {
            continue;
        }
        world.groups = vec![if by_name {
            group_name.clone()
        } else {
            group.clone()
        }];
        let config = world.configure(mapping, "safety: {max_removals: 0}");
        world.groups = vec![group];
        world.run(&config).await;
        world.assert_equal().await;
    }
}
