//! Messages recorded from a real domain controller, whole, cut and damaged.
//!
//! Invariant tested: what was recorded is understood; any cut is refused; no damage makes a decoder
//! panic or lets it take in more than the message had.

use proptest::prelude::*;

use crate::dirsync::{MemberChange, parse_position, take_members};
use crate::entry::{Entry, Kind};
use crate::guid::bytes_of_hex;
use crate::message::{self, Answer, Message};
use crate::search::parse_entry;

fn frames() -> Vec<Vec<u8>> {
    let lines = include_str!("../golden/dirsync.hex").lines();
    let data = lines.filter(|line| !line.starts_with('#'));
    data.map(|line| bytes_of_hex(line).unwrap()).collect()
}

fn entry(frame: &[u8]) -> Entry {
    parse_entry(message::parse(frame).unwrap().answer).unwrap()
}

#[test]
fn recorded_messages_are_understood() {
    let frames = frames();
    let [changed, moved, group, deleted, new, end] = frames.as_slice() else {
        panic!("{} frames", frames.len())
    };
    let changed = entry(changed);
    assert_eq!(changed.attributes.text("displayName"), Some("Änna"));
    assert!(changed.attributes.has("mail") && changed.attributes.text("mail").is_none());
    assert_eq!(
        (changed.kind, changed.parent, changed.deleted),
        (None, None, false)
    );

    let moved = entry(moved);
    assert_eq!(moved.guid, changed.guid);
    assert_eq!(
        moved.dn.as_str(),
        "CN=Anna B,OU=South,DC=corp,DC=example,DC=com"
    );
    assert!(moved.parent.is_some());

    let mut group = entry(group);
    let Some(MemberChange::Incremental { added, removed }) = take_members(&mut group.attributes)
    else {
        panic!("{group:?}")
    };
    assert_eq!((added.len(), removed.len()), (0, 1));
    assert!(removed[0].sid.is_some());

    let deleted = entry(deleted);
    assert!(deleted.deleted);
    assert_eq!(deleted.guid, changed.guid);
    assert!(deleted.attributes.has("displayName"));

    let new = entry(new);
    assert_eq!(new.kind, Some(Kind::User));
    assert_eq!(new.attributes.text("name"), Some("Новый"));

    let end = message::parse(end).unwrap();
    assert!(matches!(&end.answer, Answer::Done(outcome) if outcome.code == 0));
    let (more, cookie) = parse_position(end.controls[0].value.as_deref().unwrap()).unwrap();
    assert!(!more);
    assert!(cookie.as_bytes().starts_with(b"MSDS"));
}

#[test]
fn every_cut_is_refused() {
    for frame in frames() {
        for length in 0..frame.len() {
            assert_eq!(message::parse(&frame[..length]), Err(crate::ber::Malformed));
        }
        let mut longer = frame.clone();
        longer.push(0);
        assert_eq!(message::parse(&longer), Err(crate::ber::Malformed));
    }
}

/// Everything that reads a message further.
fn read_on(message: Message) {
    for control in &message.controls {
        parse_position(control.value.as_deref().unwrap_or_default()).ok();
    }
    if let Ok(mut entry) = parse_entry(message.answer) {
        take_members(&mut entry.attributes);
        for name in ["objectSid", "userAccountControl", "accountExpires", "name"] {
            let attributes = &entry.attributes;
            drop((
                attributes.sid(name),
                attributes.guid(name),
                attributes.filetime_micros(name),
            ));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn damage_never_panics(
        frame in prop::sample::select(frames()),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut frame = frame;
        for (place, byte) in damage {
            let place = place.index(frame.len());
            frame[place] = byte;
        }
        if let Ok(message) = message::parse(&frame) {
            read_on(message);
        }
    }

    #[test]
    fn any_bytes_never_panic(bytes: Vec<u8>) {
        if let Ok(message) = message::parse(&bytes) {
            read_on(message);
        }
    }
}
