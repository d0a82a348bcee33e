//! Random histories of one stream keep the promises of the state machine.

use proptest::prelude::*;

use super::*;

/// One step of a random history of one stream.
#[derive(Debug, Clone)]
enum Step {
    Wait(i64),
    Open { agent: usize, brake: Brake },
    Heartbeat(usize),
    Report(usize, i64),
    Close(usize, Verdict, HubWork),
    Complete(usize),
    Sweep,
}

fn any_step() -> impl Strategy<Value = Step> {
    let verdict = prop_oneof![Just(Verdict::Successful), Just(failed())];
    let work = prop_oneof![Just(HubWork::Done), Just(HubWork::Left)];
    let brake = prop_oneof![Just(Brake::On), Just(Brake::Off)];
    prop_oneof![
        (1..700i64).prop_map(Step::Wait),
        (0..3usize, brake).prop_map(|(agent, brake)| Step::Open { agent, brake }),
        (0..20usize).prop_map(Step::Heartbeat),
        (0..20usize, 0..1_000i64).prop_map(|(n, count)| Step::Report(n, count)),
        (0..20usize, verdict, work).prop_map(|(n, verdict, work)| Step::Close(n, verdict, work)),
        (0..20usize).prop_map(Step::Complete),
        Just(Step::Sweep),
    ]
}

/// All sessions of a stream, as a store would hold them.
#[derive(Default)]
struct Stream {
    sessions: Vec<SyncSession>,
    now: i64,
}

impl Stream {
    fn newest(&self, statuses: &[SessionStatus]) -> Option<SyncSession> {
        self.sessions
            .iter()
            .rev()
            .find(|session| statuses.contains(&session.status))
            .cloned()
    }

    fn save(&mut self, session: SyncSession) {
        for stored in &mut self.sessions {
            if stored.id == session.id {
                *stored = session;
                return;
            }
        }
        self.sessions.push(session);
    }

    fn pick(&self, n: usize) -> Option<SyncSession> {
        self.sessions.get(n % self.sessions.len().max(1)).cloned()
    }

    fn apply(&mut self, step: &Step) {
        let now = at(self.now);
        let me: SubjectId = "aje1".into();
        match step {
            Step::Wait(seconds) => self.now += seconds,
            Step::Open { agent, brake } => {
                let id = format!("sys{}", self.sessions.len());
                let request = OpenRequest {
                    brake: *brake,
                    ..request(&id, &format!("agent{agent}"))
                };
                let facts = OpenFacts {
                    opened: self.newest(&[SessionStatus::Opened]),
                    last_successful: self
                        .newest(&[SessionStatus::Completed, SessionStatus::Pending]),
                    last_failed: self.newest(&[SessionStatus::Failed, SessionStatus::Expired]),
                    ..facts()
                };
                match open(request, facts, Lease::default(), now).unwrap() {
                    OpenOutcome::Success { session, ended } => {
                        ended.into_iter().for_each(|ended| self.save(ended));
                        self.save(session);
                    }
                    OpenOutcome::TooEarly { ended, .. } => {
                        ended.into_iter().for_each(|ended| self.save(ended));
                    }
                    OpenOutcome::OpenedSessionExists { session } => {
                        assert!(session.expires_at > now);
                    }
                }
            }
            Step::Heartbeat(n) => {
                let changed = self
                    .pick(*n)
                    .and_then(|s| s.heartbeat(&me, Lease::default(), now).ok());
                changed.into_iter().for_each(|session| self.save(session));
            }
            Step::Report(n, count) => {
                let changed = self.pick(*n).and_then(|s| {
                    s.report_progress(&me, &report(*count), Lease::default(), now)
                        .ok()
                });
                changed.into_iter().for_each(|session| self.save(session));
            }
            Step::Close(n, verdict, work) => {
                let closed = self
                    .pick(*n)
                    .and_then(|s| s.close(&me, CloseRight::Own, verdict, *work, now).ok());
                closed
                    .into_iter()
                    .for_each(|closed| self.save(closed.session));
            }
            Step::Complete(n) => {
                let changed = self.pick(*n).and_then(|session| session.complete_pending());
                changed.into_iter().for_each(|session| self.save(session));
            }
            Step::Sweep => {
                let lapsed: Vec<_> = self.sessions.iter().filter_map(|s| s.expire(now)).collect();
                lapsed.into_iter().for_each(|session| self.save(session));
            }
        }
    }
}

proptest! {
    #[test]
    fn no_history_breaks_the_state_machine(
        steps in proptest::collection::vec(any_step(), 1..60),
    ) {
        let mut stream = Stream::default();
        for step in &steps {
            let before = stream.sessions.clone();
            stream.apply(step);
            let opened = stream.sessions.iter().filter(|s| s.status == SessionStatus::Opened);
            prop_assert!(opened.count() <= 1, "two open sessions after {:?}", step);
            for (old, new) in before.iter().zip(&stream.sessions) {
                if old.status.is_terminal() {
                    prop_assert_eq!(old, new, "a session that ended changed by {:?}", step);
                }
                if old.status == SessionStatus::Pending {
                    prop_assert!(!matches!(
                        new.status,
                        SessionStatus::Opened | SessionStatus::Expired
                    ));
                }
                prop_assert!(new.expires_at >= old.expires_at, "a lease became shorter");
                for (object, change, counts) in old.progress.cells() {
                    let later = new.progress.get(object, change).unwrap();
                    prop_assert!(later.successful >= counts.successful);
                }
                prop_assert_eq!(
                    new.closed_at.is_some(),
                    new.status != SessionStatus::Opened,
                    "an ended session has an end, an open one has none"
                );
            }
        }
    }
}
