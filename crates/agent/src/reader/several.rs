//! Reading several objects of which the directory may not be able to show one.
//!
//! Invariant: an object counts as unreadable only if the directory failed twice on it alone and then
//! could show another one: a directory that fails altogether is an error. Samba 4.17 for example takes
//! names that it cannot read back, and then refuses every search that finds one of them.

use std::collections::BTreeMap;

use rollcall_directory::{Base, Entry, Error, SearchRequest};

use super::{Reader, wire};
use crate::engine::Guid;

/// operationsError (RFC 4511 4.1.9).
const OPERATIONS_ERROR: u32 = 1;
/// Unreadable objects at the same time; more of them are a failure of the directory.
const UNREADABLE_MAX: usize = 1_000;
/// What a directory that works can show.
const PROBE: [&str; 1] = ["objectClass"];

impl Reader {
    /// The objects the directory could not show when it was last asked, and what it said.
    #[must_use]
    pub fn unreadable(&self) -> &BTreeMap<Guid, String> {
        &self.unreadable
    }

    /// Goes on over a new connection.
    pub fn replace_by(&mut self, mut new: Self) {
        new.unreadable = std::mem::take(&mut self.unreadable);
        *self = new;
    }

    /// Reads these objects. Those the directory cannot show are left out and noted.
    pub(super) async fn several(
        &mut self,
        guids: &[Guid],
        names: &[&str],
    ) -> Result<Vec<Entry>, Error> {
        let mut found = Vec::with_capacity(guids.len());
        // Halves of halves: not many are open at a time.
        let mut open = vec![guids];
        while let Some(part) = open.pop() {
            match (self.part(part, names).await, part) {
                (Ok(entries), _) => {
                    self.forget_unreadable(part);
                    found.extend(entries);
                }
                (Err(error), [one]) if is_its_fault(&error) => match self.part(part, names).await {
                    Ok(entries) => {
                        self.forget_unreadable(part);
                        found.extend(entries);
                    }
                    Err(error) if is_its_fault(&error) => self.note(*one, error).await?,
                    Err(error) => return Err(error),
                },
                (Err(error), many) if is_its_fault(&error) => {
                    let (first, second) = many.split_at(many.len() / 2);
                    open.extend([second, first]);
                }
                (Err(error), _) => return Err(error),
            }
        }
        Ok(found)
    }

    /// These were shown, or are gone.
    pub fn forget_unreadable(&mut self, guids: &[Guid]) {
        for guid in guids {
            self.unreadable.remove(guid);
        }
    }

    async fn part(&mut self, guids: &[Guid], names: &[&str]) -> Result<Vec<Entry>, Error> {
        let wanted: Vec<rollcall_directory::Guid> = guids.iter().map(|g| wire(*g)).collect();
        self.connection.read_many_by_guid(&wanted, names).await
    }

    async fn note(&mut self, guid: Guid, error: Error) -> Result<(), Error> {
        let probe = SearchRequest::object(Base::Dn(self.base.clone()), &PROBE);
        let works = self.connection.read(probe).await?.is_some();
        if !works || self.unreadable.len() >= UNREADABLE_MAX {
            return Err(error);
        }
        tracing::debug!(%guid, %error, "the directory cannot show an object");
        self.unreadable.insert(guid, error.to_string());
        Ok(())
    }
}

fn is_its_fault(error: &Error) -> bool {
    matches!(error, Error::Refused { code, .. } if *code == OPERATIONS_ERROR)
}
