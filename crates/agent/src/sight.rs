//! Both sides to look at, for a person: no session, no token, no file of the agent but to read.
//!
//! Invariant: nothing here changes anything, so it works while the service runs, here or elsewhere.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rollcall_kit::entropy::Entropy;

use crate::config::Config;
use crate::engine::Guid;
use crate::engine::scope::Scope;
use crate::failure::Failure;
use crate::hub::{self, Hub, Patience};
use crate::reader::Reader;
use crate::settings::Settings;

/// What the entries of the filter mean, for programs that cannot open the index.
const FILTER_FILE: &str = "filter.json";

/// Both sides.
#[derive(Debug)]
pub struct Sight {
    /// The settings a session would have.
    pub settings: Settings,
    /// What is synchronized.
    pub scope: Scope,
    /// The hub.
    pub hub: Hub,
    /// The directory.
    pub reader: Reader,
}

impl Sight {
    /// Connects to both.
    ///
    /// # Errors
    /// [`Failure`] with what to do.
    pub async fn open(config: &Config, entropy: Arc<dyn Entropy>) -> Result<Self, Failure> {
        let hub = Hub::connect(config, entropy, Patience::GiveUp, |_| {}).await?;
        let of_hub = hub.settings().await.map_err(|error| hub::failure(&error))?;
        let settings = Settings::effective(config, of_hub.as_ref())?;
        let mut reader = Reader::connect(config, &settings.filter.domain).await?;
        reader.check_mapping(&settings.mapping).await?;
        let known = load_filter(&config.working_directory());
        let resolved = reader.resolve_as_known(&settings.filter, &known).await?;
        Ok(Self {
            settings,
            scope: resolved.scope,
            hub,
            reader,
        })
    }
}

/// Leaves what the entries of the filter mean for [`Sight::open`].
///
/// # Errors
/// When the file cannot be written.
pub fn save_filter(directory: &Path, known: &BTreeMap<String, Guid>) -> std::io::Result<()> {
    let texts: BTreeMap<&str, String> = known
        .iter()
        .map(|(entry, guid)| (entry.as_str(), guid.to_string()))
        .collect();
    let path = filter_path(directory);
    let new = path.with_extension("new");
    std::fs::write(&new, serde_json::to_vec_pretty(&texts)?)?;
    std::fs::rename(new, path)
}

/// Without the file the entries mean what they say.
fn load_filter(directory: &Path) -> BTreeMap<String, Guid> {
    let bytes = std::fs::read(filter_path(directory)).unwrap_or_default();
    let texts: BTreeMap<String, String> = serde_json::from_slice(&bytes).unwrap_or_default();
    texts
        .into_iter()
        .filter_map(|(entry, text)| Some((entry, Guid::parse(&text)?)))
        .collect()
}

fn filter_path(directory: &Path) -> PathBuf {
    directory.join(FILTER_FILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_meaning_of_the_filter_comes_back() {
        let directory = tempfile::tempdir().unwrap();
        assert!(load_filter(directory.path()).is_empty());
        let known = BTreeMap::from([("groups staff".to_owned(), Guid::from_number(7))]);
        save_filter(directory.path(), &known).unwrap();
        assert_eq!(load_filter(directory.path()), known);
    }
}
