//! What goes wrong, and when.
//!
//! Invariant: answers are counted over all connections from the moment the fault was planned, so
//! that a test can hit every answer of a run one after the other.

use std::time::Duration;

use super::message::Code;

/// What happens in the place of an answer to a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Half of the objects are sent, then the connection is gone, without a word.
    Cut,
    /// Half of the objects are sent, then this result.
    Result(Code),
    /// The answer comes late.
    Delay(Duration),
}

/// How long a fault lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasting {
    /// One answer.
    Once,
    /// All answers from then on.
    Always,
}

/// What connections meet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Door {
    /// They are served.
    #[default]
    Open,
    /// They are closed as soon as they are there.
    Closed,
}

#[derive(Debug, Default)]
pub(super) struct Plan {
    planned: Option<(Fault, usize, Lasting)>,
    /// Answers since the plan was made.
    pub answers: usize,
    pub door: Door,
}

impl Plan {
    pub fn set(&mut self, planned: Option<(Fault, usize, Lasting)>) {
        self.planned = planned;
        self.answers = 0;
    }

    /// Counts an answer and tells what happens to it.
    pub fn next(&mut self) -> Option<Fault> {
        self.answers += 1;
        let (fault, at, lasting) = self.planned?;
        let hit = match lasting {
            Lasting::Once => self.answers == at,
            Lasting::Always => self.answers >= at,
        };
        hit.then_some(fault)
    }
}
