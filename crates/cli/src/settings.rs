//! `rollcall settings`: what is synchronized into a pool, and how.

use clap::{Args, Subcommand, ValueEnum};
use prost_types::Duration;
use rollcall_proto::idp::{
    AttributesFlavor, CreateSynchronizationSettingsRequest, DeleteSynchronizationSettingsRequest,
    GetSynchronizationSettingsRequest, GroupAttributeMapping, GroupTargetAttribute,
    ListSupportedAttributesRequest, MappingType, RemoveUserBehavior, ResetReplicationTokenRequest,
    SynchronizationFilter, SynchronizationSettings, UpdateSynchronizationSettingsRequest,
    UserAttributeMapping, UserTargetAttribute,
};

use crate::arguments::{Confirmation, Session};
use crate::failure::Failure;
use crate::ldap_settings::{self, LdapArguments};
use crate::userpool;
use crate::value::{self, Changes};

const MAPPING_HELP: &str = "Fill an attribute from another source, as in email=userPrincipalName; \
                            email= leaves it empty, email=any:workMail takes an attribute that is not \
                            among the supported ones; can be repeated, and replaces all mappings";

/// Marks a source outside the supported ones.
const ANY: &str = "any:";

/// Commands about synchronization settings.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Shows the settings of a pool.
    Get,
    /// Creates the settings of a pool.
    #[command(
        after_help = "Example:\n  rollcall settings create --userpool staff --domain \
                            corp.example \\\n    --organization-unit OU=People,DC=corp,DC=example \
                            --replacement-domain corp.idp.example \\\n    \
                            --remove-user-behavior block --interval 30m"
    )]
    Create(SettingsArguments),
    /// Changes what is given, and nothing else.
    Update(SettingsArguments),
    /// Deletes the settings of a pool with its replication tokens.
    Delete {
        #[command(flatten)]
        confirmation: Confirmation,
    },
    /// Lists from which attributes of the directory each attribute may be filled.
    ListSupportedAttributes {
        /// Kind of directory.
        #[arg(long, value_enum, default_value_t = Flavor::ActiveDirectory)]
        flavor: Flavor,
    },
    /// Makes the next session of each type read everything anew.
    ResetToken {
        #[command(flatten)]
        confirmation: Confirmation,
    },
}

/// The settings.
#[derive(Debug, Args)]
pub struct SettingsArguments {
    /// DNS name of the directory domain.
    #[arg(long, value_name = "NAME")]
    domain: Option<String>,
    /// Only members of this group; can be repeated.
    #[arg(long = "group", value_name = "GROUP")]
    groups: Option<Vec<String>>,
    /// Only what is under this organization unit; can be repeated.
    #[arg(long = "organization-unit", value_name = "DN")]
    organization_units: Option<Vec<String>>,
    /// Domain of the pool that takes the place of the domain in directory logins.
    #[arg(long, value_name = "DOMAIN")]
    replacement_domain: Option<String>,
    /// What happens to users that left the directory or the scope.
    #[arg(long, value_enum, value_name = "WHAT")]
    remove_user_behavior: Option<Removal>,
    /// Time from the start of one main session to the next, 15m to 6h.
    #[arg(long, value_name = "TIME", value_parser = value::duration)]
    interval: Option<Duration>,
    /// Tie existing users with the same login to the directory.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    allow_to_capture_users: Option<bool>,
    /// Tie existing groups with the same name to the directory.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    allow_to_capture_groups: Option<bool>,
    #[arg(long = "user-mapping", value_name = "TARGET=SOURCE", value_parser = user_mapping,
          help = MAPPING_HELP)]
    user_mappings: Option<Vec<UserAttributeMapping>>,
    #[arg(long = "group-mapping", value_name = "TARGET=SOURCE", value_parser = group_mapping,
          help = "The same for groups, as in description=info")]
    group_mappings: Option<Vec<GroupAttributeMapping>>,
    /// Write passwords changed here to the directory.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    enable_password_writeback: Option<bool>,
    #[command(flatten)]
    ldap: LdapArguments,
}

/// What happens to users that left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Removal {
    /// They are deleted.
    Remove,
    /// They are suspended and kept.
    Block,
}

/// Kinds of directories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Flavor {
    /// Active Directory.
    ActiveDirectory,
    /// Another LDAP directory.
    GenericLdap,
}

impl Removal {
    fn wire(self) -> RemoveUserBehavior {
        match self {
            Self::Remove => RemoveUserBehavior::Remove,
            Self::Block => RemoveUserBehavior::Block,
        }
    }
}

