//! Update masks: which fields a change replaces.
//!
//! Invariant: without a mask every field is replaced; a named field that the body leaves out gets
//! its default (decision U71). A field inside another one has a name with a dot; a path names a
//! field with everything inside it. Deliberately absent: the wire form of masks.

use std::collections::BTreeSet;

use crate::named::Named;
use crate::refusal::Refusal;

/// The fields that a change replaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mask<F> {
    /// No mask was given: replace every field.
    All,
    /// Replace only these.
    Only(BTreeSet<F>),
}

impl<F: Named> Mask<F> {
    /// Reads the paths of a mask; no paths at all means every field.
    ///
    /// # Errors
    /// `Invalid` naming `update_mask` for a path that is unknown or output only.
    pub fn parse<'a>(paths: impl IntoIterator<Item = &'a str>) -> Result<Self, Refusal> {
        let mut fields = BTreeSet::new();
        for path in paths {
            let inside = format!("{path}.");
            let named: Vec<_> = F::ALL
                .iter()
                .copied()
                .filter(|field| field.name() == path || field.name().starts_with(&inside))
                .collect();
            if named.is_empty() {
                let known: Vec<_> = F::ALL.iter().map(|field| field.name()).collect();
                return Err(Refusal::invalid(
                    "update_mask",
                    format!(
                        "path {path:?} cannot be changed; known paths: {}",
                        known.join(", ")
                    ),
                ));
            }
            fields.extend(named);
        }
        Ok(if fields.is_empty() {
            Self::All
        } else {
            Self::Only(fields)
        })
    }

    /// Whether the change replaces `field`.
    pub fn covers(&self, field: F) -> bool {
        match self {
            Self::All => true,
            Self::Only(fields) => fields.contains(&field),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::named::named_enum;

    named_enum! {
        pub enum Field {
            Name = "name",
            Rules = "rules",
            RulesLength = "rules.length",
            RulesOld = "rules_old",
        }
    }

    #[track_caller]
    fn check(paths: &[&str], expected: &[Field]) {
        let mask = Mask::<Field>::parse(paths.iter().copied()).unwrap();
        let covered: Vec<_> = Field::ALL
            .iter()
            .copied()
            .filter(|field| mask.covers(*field))
            .collect();
        assert_eq!(covered, expected, "{paths:?}");
    }

    #[test]
    fn a_path_names_a_field_and_what_is_inside_it() {
        check(&[], Field::ALL);
        check(&["name"], &[Field::Name]);
        check(&["rules"], &[Field::Rules, Field::RulesLength]);
        check(&["rules.length"], &[Field::RulesLength]);
        check(
            &["rules.length", "name"],
            &[Field::Name, Field::RulesLength],
        );
    }

    #[test]
    fn unknown_paths_are_named() {
        for path in [
            "",
            ".",
            "rule",
            "rules.",
            "rules.depth",
            "name.first",
            "Name",
        ] {
            let refusal = Mask::<Field>::parse([path]).unwrap_err();
            let Refusal::Invalid { field, why } = refusal else {
                panic!("{refusal:?}")
            };
            assert_eq!(field, "update_mask");
            assert!(why.contains(&format!("path {path:?}")), "{why}");
        }
    }
}
