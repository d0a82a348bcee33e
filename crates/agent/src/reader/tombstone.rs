//! How long the directory remembers what was deleted (MS-ADTS 3.1.1.1.15).
//!
//! Invariant: never longer than it does. After that time an object may have come to its end
//! without anything that a delta could report.

use std::time::Duration;

use rollcall_directory::{Base, Dn, SearchRequest};

use super::{Reader, failure};
use crate::failure::Failure;

/// Where it is configured, below the configuration of the forest (MS-ADTS 6.1.1.2.4.1.1).
const DIRECTORY_SERVICE: &str = "CN=Directory Service,CN=Windows NT,CN=Services";
/// Without a value, or with one below two (tombstoneLifetime, MS-ADA3).
const DAYS_DEFAULT: i64 = 60;
const DAYS_MIN: i64 = 2;
const DAY_SECONDS: u64 = 24 * 60 * 60;

impl Reader {
    /// The tombstone lifetime; the default where the account may not read it. The recycle bin
    /// only makes it longer.
    ///
    /// # Errors
    /// [`Failure`] when the directory cannot be asked.
    pub async fn tombstone_lifetime(&mut self) -> Result<Duration, Failure> {
        let root = self.connection.root_dse().await;
        let root = root.map_err(|error| failure(&error))?;
        let place = root
            .configuration_naming_context
            .and_then(|above| format!("{DIRECTORY_SERVICE},{above}").parse::<Dn>().ok());
        let days = match place {
            Some(dn) => {
                let request = SearchRequest::object(Base::Dn(dn), &["tombstoneLifetime"]);
                let found = self.connection.read(request).await;
                let found = found.map_err(|error| failure(&error))?;
                found.and_then(|entry| entry.attributes.i64("tombstoneLifetime"))
            }
            None => None,
        };
        Ok(lifetime(days))
    }
}

fn lifetime(days: Option<i64>) -> Duration {
    let days = days
        .filter(|days| *days >= DAYS_MIN)
        .unwrap_or(DAYS_DEFAULT);
    let days = u64::try_from(days).unwrap_or_default();
    Duration::from_secs(days.saturating_mul(DAY_SECONDS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_a_default_and_a_minimum() {
        for (configured, days) in [
            (None, 60),
            (Some(180), 180),
            (Some(2), 2),
            (Some(1), 60),
            (Some(-5), 60),
        ] {
            assert_eq!(lifetime(configured).as_secs(), days * DAY_SECONDS);
        }
    }
}
