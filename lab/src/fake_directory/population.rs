//! People who are made up when somebody looks: a million of them cost nothing until changed.
//!
//! Invariant: person number N is always the same one, and their numbers are their order of creation.
//! Deliberately absent: everything that changed about one of them; that is an object of its own.

use std::collections::BTreeMap;

use super::object::{Object, ObjectId};

/// Identifiers of people begin here; everything else lies below.
const FIRST: u64 = 1 << 40;
/// accountExpires of an account without end (MS-ADA1 2.2).
const NEVER: &str = "9223372036854775807";

/// Many people in one unit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Population {
    pub unit: ObjectId,
    pub count: u64,
    pub first_usn: u64,
}

impl Population {
    /// The identifier of person number `at`.
    pub fn id(at: u64) -> ObjectId {
        ObjectId(FIRST + at)
    }

    /// The number of a person.
    pub fn number(&self, id: ObjectId) -> Option<u64> {
        id.0.checked_sub(FIRST).filter(|at| *at < self.count)
    }

    /// The number of the person with this relative name.
    pub fn named(&self, unit: ObjectId, step: &str) -> Option<u64> {
        let number = step.strip_prefix("cn=p")?.parse().ok()?;
        (unit == self.unit && number < self.count && step == format!("cn={}", name(number)))
            .then_some(number)
    }

    /// The person as created.
    pub fn person(&self, at: u64, domain: &str) -> Object {
        let usn = self.first_usn + at;
        let name = name(at);
        let mut person = Object {
            id: Self::id(at),
            parent: Some(self.unit),
            naming: "CN",
            attributes: BTreeMap::new(),
            members: BTreeMap::new(),
            usn_created: usn,
            usn_changed: usn,
            deleted: false,
        };
        let mut put = |attribute: &str, value: &str| {
            person.put(attribute, vec![value.as_bytes().to_vec()], usn);
        };
        put("name", &name);
        put("sAMAccountName", &name);
        put("userPrincipalName", &format!("{name}@{domain}"));
        put("displayName", &format!("Person {at}"));
        put("givenName", "Person");
        put("sn", &format!("Number {at}"));
        put("mail", &format!("{name}@{domain}"));
        put("telephoneNumber", &format!("+1 555 {at:07}"));
        put("company", "Example Corporation");
        put("title", "Senior Engineer");
        put("department", &format!("Department {}", at % 100));
        put("employeeID", &format!("E{at:07}"));
        user(&mut person, usn);
        person
    }
}

/// What makes an object a user.
pub(super) fn user(object: &mut Object, usn: u64) {
    let classes = ["top", "person", "organizationalPerson", "user"];
    object.put(
        "objectClass",
        classes.map(|c| c.as_bytes().to_vec()).into(),
        usn,
    );
    let sid = object.id.sid();
    object.put("objectSid", vec![sid], usn);
    for (name, value) in [
        ("instanceType", "4"),
        ("objectCategory", "CN=Person,CN=Schema,CN=Configuration"),
        ("userAccountControl", "512"),
        // Domain Users, MS-DTYP 2.4.2.4.
        ("primaryGroupID", "513"),
        ("accountExpires", NEVER),
    ] {
        object.put(name, vec![value.as_bytes().to_vec()], usn);
    }
}

fn name(at: u64) -> String {
    format!("p{at:07}")
}
