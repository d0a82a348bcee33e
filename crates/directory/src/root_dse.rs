//! What a directory says about itself before anybody signs in (RFC 4512 5.1, MS-ADTS 3.1.1.3.2).

use crate::attributes::Attributes;
use crate::connection::Connection;
use crate::dn::Dn;
use crate::error::Error;
use crate::filter::Filter;
use crate::guid::Guid;
use crate::message::{self, Answer, Scope};
use crate::search::{Base, SearchRequest, skip};

/// LDAP_CAP_ACTIVE_DIRECTORY_OID, MS-ADTS 3.1.1.3.4.3.1.
const ACTIVE_DIRECTORY: &str = "1.2.840.113556.1.4.800";

/// The root entry of a directory server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootDse {
    /// DN of the domain this controller serves.
    pub default_naming_context: Dn,
    /// DN of the configuration of the forest.
    pub configuration_naming_context: Option<Dn>,
    /// DN of the schema of the forest.
    pub schema_naming_context: Option<Dn>,
    /// DNS name of the controller.
    pub dns_host_name: Option<String>,
    /// Last update sequence number this controller has given out; meaningless on another one.
    pub highest_committed_usn: Option<i64>,
    /// DN of the object that describes this controller's directory service.
    pub ds_service_name: Option<Dn>,
    /// OIDs of request extensions it understands.
    pub supported_controls: Vec<String>,
    /// Whether it says that it is Active Directory.
    pub is_active_directory: bool,
}

impl RootDse {
    /// Whether a control is supported.
    #[must_use]
    pub fn supports(&self, control: &str) -> bool {
        self.supported_controls.iter().any(|oid| oid == control)
    }

    /// DNS name of the domain, such as `corp.example.com`, from its DN.
    #[must_use]
    pub fn domain_name(&self) -> String {
        let parts = self.default_naming_context.folded().split(',');
        let labels: Vec<&str> = parts.filter_map(|part| part.strip_prefix("dc=")).collect();
        labels.join(".")
    }

    fn parse(attributes: &Attributes) -> Option<Self> {
        let text = |name: &str| attributes.text(name).map(str::to_owned);
        let dn = |name: &str| attributes.text(name).and_then(|dn| dn.parse().ok());
        let capabilities = attributes.values("supportedCapabilities");
        Some(Self {
            default_naming_context: attributes.text("defaultNamingContext")?.parse().ok()?,
            configuration_naming_context: dn("configurationNamingContext"),
            schema_naming_context: dn("schemaNamingContext"),
            dns_host_name: text("dnsHostName"),
            highest_committed_usn: attributes.i64("highestCommittedUSN"),
            ds_service_name: dn("dsServiceName"),
            supported_controls: attributes
                .texts("supportedControl")
                .map(str::to_owned)
                .collect(),
            is_active_directory: capabilities
                .iter()
                .any(|oid| oid == ACTIVE_DIRECTORY.as_bytes()),
        })
    }
}

impl Connection {
    /// Reads the root entry; once per connection, except for the update sequence number.
    ///
    /// # Errors
    /// When the connection breaks or the server is no directory of a domain.
    pub async fn root_dse(&mut self) -> Result<RootDse, Error> {
        if let Some(known) = &self.root_dse {
            return Ok(known.clone());
        }
        self.reread_root_dse().await
    }

    /// Reads the root entry again, for the present update sequence number.
    ///
    /// # Errors
    /// As [`Connection::root_dse`].
    pub async fn reread_root_dse(&mut self) -> Result<RootDse, Error> {
        let during = "reading the root entry";
        let attributes = [
            "defaultNamingContext",
            "configurationNamingContext",
            "schemaNamingContext",
            "dnsHostName",
            "highestCommittedUSN",
            "dsServiceName",
            "supportedControl",
            "supportedCapabilities",
        ]
        .map(str::to_owned);
        let search = message::Search {
            base: "",
            scope: Scope::Base,
            filter: &Filter::any_object(),
            attributes: &attributes,
        };
        let id = self.next_id();
        self.begin(id, &message::search(id, &search, &[]), during)
            .await?;
        let (mut found, mut skipped) = (None, 0);
        loop {
            match self.answer(id, during).await?.answer {
                Answer::Entry { attributes, .. } if found.is_none() => found = Some(attributes),
                Answer::Done(outcome) => {
                    self.finished();
                    outcome.into_result(during, "read the root entry", "the right to read it")?;
                    break;
                }
                Answer::Reference | Answer::Intermediate => skip(&mut skipped)?,
                _ => return Err(self.unexpected()),
            }
        }
        let parsed = found.as_ref().and_then(RootDse::parse);
        let root = parsed.ok_or(Error::Protocol(
            "a root entry without a default naming context",
        ))?;
        self.root_dse = Some(root.clone());
        Ok(root)
    }

    /// Identifies the database of this controller; another one after it was restored from a backup.
    /// Positions of reads are only valid for the same one. `None` when it cannot be read.
    ///
    /// # Errors
    /// As [`crate::Search::next`].
    pub async fn invocation_id(&mut self) -> Result<Option<Guid>, Error> {
        let Some(service) = self.root_dse().await?.ds_service_name else {
            return Ok(None);
        };
        let request = SearchRequest::object(Base::Dn(service), &["invocationId"]);
        Ok(self
            .read(request)
            .await?
            .and_then(|entry| entry.attributes.guid("invocationId")))
    }
}
