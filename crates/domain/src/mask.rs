//! Update masks: which fields a change replaces.
//!
//! Invariant: without a mask every field is replaced; a named field that the body leaves out gets
//! its default (decision U71). Deliberately absent: the wire form of masks.

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
            let field = F::parse(path).ok_or_else(|| {
                let known: Vec<_> = F::ALL.iter().map(|field| field.name()).collect();
                Refusal::invalid(
                    "update_mask",
                    format!(
                        "path {path:?} cannot be changed; known paths: {}",
                        known.join(", ")
                    ),
                )
            })?;
            fields.insert(field);
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
