//! Signing in: by name and password, or by tokens, after which everything is sealed.
//!
//! Invariant: a refusal says why in words for an administrator; a sealed sign-in is over only when
//! both sides are sure of each other.

use super::Connection;
use crate::error::{BindProblem, Error};
use crate::message::{self, Answer, Outcome};
use crate::security::{Purpose, SecContext, SecurityOptions};

const DURING: &str = "signing in";
/// SASL mechanism of Active Directory (MS-ADTS 5.1.1.1.3).
const MECHANISM: &str = "GSS-SPNEGO";
/// RFC 4511 4.2.2: another leg follows.
const IN_PROGRESS: u32 = 14;
/// NTLM inside SPNEGO needs three.
const LEGS_MAX: usize = 6;

impl Connection {
    /// RFC 4513 5.1.3.
    pub(super) async fn bind(&mut self, account: &str, password: &str) -> Result<(), Error> {
        let id = self.next_id();
        let request = message::bind(id, account, password);
        let (outcome, _) = self.leg(id, &request).await?;
        match outcome.code {
            0 => Ok(()),
            _ => Err(refused(outcome, account)),
        }
    }

    /// RFC 4513 5.2; MS-ADTS 5.1.1.1.3.
    pub(super) async fn bind_sealed(&mut self, options: &SecurityOptions) -> Result<(), Error> {
        let mut context = SecContext::new(options, Purpose::Ldap)?;
        let mut received = Vec::new();
        for _ in 0..LEGS_MAX {
            let step = context.step(&received).await?;
            let id = self.next_id();
            let request = message::bind_by_sasl(id, MECHANISM, &step.token);
            let (outcome, credentials) = self.leg(id, &request).await?;
            received = credentials.unwrap_or_default();
            match outcome.code {
                IN_PROGRESS => {}
                0 => {
                    if !step.done && !context.step(&received).await?.done {
                        return Err(Error::Protocol("a sign-in that ended too early"));
                    }
                    self.clock_ahead_seconds = context.clock_ahead_seconds();
                    return self.transport.seal(context);
                }
                _ => return Err(refused(outcome, &options.credential.account())),
            }
        }
        Err(Error::TooMuch {
            what: "legs of a sign-in",
            limit: LEGS_MAX as u64,
        })
    }

    async fn leg(&mut self, id: i64, request: &[u8]) -> Result<(Outcome, Option<Vec<u8>>), Error> {
        self.begin(id, request, DURING).await?;
        let Answer::Bind {
            outcome,
            credentials,
        } = self.answer(id, DURING).await?.answer
        else {
            return Err(self.unexpected());
        };
        self.finished();
        Ok((outcome, credentials))
    }
}

fn refused(outcome: Outcome, account: &str) -> Error {
    let problem = match outcome.code {
        7 | 8 | 13 => BindProblem::StrongerNeeded,
        // Some servers say noSuchObject or invalidDNSyntax for an unknown account.
        49 | 32 | 34 => BindProblem::from_text(&outcome.text),
        _ => return outcome.into_error(DURING, "to sign in", "the right to sign in"),
    };
    Error::BindRefused {
        account: account.to_owned(),
        problem,
    }
}
