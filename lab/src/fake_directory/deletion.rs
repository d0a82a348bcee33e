//! Deleting objects and bringing them back (MS-ADTS 3.1.1.5.5 and 3.1.1.5.3.7).
//!
//! Invariant: a deleted object keeps its objectGUID and objectClass and nothing a filter for live
//! people would rely on, objectCategory first of all. The groups of a deleted member are not
//! touched: its links go with it, and come back with it only where the recycle bin kept them.

use anyhow::{Context, Result, ensure};

use super::domain::{Domain, category_dn};
use super::object::{ObjectId, guid_text};

/// What a tombstone keeps of the attributes there are here (MS-ADTS 3.1.1.5.5.1.1).
const KEPT: [&str; 7] = [
    "objectclass",
    "instancetype",
    "name",
    "objectsid",
    "samaccountname",
    "useraccountcontrol",
    "grouptype",
];

/// What happens to the attributes and links of deleted objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RecycleBin {
    /// They are gone; the object is a tombstone.
    #[default]
    Off,
    /// They are kept until the object is recycled (MS-ADTS 3.1.1.5.5.1.3).
    On,
}

impl Domain {
    /// Deletes an object without children.
    ///
    /// # Errors
    /// When it does not exist, or something lies below it (MS-ADTS 3.1.1.5.5: notAllowedOnNonLeaf).
    pub fn delete(&mut self, id: ObjectId) -> Result<()> {
        let object = self
            .get(id)
            .context("there is no such object")?
            .into_owned();
        let parent = object.parent.context("the domain cannot be deleted")?;
        ensure!(self.children_of(id).is_empty(), "something lies below it");
        let bin = self.policy.recycle_bin;
        let container = self.deleted_objects();
        let old = object.name();
        // MS-ADTS 3.1.1.5.5: a line feed, so that the name can never be taken.
        let new = format!("{old}\nDEL:{}", guid_text(&id.guid()));
        let last_parent = self.dn(parent);
        self.stamp(id, |object, usn| {
            object.deleted = true;
            object.parent = Some(container);
            let lost: Vec<(String, String)> = object
                .attributes
                .iter()
                .filter(|(name, _)| match bin {
                    RecycleBin::Off => !KEPT.contains(&name.as_str()),
                    RecycleBin::On => *name == "objectcategory",
                })
                .filter(|(_, attribute)| !attribute.values.is_empty())
                .map(|(name, attribute)| (name.clone(), attribute.name.clone()))
                .collect();
            for (_, name) in lost {
                object.put(&name, Vec::new(), usn);
            }
            object.put("name", vec![new.clone().into_bytes()], usn);
            object.put("isDeleted", vec![b"TRUE".to_vec()], usn);
            object.put("lastKnownParent", vec![last_parent.into_bytes()], usn);
            object.put("msDS-LastKnownRDN", vec![old.clone().into_bytes()], usn);
            if bin == RecycleBin::Off {
                object.put("isRecycled", vec![b"TRUE".to_vec()], usn);
                object.members.clear();
            }
        })?;
        self.unname(parent, object.naming, &object.name());
        self.put_name(container, object.naming, &new, id);
        if bin == RecycleBin::Off {
            for other in self.objects.values_mut() {
                other.members.remove(&id);
            }
        }
        Ok(())
    }

    /// Deletes an object with all that lies below it (MS-ADTS 3.1.1.3.4.1.15).
    ///
    /// # Errors
    /// When it does not exist.
    pub fn delete_tree(&mut self, id: ObjectId) -> Result<()> {
        for child in self.children_of(id) {
            self.delete_tree(child)?;
        }
        self.delete(id)
    }

    /// Brings a deleted object back into `parent` under its old name, with the attributes it kept.
    ///
    /// # Errors
    /// When it is not deleted.
    pub fn restore(&mut self, id: ObjectId, parent: ObjectId) -> Result<()> {
        let object = self
            .get(id)
            .context("there is no such object")?
            .into_owned();
        ensure!(object.deleted, "it is not deleted");
        let name = object.text("msDS-LastKnownRDN");
        let category = if object.has_class("group") {
            "Group"
        } else {
            "Person"
        };
        self.stamp(id, |object, usn| {
            object.deleted = false;
            object.parent = Some(parent);
            object.put("name", vec![name.clone().into_bytes()], usn);
            object.put("objectCategory", vec![category_dn(category)], usn);
            for gone in ["isDeleted", "isRecycled", "lastKnownParent"] {
                if object.attributes.contains_key(&gone.to_ascii_lowercase()) {
                    object.put(gone, Vec::new(), usn);
                }
            }
        })?;
        let container = self.deleted_objects();
        self.unname(container, object.naming, &object.name());
        self.put_name(parent, object.naming, &name, id);
        Ok(())
    }

    fn children_of(&self, id: ObjectId) -> Vec<ObjectId> {
        let live = |child: &ObjectId| self.is_live(*child);
        let child = |child: &ObjectId| self.get(*child).is_some_and(|c| c.parent == Some(id));
        if self
            .get(id)
            .is_some_and(|object| object.has_class("user") || object.has_class("group"))
        {
            return Vec::new();
        }
        self.ids().filter(child).filter(live).collect()
    }
}
