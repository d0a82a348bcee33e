//! Short lists of texts in one column.
//!
//! Invariant: `unpack(pack(x)) == x`. Each item ends with a line end; `\` and line ends inside an
//! item are escaped, so that the column stays readable.

use crate::error::Error;

/// Packs items into one text.
pub(crate) fn pack<'a>(items: impl IntoIterator<Item = &'a str>) -> String {
    let mut out = String::new();
    for item in items {
        for c in item.chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                c => out.push(c),
            }
        }
        out.push('\n');
    }
    out
}

/// Takes the items out again.
pub(crate) fn unpack(packed: &str) -> Result<Vec<String>, Error> {
    let mut items = Vec::new();
    let mut item = String::new();
    let mut chars = packed.chars();
    while let Some(c) = chars.next() {
        match c {
            '\n' => items.push(std::mem::take(&mut item)),
            '\\' => match chars.next() {
                Some('\\') => item.push('\\'),
                Some('n') => item.push('\n'),
                _ => return Err(Error::corrupt("a packed list has an unknown escape")),
            },
            c => item.push(c),
        }
    }
    if item.is_empty() {
        Ok(items)
    } else {
        Err(Error::corrupt("a packed list is cut off"))
    }
}

/// Takes out items in groups of `N`, such as keys with their values.
pub(crate) fn unpack_groups<const N: usize>(packed: &str) -> Result<Vec<[String; N]>, Error> {
    let items = unpack(packed)?;
    let groups: Result<Vec<[String; N]>, _> = items
        .chunks(N)
        .map(|group| group.to_vec().try_into())
        .collect();
    groups.map_err(|_| Error::corrupt(format!("a packed list is not made of groups of {N}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_packed_comes_back(items in proptest::collection::vec("[\\PC\n\\\\]{0,8}", 0..6)) {
            let packed = pack(items.iter().map(String::as_str));
            prop_assert_eq!(unpack(&packed).unwrap(), items);
        }
    }

    #[test]
    fn damaged_lists_are_noticed() {
        assert!(unpack("a").is_err());
        assert!(unpack("a\\x\n").is_err());
        assert!(unpack_groups::<2>("a\n").is_err());
        assert_eq!(
            unpack_groups::<2>("a\nb\n").unwrap(),
            [["a".to_owned(), "b".to_owned()]]
        );
    }
}
