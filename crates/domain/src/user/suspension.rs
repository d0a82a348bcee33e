//! Why a user is suspended: a set of causes, each lifted on its own (decision U52).

use crate::named::named_enum;

named_enum! {
    /// Why a user is suspended.
    pub enum SuspensionCause {
        /// An administrator asked for it.
        Admin = "ADMIN",
        /// The synchronization agent asked for it.
        Agent = "AGENT",
        /// The account end has passed.
        Expired = "EXPIRED",
    }
}

/// A set of causes; empty means that the user is active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Suspension(u8);

impl Suspension {
    /// No cause: active.
    pub const NONE: Self = Self(0);
    const KNOWN_BITS: u8 = 0b111;

    fn bit(cause: SuspensionCause) -> u8 {
        match cause {
            SuspensionCause::Admin => 1,
            SuspensionCause::Agent => 2,
            SuspensionCause::Expired => 4,
        }
    }

    /// The set with `cause` in it.
    #[must_use]
    pub fn with(self, cause: SuspensionCause) -> Self {
        Self(self.0 | Self::bit(cause))
    }

    /// The set with `cause` removed.
    #[must_use]
    pub fn without(self, cause: SuspensionCause) -> Self {
        Self(self.0 & !Self::bit(cause))
    }

    /// Whether `cause` is in the set.
    #[must_use]
    pub fn has(self, cause: SuspensionCause) -> bool {
        self.0 & Self::bit(cause) != 0
    }

    /// Whether nothing suspends the user.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The set as a small number, for the database.
    #[must_use]
    pub fn as_bits(self) -> u8 {
        self.0
    }

    /// The set of a small number; `None` for unknown bits.
    #[must_use]
    pub fn from_bits(bits: i64) -> Option<Self> {
        u8::try_from(bits)
            .ok()
            .filter(|bits| bits & !Self::KNOWN_BITS == 0)
            .map(Self)
    }
}
