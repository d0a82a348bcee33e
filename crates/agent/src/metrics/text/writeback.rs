//! The metrics of password writeback; none where it is off.

use super::{Text, flag, seconds};
use crate::condition::{Condition, Phase};

/// Writes them.
pub(super) fn render(text: &mut Text, condition: &Condition) {
    let Some(writeback) = &condition.password_writeback else {
        return;
    };
    let gauges = [
        (
            "writeback_connected",
            "Whether the stream of password changes is open.",
            flag(writeback.connected_at.is_some()),
        ),
        (
            "writeback_active",
            "Whether this agent was the one that got the last changes; 0 = a stand-by, or none came.",
            flag(writeback.connected_at.is_some() && writeback.phase == Phase::Working),
        ),
        (
            "writeback_failing",
            "Whether the stream cannot be opened; it is tried again.",
            flag(writeback.phase == Phase::Failing),
        ),
        (
            "writeback_pending",
            "Password changes that are being worked on.",
            writeback.pending as f64,
        ),
    ];
    for (name, help, value) in gauges {
        text.family(name, "gauge", help);
        text.sample(name, &[], value);
    }
    let name = "writeback_written_total";
    text.family(name, "counter", "Passwords that the directory took.");
    text.sample(name, &[], writeback.written as f64);
    let name = "writeback_refused_total";
    let help = "Passwords that were not set in the directory.";
    text.family(name, "counter", help);
    for (code, number) in &writeback.refused {
        text.sample(name, &[("code", code)], *number as f64);
    }
    let name = "writeback_commit_failures_total";
    let help = "Ends of password changes that the hub could not be told.";
    text.family(name, "counter", help);
    text.sample(name, &[], writeback.commit_failures as f64);
    if let Some(at) = writeback.last_written_at.as_deref().and_then(seconds) {
        let name = "writeback_last_written_timestamp_seconds";
        text.family(name, "gauge", "When the directory last took a password.");
        text.sample(name, &[], at);
    }
}

#[cfg(test)]
mod tests {
    use rollcall_kit::timestamp::Timestamp;

    use crate::condition::{Board, Phase, Told};
    use crate::metrics::render;
    use crate::password_writeback::refusal::Refusal;

    #[test]
    fn what_was_done_shows_and_nothing_where_it_is_off() {
        let now = Timestamp::from_seconds(1_800_000_000);
        let board = Board::default();
        assert!(!render(&board.condition(), now).contains("writeback"));
        board.writeback(now, |condition| {
            condition.phase = Phase::Working;
            condition.connected_at = Some(now.to_string());
            condition.pending = 2;
            condition.count(None, Told::Yes, now);
            condition.count(Some(&Refusal::other("x")), Told::No, now);
        });
        let text = render(&board.condition(), now);
        for line in [
            "rollcall_agent_writeback_connected 1",
            "rollcall_agent_writeback_active 1",
            "rollcall_agent_writeback_failing 0",
            "rollcall_agent_writeback_pending 2",
            "rollcall_agent_writeback_written_total 1",
            "rollcall_agent_writeback_refused_total{code=\"UNKNOWN_ERROR\"} 1",
            "rollcall_agent_writeback_commit_failures_total 1",
            "rollcall_agent_writeback_last_written_timestamp_seconds 1800000000",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
