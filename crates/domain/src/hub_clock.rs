//! What may be expected of the clocks of hubs that share a database.

use rollcall_kit::timestamp::Span;

/// Clocks of several hubs differ by no more. A moment further ahead was written by a clock that has been
/// set back since.
pub const SKEW_MAX: Span = Span::seconds(60);
