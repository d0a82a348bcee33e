//! Whether a user may sign in: what the directory says, what the hub has, what must change.
//!
//! Invariant: causes of a suspension stay apart (decision U52). The agent takes back only its own,
//! leaves the end of an account to `expires_at`, and never tries to reactivate an account that has
//! ended. Deliberately absent: lockouts, which each side has for itself (decision U55).

use rollcall_kit::timestamp::Timestamp;

use super::mapping::expires_at;
use super::object::{ACCOUNT_DISABLED, MACHINE_ACCOUNT};

/// An account in the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountState {
    /// False when it is disabled.
    pub enabled: bool,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// Whether the password has to be changed at the next sign-in.
    pub must_change_password: bool,
}

/// How a user is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignIn {
    /// False when the account is disabled.
    pub enabled: bool,
    /// Whether the password has to be changed at the next sign-in.
    pub must_change_password: bool,
}

/// The same account in the hub, as far as the hub shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HubAccount {
    /// Whether the user may sign in; if not, the hub does not say why.
    pub active: bool,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
}

/// How it came that an account is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// All accounts are compared: what looks equal stays as it is.
    Compared,
    /// The directory reported a change.
    Reported,
    /// The directory reported a change, and that the password was set or has to be.
    ReportedWithPassword,
}

/// Whether a suspension can be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suspension {
    /// An active user may no longer sign in.
    Visible,
    /// A suspended user gets one more cause.
    OneMoreCause,
}

/// What must be done to an account of the hub, in the order of the fields: a user that is disabled
/// is suspended before a new end of the account could let it in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Correction {
    /// Suspend it.
    pub suspend: Option<Suspension>,
    /// Give it this end, or none.
    pub expires_at: Option<Option<Timestamp>>,
    /// Take the suspension back.
    pub reactivate: bool,
    /// Say whether its password has to be changed.
    pub must_change_password: Option<bool>,
}

impl AccountState {
    /// From the attributes of a user (MS-ADTS 2.2.16; MS-ADA1 2.1 accountExpires; MS-ADA3 2.176
    /// pwdLastSet: 0 means that the password must be changed). `None` for accounts of machines.
    #[must_use]
    pub fn from_attributes(
        user_account_control: u32,
        account_expires: i64,
        pwd_last_set: Option<i64>,
    ) -> Option<Self> {
        (user_account_control & MACHINE_ACCOUNT == 0).then(|| Self {
            enabled: user_account_control & ACCOUNT_DISABLED == 0,
            expires_at: expires_at(account_expires),
            must_change_password: pwd_last_set == Some(0),
        })
    }

