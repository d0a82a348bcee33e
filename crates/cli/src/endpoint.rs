//! `rollcall endpoint`: at which address each service is served.

use clap::Subcommand;
use rollcall_proto::endpoint::{ApiEndpoint, GetApiEndpointRequest, ListApiEndpointsRequest};

use crate::arguments::Session;
use crate::failure::Failure;
use crate::output::Column;

const COLUMNS: [Column<ApiEndpoint>; 2] = [
    ("ID", |endpoint| endpoint.id.clone()),
    ("ADDRESS", |endpoint| endpoint.address.clone()),
];

/// Commands about addresses.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Shows the address of one service.
    #[command(after_help = "Example:\n  rollcall endpoint get organization-manager")]
    Get {
        /// Name of the service.
        service: String,
    },
    /// Lists the addresses of all services, as other clients find them.
    List,
}

/// Does what `command` asks for.
///
/// # Errors
/// Whatever the calls end with.
pub async fn run(command: Command, session: &Session) -> Result<(), Failure> {
    match command {
        Command::Get { service } => {
            let request = GetApiEndpointRequest {
                api_endpoint_id: service,
            };
            let endpoint = session
                .ask(request, |hub, request| async move {
                    hub.endpoints().get(request).await
                })
                .await?;
            session.output.one(&endpoint)
        }
        Command::List => {
            let answer = session
                .ask(
                    ListApiEndpointsRequest::default(),
                    |hub, request| async move { hub.endpoints().list(request).await },
                )
                .await?;
            session.output.list(&answer.endpoints, &COLUMNS)
        }
    }
}
