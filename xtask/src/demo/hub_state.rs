//! What the hub holds, as its command line shows it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use rollcall_lab::oracle::{Group, State, User};
use serde_json::Value;

use super::programs::{Hub, Programs, text};

/// Fields of a user that the directory decides, besides the login and the account's state.
const FIELDS: &[&str] = &[
    "fullName",
    "givenName",
    "familyName",
    "email",
    "phoneNumber",
    "companyName",
    "jobTitle",
    "department",
    "employeeId",
];

/// Reads every external user and group of a pool, with members.
pub fn read(programs: &Programs, hub: &Hub, pool: &str) -> anyhow::Result<State> {
    let users = programs.rollcall(
        hub,
        &[
            "user",
            "list",
            "--userpool",
            pool,
            "--limit",
            "0",
            "--page-size",
            "1000",
        ],
    )?;
    let mut state = State::default();
    let mut external_ids = BTreeMap::new();
    for user in array(&users)? {
        let external_id = text(user, "externalId")?.to_owned();
        external_ids.insert(text(user, "id")?.to_owned(), external_id.clone());
        state.users.insert(external_id, parse_user(user)?);
    }
    let groups = programs.rollcall(
        hub,
        &["group", "list-external", "--userpool", pool, "--limit", "0"],
    )?;
    for group in array(&groups)? {
        let id = text(group, "id")?;
        let members = programs.rollcall(
            hub,
            &[
                "group",
                "list-members",
                id,
                "--limit",
                "0",
                "--page-size",
                "1000",
            ],
        )?;
        let mut there = BTreeSet::new();
        for member in array(&members)? {
            let id = text(member, "subjectId")?;
            there.insert(
                external_ids
                    .get(id)
                    .cloned()
                    .unwrap_or_else(|| id.to_owned()),
            );
        }
        let description = group
            .get("description")
            .and_then(Value::as_str)
            .unwrap_or_default();
        state.groups.insert(
            text(group, "externalId")?.to_owned(),
            Group {
                name: text(group, "name")?.to_owned(),
                description: description.to_owned(),
                members: there,
            },
        );
    }
    Ok(state)
}

fn parse_user(user: &Value) -> anyhow::Result<User> {
    let fields = FIELDS
        .iter()
        .filter_map(|name| Some((*name, user.get(name)?.as_str()?.to_owned())))
        .collect();
    let expires_at_seconds = match user.get("expiresAt").and_then(Value::as_str) {
        Some(moment) => Some(unix_seconds(moment)?),
        None => None,
    };
    Ok(User {
        username: text(user, "username")?.to_lowercase(),
        fields,
        active: text(user, "status")? == "ACTIVE",
        expires_at_seconds,
    })
}

fn array(value: &Value) -> anyhow::Result<&Vec<Value>> {
    value
        .as_array()
        .with_context(|| format!("not a list: {value}"))
}

/// Seconds since 1970 of a moment such as `2026-01-31T12:00:00Z`, as proto3 JSON writes it.
fn unix_seconds(moment: &str) -> anyhow::Result<i64> {
    let numbers: Vec<i64> = moment
        .split(|character: char| !character.is_ascii_digit())
        .take(6)
        .map(str::parse)
        .collect::<Result<_, _>>()
        .with_context(|| format!("not a moment: {moment}"))?;
    let &[year, month, day, hour, minute, second] = numbers.as_slice() else {
        anyhow::bail!("not a moment: {moment}");
    };
    // Days since 1970-01-01 of the proleptic Gregorian calendar, counted from March on so that the
    // leap day is the last of its year.
    let (march_year, march_month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    let days =
        march_year * 365 + march_year / 4 - march_year / 100 + march_year / 400 + day_of_year
            - 719_468;
    Ok(((days * 24 + hour) * 60 + minute) * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::unix_seconds;

    #[test]
    fn moments_become_seconds() {
        assert_eq!(unix_seconds("1970-01-01T00:00:00Z").unwrap(), 0);
        assert_eq!(unix_seconds("2000-02-29T12:00:00Z").unwrap(), 951_825_600);
        assert_eq!(
            unix_seconds("2105-12-31T23:59:59.999Z").unwrap(),
            4_291_747_199
        );
        assert!(unix_seconds("soon").is_err());
    }
}