impl Flavor {
    fn wire(self) -> AttributesFlavor {
        match self {
            Self::ActiveDirectory => AttributesFlavor::ActiveDirectory,
            Self::GenericLdap => AttributesFlavor::GenericLdap,
        }
    }
}

/// Does what `command` asks for.
///
/// # Errors
/// Whatever the calls end with.
pub async fn run(command: Command, session: &Session) -> Result<(), Failure> {
    match command {
        Command::Get => {
            let pool = userpool::meant(session).await?;
            session.output.one(&get(session, pool).await?)
        }
        Command::Create(arguments) => create(session, arguments).await,
        Command::Update(arguments) => update(session, arguments).await,
        Command::Delete { confirmation } => delete(session, &confirmation).await,
        Command::ListSupportedAttributes { flavor } => {
            let request = ListSupportedAttributesRequest {
                flavor: flavor.wire().into(),
            };
            let answer = session
                .ask(request, |hub, request| async move {
                    hub.synchronization()
                        .list_supported_attributes(request)
                        .await
                })
                .await?;
            session.output.one(&answer)
        }
        Command::ResetToken { confirmation } => reset(session, &confirmation).await,
    }
}

async fn get(session: &Session, pool: String) -> Result<SynchronizationSettings, Failure> {
    let request = GetSynchronizationSettingsRequest {
        subject_container_id: pool,
    };
    let settings = session
        .ask(request, |hub, request| async move {
            hub.synchronization()
                .get_synchronization_settings(request)
                .await
        })
        .await?;
    Ok(settings)
}

async fn create(session: &Session, arguments: SettingsArguments) -> Result<(), Failure> {
    let domain = arguments
        .domain
        .ok_or_else(|| Failure::usage("new settings need --domain"))?;
    let request = CreateSynchronizationSettingsRequest {
        subject_container_id: userpool::meant(session).await?,
        filter: Some(SynchronizationFilter {
            domain,
            groups: arguments.groups.unwrap_or_default(),
            organization_units: arguments.organization_units.unwrap_or_default(),
        }),
        replacement_domain: arguments.replacement_domain.unwrap_or_default(),
        remove_user_behavior: arguments
            .remove_user_behavior
            .map_or(0, |what| what.wire().into()),
        synchronization_interval: arguments.interval,
        allow_to_capture_users: arguments.allow_to_capture_users.unwrap_or_default(),
        allow_to_capture_groups: arguments.allow_to_capture_groups.unwrap_or_default(),
        user_attribute_mappings: arguments.user_mappings.unwrap_or_default(),
        group_attribute_mappings: arguments.group_mappings.unwrap_or_default(),
        enable_password_writeback: arguments.enable_password_writeback.unwrap_or_default(),
        ldap_settings: arguments
            .ldap
            .applied_to(None)
            .map(ldap_settings::for_create),
    };
    let settings: SynchronizationSettings = session
        .change(request, |hub, request| async move {
            hub.synchronization()
                .create_synchronization_settings(request)
                .await
        })
        .await?;
    session.output.one(&settings)
}

async fn update(session: &Session, arguments: SettingsArguments) -> Result<(), Failure> {
    let pool = userpool::meant(session).await?;
    let mut changes = Changes::default();
    let filter = new_filter(session, &pool, &arguments).await?;
    if filter.is_some() {
        changes.note("filter");
    }
    let mut ldap = None;
    if arguments.ldap.is_change() {
        changes.note("ldap_settings");
        let present = get(session, pool.clone()).await?.ldap_settings;
        ldap = arguments.ldap.applied_to(present);
    }
    let removal = arguments
        .remove_user_behavior
        .map(|what| what.wire().into());
    if arguments.interval.is_some() {
        changes.note("synchronization_interval");
    }
    let request = UpdateSynchronizationSettingsRequest {
        subject_container_id: pool,
        filter,
        replacement_domain: changes.take("replacement_domain", arguments.replacement_domain),
        remove_user_behavior: changes.take("remove_user_behavior", removal),
        synchronization_interval: arguments.interval,
        allow_to_capture_users: changes
            .take("allow_to_capture_users", arguments.allow_to_capture_users),
        allow_to_capture_groups: changes
            .take("allow_to_capture_groups", arguments.allow_to_capture_groups),
        user_attribute_mappings: changes.take("user_attribute_mappings", arguments.user_mappings),
        group_attribute_mappings: changes
            .take("group_attribute_mappings", arguments.group_mappings),
        enable_password_writeback: changes.take(
            "enable_password_writeback",
            arguments.enable_password_writeback,
        ),
        update_mask: Some(changes.mask()?),
        ldap_settings: ldap.map(ldap_settings::for_update),
    };
    let settings: SynchronizationSettings = session
        .change(request, |hub, request| async move {
            hub.synchronization()
                .update_synchronization_settings(request)
                .await
        })
        .await?;
    session.output.one(&settings)
}

