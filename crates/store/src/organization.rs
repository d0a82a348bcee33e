//! Rows of organizations.

use rollcall_domain::filter::Filter;
use rollcall_domain::id::OrganizationId;
use rollcall_domain::labels::Labels;
use rollcall_domain::organization::Organization;
use rollcall_domain::page::{Cursor, Page, PageRequest};

use crate::db::Tx;
use crate::db::value::{Row, params};
use crate::error::Error;
use crate::list::{self, Listed, Order};
use crate::packed;

impl Listed for Organization {
    const SELECT: &'static str =
        "select id, name, title, description, labels, created_at, updated_at from organizations";
    const KEY: [&'static str; 2] = ["created_at", "id"];

    fn read(row: &mut Row) -> Result<Self, Error> {
        Ok(Self {
            id: row.id()?,
            name: row.text()?,
            title: row.text()?,
            description: row.text()?,
            labels: read_labels(row)?,
            created_at: row.time()?,
            updated_at: row.time()?,
        })
    }

    fn cursor(&self) -> Cursor {
        Cursor::new(self.created_at, &self.id)
    }

    fn column(field: &str) -> Option<&'static str> {
        match field {
            "id" => Some("id"),
            "name" => Some("name"),
            _ => None,
        }
    }

    fn value(&self, field: &str) -> String {
        match field {
            "id" => self.id.to_string(),
            "name" => self.name.clone(),
            _ => String::new(),
        }
    }
}

impl Tx {
    /// Inserts an organization.
    pub async fn insert_organization(&self, organization: &Organization) -> Result<(), Error> {
        let labels = pack_labels(&organization.labels);
        self.execute(
            "insert into organizations \
             (id, name, title, description, labels, created_at, updated_at) \
             values ($1, $2, $3, $4, $5, $6, $7)",
            params![
                &organization.id,
                &organization.name,
                &organization.title,
                &organization.description,
                &labels,
                organization.created_at,
                organization.updated_at,
            ],
        )
        .await?;
        Ok(())
    }

    /// The organization `id`.
    pub async fn find_organization(
        &self,
        id: &OrganizationId,
    ) -> Result<Option<Organization>, Error> {
        let sql = format!("{} where id = $1", Organization::SELECT);
        self.one(&sql, params![id], Organization::read).await
    }

    /// Saves the texts of an organization.
    pub async fn save_organization(&self, organization: &Organization) -> Result<(), Error> {
        let labels = pack_labels(&organization.labels);
        self.execute(
            "update organizations set name = $2, title = $3, description = $4, labels = $5, \
             updated_at = $6 where id = $1",
            params![
                &organization.id,
                &organization.name,
                &organization.title,
                &organization.description,
                &labels,
                organization.updated_at,
            ],
        )
        .await?;
        Ok(())
    }

    /// A page of all organizations, oldest first.
    pub async fn list_organizations(
        &self,
        filter: &Filter,
        page: &PageRequest,
    ) -> Result<Page<Organization>, Error> {
        list::page(self, "1 = 1", &[], filter, Order::OldestFirst, page).await
    }
}

pub(crate) fn pack_labels(labels: &Labels) -> String {
    packed::pack(
        labels
            .iter()
            .flat_map(|(key, value)| [key.as_str(), value.as_str()]),
    )
}

pub(crate) fn read_labels(row: &mut Row) -> Result<Labels, Error> {
    let pairs = packed::unpack_groups::<2>(&row.text()?)?;
    Ok(pairs.into_iter().map(|[key, value]| (key, value)).collect())
}
