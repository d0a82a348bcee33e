//! What `--check` says of a sign-in by Kerberos.

use rollcall_directory::{Connection, SecurityError};

use super::Findings;
use crate::failure::Failure;

/// Kerberos allows five minutes; long before that something keeps the time wrong.
const CLOCK_SECONDS_MAX: u64 = 60;

/// The thing this error is about.
pub fn name_of(error: &SecurityError) -> &'static str {
    match error {
        SecurityError::KdcUnreachable { .. } | SecurityError::NoKdc { .. } => "Kerberos server",
        SecurityError::Refused(refusal) => match refusal.code {
            7 => "Kerberos service name",
            37 => "clock",
            _ => "directory account",
        },
        SecurityError::AddressAsTarget { .. } | SecurityError::OtherRealm { .. } => {
            "Kerberos service name"
        }
        _ => "directory encryption",
    }
}

/// A sign-in that worked: how it is protected, and whether the clocks agree.
pub fn signed_in(connection: &Connection, findings: &mut Findings) {
    findings.good("directory encryption", "signed and sealed by Kerberos");
    let Some(ahead) = connection.clock_ahead_seconds() else {
        return;
    };
    if ahead.unsigned_abs() <= CLOCK_SECONDS_MAX {
        findings.good("clock", "agrees with that of the Kerberos server");
    } else {
        findings.bad(
            "clock",
            &Failure::Run(format!(
                "differs by {} s from that of the Kerberos server, which allows five minutes; set \
                 both by NTP",
                ahead.unsigned_abs()
            )),
        );
    }
}