    fn has_ended(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

impl HubAccount {
    fn has_ended(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

impl Correction {
    /// Whether nothing is to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What must be done so that the hub has what the directory says.
#[must_use]
pub fn compare(
    wanted: AccountState,
    present: HubAccount,
    news: News,
    now: Timestamp,
) -> Correction {
    let ended = wanted.has_ended(now);
    let suspend = match (wanted.enabled, present.active) {
        (true, _) => None,
        (false, true) => Some(Suspension::Visible),
        // The user may be suspended for another reason only, which can go away by itself.
        (false, false) if news != News::Compared || (present.has_ended(now) && !ended) => {
            Some(Suspension::OneMoreCause)
        }
        (false, false) => None,
    };
    Correction {
        suspend,
        expires_at: (wanted.expires_at != present.expires_at).then_some(wanted.expires_at),
        reactivate: wanted.enabled && !present.active && !ended,
        must_change_password: match news {
            News::ReportedWithPassword => Some(wanted.must_change_password),
            // The hub does not show this; asking it for what it has already changes nothing.
            News::Compared => wanted.must_change_password.then_some(true),
            News::Reported => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_000);
    const PAST: Option<Timestamp> = Some(Timestamp::from_seconds(999));
    const FUTURE: Option<Timestamp> = Some(Timestamp::from_seconds(1_001));
    const ENDS: [Option<Timestamp>; 3] = [None, PAST, FUTURE];
    const NEWS: [News; 3] = [News::Compared, News::Reported, News::ReportedWithPassword];

    /// What the hub keeps but does not show (decision U52).
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    struct Hidden {
        admin: bool,
        agent: bool,
        expires_at: Option<Timestamp>,
        temporary: bool,
    }

    impl Hidden {
        fn shown(self) -> HubAccount {
            let ended = self.expires_at.is_some_and(|at| at <= NOW);
            HubAccount {
                active: !self.admin && !self.agent && !ended,
                expires_at: self.expires_at,
            }
        }

        fn corrected(mut self, by: Correction) -> Self {
            if by.suspend.is_some() {
                self.agent = true;
            }
            if let Some(end) = by.expires_at {
                self.expires_at = end;
            }
            if by.reactivate {
                assert!(self.expires_at.is_none_or(|at| at > NOW), "{by:?}");
                self.agent = false;
            }
            if let Some(required) = by.must_change_password {
                self.temporary = required;
            }
            self
        }
    }

    fn every_case() -> Vec<(AccountState, Hidden)> {
        let mut cases = Vec::new();
        for bits in 0..32_u32 {
            let bit = |number: u32| bits & (1 << number) != 0;
            for wanted_end in ENDS {
                for present_end in ENDS {
                    let wanted = AccountState {
                        enabled: bit(0),
                        expires_at: wanted_end,
                        must_change_password: bit(1),
                    };
                    let hub = Hidden {
                        admin: bit(2),
                        agent: bit(3),
                        expires_at: present_end,
                        temporary: bit(4),
                    };
                    cases.push((wanted, hub));
                }
            }
        }
        cases
    }

    #[test]
    fn after_the_correction_the_hub_shows_what_the_directory_says() {
        for (wanted, before) in every_case() {
            for news in NEWS {
                let after = before.corrected(compare(wanted, before.shown(), news, NOW));
                let case = format!("{wanted:?} {before:?} {news:?} -> {after:?}");
                assert_eq!(after.admin, before.admin, "{case}");
                assert_eq!(after.expires_at, wanted.expires_at, "{case}");
                let may = wanted.enabled && !wanted.has_ended(NOW) && !before.admin;
                assert_eq!(after.shown().active, may, "{case}");
                if news == News::ReportedWithPassword {
                    assert_eq!(after.temporary, wanted.must_change_password, "{case}");
                    assert!(wanted.enabled || after.agent, "{case}");
                }
                if news == News::Reported {
                    assert_eq!(after.temporary, before.temporary, "{case}");
                }
                let again = compare(wanted, after.shown(), News::Compared, NOW);
                assert_eq!(again.suspend, None, "{case}");
                assert_eq!(again.expires_at, None, "{case}");
                assert_eq!(
                    again.reactivate,
                    may != after.shown().active || blocked(wanted, after)
                );
            }
        }
    }

    /// An administrator's block looks like one of the agent's, which it may take back.
    fn blocked(wanted: AccountState, hub: Hidden) -> bool {
        wanted.enabled && !wanted.has_ended(NOW) && hub.admin
    }

    #[test]
    fn a_disabled_user_is_never_let_in_by_a_new_end() {
        for (wanted, before) in every_case() {
            let correction = compare(wanted, before.shown(), News::Compared, NOW);
            if !wanted.enabled && correction.expires_at.is_some() {
                let halfway = Hidden {
                    agent: before.agent || correction.suspend.is_some(),
                    expires_at: wanted.expires_at,
                    ..before
                };
                assert!(!halfway.shown().active, "{wanted:?} {before:?}");
            }
        }
    }

    #[test]
    fn attributes_of_the_directory() {
        let never = [0, i64::MAX];
        for end in never {
            let state = AccountState::from_attributes(512, end, Some(1)).unwrap();
            assert_eq!((state.enabled, state.expires_at), (true, None));
            assert!(!state.must_change_password);
        }
        let state = AccountState::from_attributes(514, 116_444_736_010_000_000, Some(0)).unwrap();
        assert_eq!(state.expires_at, Some(Timestamp::from_seconds(1)));
        assert!(!state.enabled && state.must_change_password);
        let hidden = AccountState::from_attributes(512, 0, None).unwrap();
        assert!(!hidden.must_change_password);
        assert_eq!(AccountState::from_attributes(0x1000, 0, Some(0)), None);
    }
}
