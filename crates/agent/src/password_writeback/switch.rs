//! Whether passwords are written back: the switch of the file and that of the pool (decision U42).
//!
//! Invariant: nothing is subscribed to while the pool's switch is off, or cannot be looked at for the
//! first time; which of the two is off is told. The settings of the pool are looked at again and again,
//! because there is no session that would begin with them.

use std::sync::Arc;
use std::time::Duration;

use rollcall_client::ClientError;
use rollcall_proto::idp::SynchronizationSettings;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::agent::Agent;
use crate::config::Config;
use crate::settings::Settings;

/// Time between two looks at the settings of the pool.
const LOOK_PERIOD: Duration = Duration::from_secs(20);

/// What the pool says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    /// It could not be asked yet; why.
    Unknown(String),
    /// Nothing is written; why, and what to do.
    Off(String),
    /// Passwords are written under these settings.
    On(Arc<Settings>),
}

/// The switch, watched.
#[derive(Debug)]
pub struct Switch {
    position: watch::Receiver<Position>,
    _task: AbortOnDropHandle<()>,
}

impl Switch {
    /// Begins to watch.
    #[must_use]
    pub fn watch(agent: &Arc<Agent>) -> Self {
        let first = Position::Unknown("the settings of the pool were not looked at yet".into());
        let (sender, position) = watch::channel(first);
        let agent = Arc::clone(agent);
        let task = tokio::spawn(async move {
            loop {
                let settings = agent.hub.settings().await;
                sender.send_if_modified(|present| {
                    let new = position_of(&agent.config, settings, present);
                    let is_news = *present != new;
                    if is_news {
                        tell(&new);
                        *present = new;
                    }
                    is_news
                });
                tokio::time::sleep(LOOK_PERIOD).await;
            }
        });
        Self {
            position,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position.borrow().clone()
    }

    /// Waits until it is somewhere else than it was when this was last asked.
    pub async fn changed(&mut self) {
        if self.position.changed().await.is_err() {
            // Nobody looks any more: it stays where it is.
            std::future::pending::<()>().await;
        }
    }
}

fn tell(position: &Position) {
    match position {
        Position::On(_) => tracing::info!("password writeback is on, in the file and in the pool"),
        Position::Off(reason) => tracing::warn!(reason, "passwords are not written back"),
        Position::Unknown(reason) => {
            tracing::warn!(
                reason,
                "whether passwords are written back is not known yet"
            );
        }
    }
}

/// What settings mean; `present` stays when they cannot be had.
fn position_of(
    config: &Config,
    settings: Result<Option<SynchronizationSettings>, ClientError>,
    present: &Position,
) -> Position {
    let settings = match settings {
        Ok(settings) => settings,
        Err(error) => {
            return match present {
                Position::Unknown(_) => Position::Unknown(error.to_string()),
                known => known.clone(),
            };
        }
    };
    match settings_of(config, settings.as_ref()) {
        Ok(settings) => Position::On(Arc::new(settings)),
        Err(why) => Position::Off(why),
    }
}

/// The settings passwords are written under.
///
/// # Errors
/// Why none is written, and what to do.
pub fn settings_of(
    config: &Config,
    hub: Option<&SynchronizationSettings>,
) -> Result<Settings, String> {
    let Some(of_hub) = hub else {
        return Err(
            "enable_password_writeback is on in this file, but the pool has no synchronization \
             settings; make them in the hub, with the domain of the filter and \
             enable_password_writeback"
                .into(),
        );
    };
    if !of_hub.enable_password_writeback {
        return Err(
            "enable_password_writeback is on in this file, but off in the synchronization settings \
             of the pool; switch it on there"
                .into(),
        );
    }
    let settings = Settings::effective(config, hub).map_err(|failure| failure.to_string())?;
    let (there, here) = (&settings.filter.domain, &config.sync_settings.filter.domain);
    if !there.eq_ignore_ascii_case(here) {
        return Err(format!(
            "the domain of the pool's synchronization settings is {there}, that of this file \
             (sync_settings.filter.domain) is {here}; make them the same"
        ));
    }
    Ok(settings)
}
