//! An explanation for a person to read.
//!
//! Invariant: what differs is marked with an exclamation mark at the start of its line.

use super::{Explanation, Field, LastChange, Memberships, State};
use crate::item_error::ItemError;

impl Explanation {
    /// Lines for a person.
    #[must_use]
    pub fn text(&self) -> String {
        let mut lines = vec![
            format!("{} ({}, {})", self.object, self.kind, self.external_id),
            format!("scope: {}", self.scope),
        ];
        lines.extend(self.reasons.iter().map(|reason| format!("  {reason}")));
        lines.push(match &self.hub_id {
            Some(id) => format!("hub: {id}"),
            None => "hub: does not have it".into(),
        });
        if let Some(unfit) = &self.unfit {
            lines.push(format!("! it does not fit the hub: {}", unfit.reason));
            lines.push(format!("  what helps: {}", unfit.remedy));
        }
        lines.extend(self.fields.iter().map(Field::line));
        lines.extend(self.state.iter().flat_map(State::lines));
        lines.extend(self.memberships.iter().flat_map(Memberships::lines));
        lines.extend(self.last_change.lines());
        lines.extend(self.failed_items.iter().map(ItemError::text));
        lines.join("\n")
    }
}

fn mark(differs: bool) -> char {
    if differs { '!' } else { ' ' }
}

fn shown(value: Option<&str>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:?}"))
}

impl Field {
    fn line(&self) -> String {
        format!(
            "{} {} (from {}): directory {}, hub {}",
            mark(self.differs),
            self.field,
            self.attribute,
            shown(self.directory.as_deref()),
            shown(self.hub.as_deref())
        )
    }
}

impl State {
    fn lines(&self) -> Vec<String> {
        let mut here = vec![if self.disabled { "disabled" } else { "enabled" }.to_owned()];
        if let Some(at) = &self.expires_at {
            here.push(format!(
                "{} {at}",
                if self.ended { "ended" } else { "ends" }
            ));
        }
        if self.must_change_password {
            here.push("must change the password".into());
        }
        let mut there = vec![self.hub.unwrap_or("-").to_owned()];
        there.extend(self.hub_expires_at.iter().map(|at| format!("ends {at}")));
        let (here, there) = (here.join(", "), there.join(", "));
        vec![format!(
            "{} state: directory {here}; hub {there}",
            mark(self.differs)
        )]
    }
}

impl Memberships {
    fn lines(&self) -> Vec<String> {
        match self {
            Self::Groups(groups) => groups
                .iter()
                .map(|group| {
                    let side = |is_member| if is_member { "member" } else { "no member" };
                    format!(
                        "{} group {}: directory {}, hub {}",
                        mark(group.directory != group.hub),
                        group.group,
                        side(group.directory),
                        side(group.hub)
                    )
                })
                .collect(),
            Self::Members(members) => {
                let here = members.directory_count.unwrap_or_default();
                let differs = members.only_in_directory_count > 0 || members.only_in_hub_count > 0;
                let mut lines = vec![format!(
                    "{} members: directory {here}, of them users of the hub {}; hub {}",
                    mark(differs),
                    members.directory_users_count,
                    members.hub_count
                )];
                for (what, number, names) in [
                    (
                        "only in the directory",
                        members.only_in_directory_count,
                        &members.only_in_directory,
                    ),
                    (
                        "only in the hub",
                        members.only_in_hub_count,
                        &members.only_in_hub,
                    ),
                ] {
                    if number > 0 {
                        lines.push(format!("  {number} {what}: {}", names.join(", ")));
                    }
                }
                lines
            }
        }
    }
}

impl LastChange {
    fn lines(&self) -> Vec<String> {
        let usn = self.usn_changed.map(|usn| usn.to_string());
        let mut lines = vec![format!(
            "last change: {} (uSNChanged {} on {}, database {})",
            self.when_changed.as_deref().unwrap_or("-"),
            usn.as_deref().unwrap_or("-"),
            self.read_from,
            self.read_from_invocation_id.as_deref().unwrap_or("-")
        )];
        if let Some(origin) = &self.origin {
            let controller = origin
                .controller
                .as_deref()
                .unwrap_or("a controller that is gone");
            lines.push(format!(
                "  {} was written on {controller} at {} (USN {}, database {}, version {})",
                origin.attribute, origin.at, origin.usn, origin.invocation_id, origin.version
            ));
        }
        lines
    }
}
