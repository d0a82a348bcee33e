//! `rollcall access policies`: ready-made sets of restrictions bound to the organization.

use clap::Subcommand;
use rollcall_proto::access::{
    AccessPolicyBinding, BindAccessPolicyRequest, BindAccessPolicyResponse,
    ListAccessPolicyBindingsRequest, UnbindAccessPolicyRequest, UnbindAccessPolicyResponse,
    UpdateAccessPolicyBindingParametersRequest, UpdateAccessPolicyBindingParametersResponse,
};

use crate::arguments::Session;
use crate::failure::Failure;
use crate::organization;
use crate::output::Column;
use crate::page::ListArguments;
use crate::value;

const COLUMNS: [Column<AccessPolicyBinding>; 2] = [
    ("POLICY", |binding| {
        binding.access_policy_template_id.clone()
    }),
    ("PARAMETERS", |binding| {
        let parameters = binding.parameters.iter();
        let parameters: Vec<String> = parameters
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        parameters.join(", ")
    }),
];

/// Commands about access policies.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Lists the policies bound to the organization.
    List {
        #[command(flatten)]
        list: ListArguments,
    },
    /// Binds a policy to the organization.
    #[command(after_help = "Policies: iam.denyServiceAccountCreation, \
                      iam.denyServiceAccountAuthorizedKeysCreation, \
                      iam.denyServiceAccountImpersonation, organization.denyUserListing. Each has \
                      the parameter message: what refused callers are told.\n\nExample:\n  rollcall \
                      access policies bind organization.denyUserListing --parameter \
                      'message=ask Ann'")]
    Bind {
        /// Identifier of the policy.
        policy: String,
        /// A parameter of the policy; can be repeated.
        #[arg(long = "parameter", value_name = "NAME=VALUE", value_parser = value::label)]
        parameters: Vec<(String, String)>,
    },
    /// Replaces the parameters of a bound policy.
    Update {
        /// Identifier of the policy.
        policy: String,
        /// A parameter of the policy; can be repeated; all parameters are replaced.
        #[arg(long = "parameter", value_name = "NAME=VALUE", value_parser = value::label)]
        parameters: Vec<(String, String)>,
    },
    /// Takes a policy off the organization.
    Unbind {
        /// Identifier of the policy.
        policy: String,
    },
}

/// Does what `command` asks for.
///
/// # Errors
/// Whatever the calls end with.
pub async fn run(command: Command, session: &Session) -> Result<(), Failure> {
    let organization = organization::meant(session).await?;
    match command {
        Command::List { list } => list_bound(session, &organization, &list).await,
        Command::Bind { policy, parameters } => {
            let request = BindAccessPolicyRequest {
                resource_id: organization.clone(),
                access_policy_binding: Some(binding(&policy, parameters)),
            };
            let BindAccessPolicyResponse {} = session
                .change(request, |hub, request| async move {
                    hub.organizations().bind_access_policy(request).await
                })
                .await?;
            done(session, &policy, "is bound to", &organization)
        }
        Command::Update { policy, parameters } => {
            let request = UpdateAccessPolicyBindingParametersRequest {
                resource_id: organization.clone(),
                access_policy_binding: Some(binding(&policy, parameters)),
            };
            let UpdateAccessPolicyBindingParametersResponse {} = session
                .change(request, |hub, request| async move {
                    hub.organizations()
                        .update_access_policy_binding_parameters(request)
                        .await
                })
                .await?;
            done(session, &policy, "has new parameters on", &organization)
        }
        Command::Unbind { policy } => {
            let request = UnbindAccessPolicyRequest {
                resource_id: organization.clone(),
                access_policy_template_id: policy.clone(),
            };
            let UnbindAccessPolicyResponse {} = session
                .change(request, |hub, request| async move {
                    hub.organizations().unbind_access_policy(request).await
                })
                .await?;
            done(session, &policy, "is taken off", &organization)
        }
    }
}

async fn list_bound(
    session: &Session,
    organization: &str,
    list: &ListArguments,
) -> Result<(), Failure> {
    let bound = list
        .collect(|page_size, page_token| {
            let request = ListAccessPolicyBindingsRequest {
                resource_id: organization.to_owned(),
                page_size,
                page_token,
            };
            async move {
                let page = session
                    .ask(request, |hub, request| async move {
                        hub.organizations()
                            .list_access_policy_bindings(request)
                            .await
                    })
                    .await?;
                Ok((page.access_policy_bindings, page.next_page_token))
            }
        })
        .await?;
    session.output.list(&bound, &COLUMNS)
}

fn binding(policy: &str, parameters: Vec<(String, String)>) -> AccessPolicyBinding {
    AccessPolicyBinding {
        access_policy_template_id: policy.to_owned(),
        parameters: value::labels(parameters),
    }
}

fn done(session: &Session, policy: &str, what: &str, organization: &str) -> Result<(), Failure> {
    session.output.done(&format!(
        "policy {policy} {what} organization {organization}"
    ))
}
