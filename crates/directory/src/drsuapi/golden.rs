//! Answers recorded from a real domain controller, whole and cut.
//!
//! Invariant tested: what was recorded is understood to its last byte, the hashes are those of the
//! passwords, and any cut is refused. Damage is the matter of the fuzz targets.

use md4::{Digest, Md4};

use super::*;
use crate::guid::bytes_of_hex;
use crate::rpc::pdu::{self, Pdu};

fn recorded(name: &str) -> Vec<Vec<u8>> {
    let lines = include_str!("../../golden/replication.hex").lines();
    let of = lines.filter_map(|line| line.split_once(' '));
    let of = of.filter(|(kind, _)| *kind == name);
    of.map(|(_, data)| bytes_of_hex(data).unwrap()).collect()
}

fn only(name: &str) -> Vec<u8> {
    let [one] = recorded(name).try_into().unwrap();
    one
}

fn objects_of(name: &str) -> (Vec<ReplicatedObject>, bool) {
    let bytes = only(name);
    let page = page_of(&bytes).unwrap();
    assert!(!page.prefixes.is_empty() && code_of(&bytes).unwrap() == 0);
    (objects(&page, &only("key")).unwrap(), page.more)
}

fn is_hash_of(object: &ReplicatedObject, password: &str) -> bool {
    let utf16: Vec<u8> = password.encode_utf16().flat_map(u16::to_le_bytes).collect();
    match &object.nt_hash {
        HashValue::Hash(hash) => *hash.expose() == <[u8; 16]>::from(Md4::digest(utf16)),
        _ => false,
    }
}

#[test]
fn the_hashes_of_a_recorded_page_are_those_of_the_passwords() {
    let (found, more) = objects_of("sweep");
    assert!(!more);
    let people: Vec<_> = found
        .iter()
        .filter_map(|object| {
            let name = object.dn.split(',').next()?;
            let number: u32 = name.rsplit(' ').next()?.parse().ok()?;
            Some((number, object))
        })
        .collect();
    assert_eq!(people.len(), 20);
    for (number, person) in people {
        let password = format!("Pw-{number:06}-xYz!");
        assert!(is_hash_of(person, &password), "{number}");
    }
    // With another key there is none, rather than a wrong one.
    let bytes = only("sweep");
    let page = page_of(&bytes).unwrap();
    for object in objects(&page, &[0; 16]).unwrap() {
        let wrong = HashValue::Undecryptable(Undecryptable::Checksum);
        let expected = matches!(object.nt_hash, HashValue::NotSent | HashValue::Removed);
        assert!(expected || format!("{:?}", object.nt_hash) == format!("{wrong:?}"));
    }
}

#[test]
fn recorded_changes_are_understood() {
    let (found, more) = objects_of("changes");
    assert!(!more);
    assert_eq!(found.len(), 4);
    let reset = found
        .iter()
        .find(|object| is_hash_of(object, "Another-Passw0rd!"));
    assert!(matches!(
        reset.unwrap().pwd_last_set,
        Some(PasswordLastSet::At(_))
    ));
    let mut deleted = found.iter().filter(|object| object.is_deleted);
    assert!(matches!(
        deleted.next().unwrap().nt_hash,
        HashValue::Removed
    ));
    let disabled = found
        .iter()
        .filter(|object| object.user_account_control == Some(0x202));
    assert_eq!(disabled.count(), 1);

    let bytes = only("nothing");
    let page = page_of(&bytes).unwrap();
    assert!(page.objects.is_empty() && !page.up_to_date.is_empty());
    let own = page
        .up_to_date
        .iter()
        .find(|(id, _)| Some(*id) == page.invocation_id);
    assert!(own.unwrap().1 >= page.usns.object);
    assert!(
        objects_of("renamed").0[0]
            .dn
            .starts_with("CN=Another Name,")
    );
}

#[test]
fn the_rest_of_the_conversation_is_understood() {
    assert_eq!(mapper::parse(&only("mapper")), Ok(Some(49153)));
    let bound = bind::parse(&only("bound")).unwrap();
    assert_eq!((bound.code, bound.epoch), (0, 0));
    assert!(bound.flags & bind::STRONG_ENCRYPTION != 0 && bound.flags & bind::GETCHGREQ_V8 != 0);
    let mut agreements = 0;
    for bytes in recorded("fragment") {
        let mut pdu = Pdu::parse(&bytes).unwrap();
        match pdu.head.kind {
            pdu::BIND_ACK => {
                let agreement = pdu::parse_agreement(&pdu).unwrap();
                assert_eq!(agreement.refusal, (0, 0));
                agreements += 1;
            }
            pdu::RESPONSE if pdu.head.token_bytes > 0 => {
                let padding = pdu::padding(pdu.parts().unwrap().trailer, 10).unwrap();
                assert!(padding < pdu::PADDING);
            }
            pdu::RESPONSE => assert!(mapper::parse(pdu.stub().unwrap()).is_ok()),
            pdu::FAULT => assert_ne!(pdu.fault().unwrap(), 0),
            other => panic!("kind {other}"),
        }
    }
    assert_eq!(agreements, 2);
}

#[test]
fn every_cut_is_refused() {
    for (name, step) in [
        ("changes", 1),
        ("nothing", 1),
        ("renamed", 1),
        ("sweep", 101),
    ] {
        let bytes = only(name);
        for length in (0..bytes.len()).step_by(step) {
            assert!(reply::parse(&bytes[..length]).is_err(), "{name} {length}");
        }
    }
    let bytes = only("bound");
    for length in 0..bytes.len() {
        assert!(bind::parse(&bytes[..length]).is_err(), "{length}");
    }
}
