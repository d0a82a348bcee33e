//! Names that move on in a circle: two users exchange their logins, three groups pass on theirs.
//!
//! Invariant: only an object whose own change waits for a name steps aside, and only when everybody
//! it waits for waits as well, in the end for itself; its own change then follows in the same run.
//! A run that is interrupted in between is taken up by the next one, because the change is still
//! due. Deliberately absent: names that others hold for good; those are failed items.

use std::collections::{BTreeMap, BTreeSet};

use super::Work;
use super::request::{group_values, user_values};
use crate::engine::Guid;
use crate::engine::circle::{WAITING_MAX, one_of_each_circle};
use crate::engine::index::Index;
use crate::engine::values::UserTarget;
use crate::failure::Failure;
use crate::hub;
use crate::item_error::ItemErrors;
use crate::progress::{Change, ObjectType};

impl Work<'_> {
    /// Lets one object of each circle step aside. Returns how many did.
    ///
    /// # Errors
    /// [`Failure`] when the hub cannot be asked, or the lease is lost.
    pub(super) async fn open_circles(
        &self,
        index: &Index,
        errors: &ItemErrors,
    ) -> Result<usize, Failure> {
        let mut opened = 0;
        for object_type in [ObjectType::User, ObjectType::Group] {
            let waiting: BTreeSet<Guid> = errors
                .keys()
                .filter(|(_, of, change)| *of == object_type && *change == Change::Update)
                .map(|(guid, ..)| guid)
                .take(WAITING_MAX)
                .collect();
            let mut holders = BTreeMap::new();
            for guid in waiting.iter().filter(|_| waiting.len() > 1) {
                let holder = self.holder(object_type, *guid, index).await?;
                let other = holder.filter(|holder| holder != guid && waiting.contains(holder));
                holders.extend(other.map(|holder| (*guid, holder)));
            }
            for guid in one_of_each_circle(&holders) {
                self.step_aside(object_type, guid, index).await?;
                opened += 1;
            }
        }
        Ok(opened)
    }

    /// Who has the name that an object is to have.
    async fn holder(
        &self,
        object_type: ObjectType,
        guid: Guid,
        index: &Index,
    ) -> Result<Option<Guid>, Failure> {
        let hub = self.session.hub();
        let answer = match object_type {
            ObjectType::Group => match group_values(index, guid) {
                Some(values) => hub.holder_of_group_name(&values.name).await,
                None => Ok(None),
            },
            _ => match user_values(index, guid) {
                Some((values, _)) => {
                    let username = values.get(UserTarget::Username);
                    hub.holder_of_username(username).await
                }
                None => Ok(None),
            },
        };
        answer.map_err(|error| hub::failure(&error))
    }

    /// Gives an object a name that nobody else can want.
    async fn step_aside(
        &self,
        object_type: ObjectType,
        guid: Guid,
        index: &Index,
    ) -> Result<(), Failure> {
        self.session.fence().check(tokio::time::Instant::now())?;
        let Some(id) = index.hub_id(guid) else {
            return Ok(());
        };
        let hub = self.session.hub();
        let aside = format!("moving-{guid}");
        tracing::info!(object = %guid, aside, "names move on in a circle; one steps aside");
        let answer = match (object_type, user_values(index, guid)) {
            (ObjectType::Group, _) => hub.rename_group(id, aside).await,
            (_, Some((values, _))) => {
                let username = values.get(UserTarget::Username);
                let domain = username.rsplit_once('@').map_or("", |(_, domain)| domain);
                hub.rename_user(id, format!("{aside}@{domain}")).await
            }
            _ => Ok(()),
        };
        answer.map_err(|error| hub::failure(&error))
    }
}