/// The filter with what is given in the place of what is there: the interface replaces it whole.
async fn new_filter(
    session: &Session,
    pool: &str,
    arguments: &SettingsArguments,
) -> Result<Option<SynchronizationFilter>, Failure> {
    let (domain, groups, units) = (
        &arguments.domain,
        &arguments.groups,
        &arguments.organization_units,
    );
    if domain.is_none() && groups.is_none() && units.is_none() {
        return Ok(None);
    }
    let present = get(session, pool.to_owned())
        .await?
        .filter
        .unwrap_or_default();
    Ok(Some(SynchronizationFilter {
        domain: domain.clone().unwrap_or(present.domain),
        groups: groups.clone().unwrap_or(present.groups),
        organization_units: units.clone().unwrap_or(present.organization_units),
    }))
}

async fn delete(session: &Session, confirmation: &Confirmation) -> Result<(), Failure> {
    let pool = userpool::meant(session).await?;
    session.confirm(confirmation, &format!("Delete the settings of pool {pool}"))?;
    let request = DeleteSynchronizationSettingsRequest {
        subject_container_id: pool.clone(),
    };
    let () = session
        .change(request, |hub, request| async move {
            hub.synchronization()
                .delete_synchronization_settings(request)
                .await
        })
        .await?;
    session
        .output
        .done(&format!("the settings of pool {pool} are deleted"))
}

async fn reset(session: &Session, confirmation: &Confirmation) -> Result<(), Failure> {
    let pool = userpool::meant(session).await?;
    session.confirm(
        confirmation,
        &format!("Read everything of pool {pool} anew"),
    )?;
    let request = ResetReplicationTokenRequest {
        subject_container_id: pool.clone(),
    };
    let () = session
        .change(request, |hub, request| async move {
            hub.synchronization().reset_replication_token(request).await
        })
        .await?;
    session
        .output
        .done(&format!("the next sessions of pool {pool} read everything"))
}

fn user_mapping(text: &str) -> Result<UserAttributeMapping, String> {
    let (target, source, mapping) = mapping(text)?;
    let attribute = UserTargetAttribute::from_str_name(&target)
        .filter(|attribute| *attribute != UserTargetAttribute::Unspecified)
        .ok_or_else(|| format!("{target} is no attribute of users; write for example email"))?;
    Ok(UserAttributeMapping {
        source,
        target: attribute.into(),
        r#type: mapping.into(),
    })
}

fn group_mapping(text: &str) -> Result<GroupAttributeMapping, String> {
    let (target, source, mapping) = mapping(text)?;
    let attribute = GroupTargetAttribute::from_str_name(&target)
        .filter(|attribute| *attribute != GroupTargetAttribute::Unspecified)
        .ok_or_else(|| format!("{target} is no attribute of groups; write name or description"))?;
    Ok(GroupAttributeMapping {
        source,
        target: attribute.into(),
        r#type: mapping.into(),
    })
}

fn mapping(text: &str) -> Result<(String, String, MappingType), String> {
    let (target, source) = text
        .split_once('=')
        .ok_or_else(|| format!("{text:?} is no mapping: write target=source"))?;
    let (source, mapping) = match source.strip_prefix(ANY) {
        _ if source.is_empty() => (source, MappingType::Empty),
        Some(source) => (source, MappingType::DirectArbitraryAttribute),
        None => (source, MappingType::Direct),
    };
    let target = target.trim().to_uppercase().replace('-', "_");
    Ok((target, source.to_owned(), mapping))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_are_read() {
        let mapping = user_mapping("employee-id=employeeNumber").unwrap();
        assert_eq!(mapping.target(), UserTargetAttribute::EmployeeId);
        assert_eq!(mapping.r#type(), MappingType::Direct);
        assert_eq!(mapping.source, "employeeNumber");
        assert_eq!(
            user_mapping("phone_number=").unwrap().r#type(),
            MappingType::Empty
        );
        let any = user_mapping("email=any:workMail").unwrap();
        assert_eq!(any.r#type(), MappingType::DirectArbitraryAttribute);
        assert_eq!(any.source, "workMail");
        assert!(user_mapping("shoe_size=x").unwrap_err().contains("email"));
        assert!(user_mapping("email").is_err());
        assert!(group_mapping("email=mail").is_err());
        assert_eq!(
            group_mapping("name=cn").unwrap().target(),
            GroupTargetAttribute::Name
        );
    }
}
