//! Pages made for the purpose: whole, cut, and with counts that promise too much.

use super::super::pages::{Made, Person, guid};
use super::*;

fn full(version: u32) -> Made {
    let person = |byte, attributes| Person {
        guid: guid(byte),
        rid: 1100 + u32::from(byte),
        dn: "CN=Änna,DC=corp",
        attributes,
    };
    Made {
        version,
        vector: vec![(1, 77), (2, 5)],
        table: vec![(9, vec![1, 2, 3]), (3, vec![4; 9]), (9, vec![0xff; 21])],
        people: vec![
            person(
                1,
                vec![(0x9_005a, vec![vec![1; 36]]), (0x9_0060, vec![vec![2; 8]])],
            ),
            person(2, vec![(0x9_0008, Vec::new())]),
            person(3, vec![(0x9_0008, vec![vec![1], Vec::new(), vec![2; 3]])]),
        ],
        links: if version == 6 { 3 } else { 0 },
        more: true,
        ..Made::default()
    }
}

fn page(bytes: &[u8]) -> Box<Reply<'_>> {
    match parse(bytes).unwrap() {
        Answer::Page(page) => page,
        Answer::OtherVersion(..) => panic!("another version"),
    }
}

#[test]
fn both_versions_are_read_to_their_last_byte() {
    for version in [1, 6] {
        let bytes = full(version).bytes();
        let page = page(&bytes);
        assert_eq!(page.invocation_id, Some(guid(1)));
        assert_eq!(page.up_to_date, [(guid(1), 77), (guid(2), 5)]);
        assert_eq!(page.prefixes.find(3), Some([4; 9].as_slice()));
        assert_eq!(page.prefixes.find(9), Some([1, 2, 3].as_slice()));
        assert_eq!(page.prefixes.find(4), None);
        assert!(page.more);
        assert_eq!(page.links, if version == 6 { 3 } else { 0 });
        let guids: Vec<_> = page.objects.iter().map(|object| object.guid).collect();
        assert_eq!(guids, [Some(guid(1)), Some(guid(2)), Some(guid(3))]);
        let [first, second, third] = page.objects.as_slice() else {
            panic!("{page:?}")
        };
        assert_eq!(
            (first.dn.as_str(), first.rid),
            ("CN=Änna,DC=corp", Some(1101))
        );
        assert_eq!(first.attributes[1].changed, 13_344_473_601);
        assert!(second.attributes[0].values.is_empty());
        assert_eq!(third.attributes[0].values.len(), 3);
    }
}

#[test]
fn every_cut_is_refused() {
    let bytes = full(6).bytes();
    for length in 0..bytes.len() {
        assert!(parse(&bytes[..length]).is_err(), "{length}");
    }
    let mut longer = bytes;
    longer.extend([0; 4]);
    assert!(parse(&longer).is_err());
}

#[test]
fn other_versions_are_named() {
    let mut writer = crate::rpc::ndr::Writer::default();
    for number in [7, 7, 0, 8453] {
        writer.u32(number);
    }
    let bytes = writer.into_bytes();
    assert!(matches!(parse(&bytes), Ok(Answer::OtherVersion(7))));
    assert_eq!(code(&bytes), Ok(8453));
}

#[test]
fn counts_beyond_the_bytes_cost_nothing() {
    let mut made = full(6);
    made.people.clear();
    let bytes = made.bytes();
    for place in (0..bytes.len()).step_by(4) {
        let mut damaged = bytes.clone();
        damaged[place..place + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        parse(&damaged).ok();
    }
}

#[test]
fn a_table_has_no_more_prefixes_than_attributes_can_name() {
    let mut made = full(6);
    made.people.clear();
    made.table = (0..)
        .take(PREFIXES_MAX)
        .map(|number| (number, vec![1]))
        .collect();
    assert_eq!(
        page(&made.bytes()).prefixes.find(0x7fff),
        Some([1].as_slice())
    );
    made.table.push((PREFIXES_MAX as u32, vec![1]));
    assert!(parse(&made.bytes()).is_err());
}

/// With an error the answer is of version 1 and zeros (MS-DRSR 4.1.10.5); Samba takes version 6.
#[test]
fn a_refusal_is_read_without_anything_else() {
    let mut bytes = vec![0; 128];
    bytes[0] = 1;
    bytes[4] = 1;
    bytes.extend(8453u32.to_le_bytes());
    assert_eq!(code(&bytes), Ok(8453));
    let page = page(&bytes);
    assert_eq!(page.codes, [0, 8453]);
    assert!(page.objects.is_empty() && !page.more);
}
