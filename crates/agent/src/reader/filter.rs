//! From the names in the filter to the objects they mean (decisions U47, U122).
//!
//! Invariant: every entry resolves to exactly one object or the run does not begin. An entry that
//! was resolved before keeps meaning the same object when that is renamed or moved.

use std::collections::BTreeMap;

use rollcall_directory::{Base, Dn, Entry, Error, Filter, Kind, SearchRequest};

use super::{Reader, failure, guid_of, wire};
use crate::config;
use crate::engine::Guid;
use crate::engine::scope::Scope;
use crate::failure::Failure;
use crate::index_file::IndexFile;

/// The scope and what a person should know about it.
#[derive(Debug, Default)]
pub struct Resolved {
    /// The objects of the filter.
    pub scope: Scope,
    /// Entries that mean an object of another name, or another object, by now.
    pub notes: Vec<String>,
    /// What each entry means, to be remembered.
    pub known: BTreeMap<String, Guid>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Unit,
    Group,
}

impl What {
    fn key(self) -> &'static str {
        match self {
            Self::Unit => "organization_units",
            Self::Group => "groups",
        }
    }

    fn fits(self, kind: Option<Kind>) -> bool {
        match self {
            Self::Unit => matches!(
                kind,
                Some(Kind::OrganizationalUnit | Kind::Container | Kind::Domain)
            ),
            Self::Group => kind == Some(Kind::Group),
        }
    }
}

/// The entries of a filter, each with the key it is remembered under.
fn entries(filter: &config::Filter) -> impl Iterator<Item = (What, &str, String)> {
    let units = filter.organization_units.iter().map(|e| (What::Unit, e));
    let groups = filter.groups.iter().map(|e| (What::Group, e));
    units.chain(groups).map(|(what, entry)| {
        let key = format!("{} {}", what.key(), entry.to_lowercase());
        (what, entry.as_str(), key)
    })
}

impl Reader {
    /// Finds the objects of the filter; `memory` knows what the entries meant before.
    ///
    /// # Errors
    /// [`Failure::Run`] naming the entry that does not resolve to exactly one object.
    pub async fn resolve(
        &mut self,
        filter: &config::Filter,
        memory: Option<&IndexFile>,
    ) -> Result<Resolved, Failure> {
        let mut known = BTreeMap::new();
        if let Some(file) = memory {
            for (_, _, key) in entries(filter) {
                if let Some(guid) = file.filter_entry(&key)? {
                    known.insert(key, guid);
                }
            }
        }
        let resolved = self.resolve_as_known(filter, &known).await?;
        if let Some(file) = memory {
            file.set_filter_entries(&resolved.known)?;
        }
        Ok(resolved)
    }

    /// As [`Self::resolve`], where `known` says what the entries meant before.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub async fn resolve_as_known(
        &mut self,
        filter: &config::Filter,
        known: &BTreeMap<String, Guid>,
    ) -> Result<Resolved, Failure> {
        let mut resolved = Resolved::default();
        for (what, entry, key) in entries(filter) {
            let remembered = known.get(&key).copied();
            let guid = self
                .resolve_entry(what, entry, remembered, &mut resolved.notes)
                .await?;
            resolved.known.insert(key, guid);
            match what {
                What::Unit => resolved.scope.units.insert(guid),
                What::Group => resolved.scope.groups.insert(guid),
            };
        }
        Ok(resolved)
    }

    async fn resolve_entry(
        &mut self,
        what: What,
        entry: &str,
        remembered: Option<Guid>,
        notes: &mut Vec<String>,
    ) -> Result<Guid, Failure> {
        let named = self
            .find(what, entry)
            .await
            .map_err(|error| failure(&error))?;
        let key = what.key();
        let other = remembered.filter(|guid| named.iter().all(|found| guid_of(found) != *guid));
        if let Some(guid) = other
            && let Some(found) = self.by_guid(guid).await?
            && what.fits(found.kind)
        {
            let also = match named.len() {
                0 => "",
                _ => "; another object has the old name now, and is not meant",
            };
            notes.push(format!(
                "sync_settings.filter.{key}: {entry} is now {}; it stays in scope{also}",
                found.dn.as_str()
            ));
            return Ok(guid);
        }
        let [found] = named.as_slice() else {
            return Err(unresolved(what, entry, named.len()));
        };
        if !what.fits(found.kind) {
            return Err(Failure::Run(format!(
                "sync_settings.filter.{key}: {entry} is of another kind; correct the filter"
            )));
        }
        if other.is_some() {
            notes.push(format!(
                "sync_settings.filter.{key}: {entry} was deleted and made anew; the new one counts"
            ));
        }
        Ok(guid_of(found))
    }

    /// A DN, or for groups also a CN or a sAMAccountName.
    async fn find(&mut self, what: What, entry: &str) -> Result<Vec<Entry>, Error> {
        // A name of a group may look like a DN; a DN lies in the domain.
        if let Ok(dn) = entry.parse::<Dn>()
            && (dn == self.base || dn.is_under(&self.base))
        {
            let request = SearchRequest::object(Base::Dn(dn), &["name"]);
            return Ok(self.connection.read(request).await?.into_iter().collect());
        }
        if what == What::Unit {
            return Ok(Vec::new());
        }
        let filter = Filter::And(vec![
            Filter::equal("objectClass", "group"),
            Filter::Or(vec![
                Filter::equal("cn", entry),
                Filter::equal("sAMAccountName", entry),
            ]),
        ]);
        let request = SearchRequest::subtree(Base::Dn(self.base.clone()), filter, &["name"]);
        self.connection.search(request).await?.collect().await
    }

    async fn by_guid(&mut self, guid: Guid) -> Result<Option<Entry>, Failure> {
        let request = SearchRequest::object(Base::Guid(wire(guid)), &["name"]);
        match self.connection.read(request).await {
            Ok(found) => Ok(found.filter(|entry| !entry.deleted)),
            Err(error) => Err(failure(&error)),
        }
    }
}

fn unresolved(what: What, entry: &str, count: usize) -> Failure {
    let why = if count == 0 {
        "does not exist, or the account may not see it"
    } else {
        "means several objects; give its DN"
    };
    Failure::Run(format!(
        "sync_settings.filter.{}: {entry} {why}; nothing was changed",
        what.key()
    ))
}
