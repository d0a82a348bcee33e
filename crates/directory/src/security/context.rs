//! The exchange of tokens and the sealing, by the library `sspi`.
//!
//! Invariants: the library is given checked bytes only; its only way to the network is our own
//! exchange with the configured key distribution centres. Deliberately absent: which bytes of a
//! packet are sealed (the callers know).

use std::net::IpAddr;
use std::time::Duration;

use rollcall_kit::clock::{Clock, SystemClock};
use rollcall_kit::secret::SecretBytes;
use sspi::credssp::SspiContext;
use sspi::generator::GeneratorState;
use sspi::{
    BufferType, CredentialsBuffers, DataRepresentation, EncryptionFlags, NetworkRequest,
    SecurityBuffer, SecurityBufferRef, SecurityStatus, Sspi, SspiImpl,
};
use zeroize::{Zeroize, Zeroizing};

use super::error::SecurityError;
use super::kdc::{self, Kdc};
use super::library::{
    self, DURING, KDC_MARK, acquire, forged, guarded, library_error, packet, requirements,
};
use super::refusal::{self, KdcRefusal, KdcRequest, KrbError};
use super::wrap_token::{self, Opener};
use super::{Credential, Mechanism, Purpose, SecurityOptions};

/// Two to sign in, one for the ticket, one more when the clocks differ.
const KDC_REQUESTS_MAX: usize = 8;
/// Larger than any: the largest are tickets of accounts in a thousand groups.
const TOKEN_BYTES_MAX: usize = 1 << 16;
const NTLM_SIGNATURE_BYTES: usize = 16;

/// One leg of the exchange.
#[derive(Debug)]
pub(crate) struct Step {
    /// What to send; empty when there is nothing.
    pub token: Vec<u8>,
    /// Whether both sides are sure of each other.
    pub done: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Negotiating,
    Established,
    Broken,
}

/// One security context: first [`SecContext::step`] until it is done, then sealing.
pub(crate) struct SecContext {
    library: SspiContext,
    credentials: Option<CredentialsBuffers>,
    parties: Parties,
    mechanism: Mechanism,
    purpose: Purpose,
    state: State,
    /// Opens what a Kerberos peer sealed.
    opener: Option<Opener>,
    clock_ahead_seconds: Option<i64>,
}

/// Who talks to whom, for requests and messages.
struct Parties {
    account: String,
    by_keytab: bool,
    service: String,
    kdcs: Vec<Kdc>,
    kdc_timeout: Duration,
}

impl SecContext {
    /// A context on which nothing has been exchanged yet.
    ///
    /// # Errors
    /// When the options do not fit together.
    pub(crate) fn new(options: &SecurityOptions, purpose: Purpose) -> Result<Self, SecurityError> {
        let by_keytab = matches!(options.credential, Credential::Keytab(_));
        if by_keytab && !options.mechanism.is_kerberos() {
            return Err(SecurityError::KeytabWithoutKerberos);
        }
        if options.kdcs.is_empty() && options.mechanism.is_kerberos() {
            return Err(SecurityError::NoKdc {
                realm: options.realm.clone(),
            });
        }
        if options.mechanism.is_kerberos() && options.target.parse::<IpAddr>().is_ok() {
            return Err(SecurityError::AddressAsTarget {
                target: options.target.clone(),
            });
        }
        let (library, credentials) = guarded(|| {
            let mut library = library::start(options)?;
            let credentials = acquire(&mut library, options)?;
            Ok((library, credentials))
        })?;
        Ok(Self {
            library,
            credentials,
            parties: Parties {
                account: options.credential.account(),
                by_keytab,
                service: format!("ldap/{}", options.target),
                kdcs: options.kdcs.clone(),
                kdc_timeout: options.kdc_timeout,
            },
            mechanism: options.mechanism,
            purpose,
            state: State::Negotiating,
            opener: None,
            clock_ahead_seconds: None,
        })
    }

    /// Takes the token of the other side (none at first) and makes our next one; asks the key
    /// distribution centres on the way.
    ///
    /// # Errors
    /// When anybody refuses; the context cannot be used any more.
    pub(crate) async fn step(&mut self, token: &[u8]) -> Result<Step, SecurityError> {
        if self.state != State::Negotiating {
            return Err(SecurityError::NotUsable("its exchange is over"));
        }
        if token.len() > TOKEN_BYTES_MAX {
            return Err(SecurityError::TooMuch {
                what: "bytes in one token",
                limit: TOKEN_BYTES_MAX as u64,
            });
        }
        // Until this leg has ended well; also when it is cancelled.
        self.state = State::Broken;
        let step = self.exchange(token).await?;
        if step.done {
            self.establish()?;
        } else {
            self.state = State::Negotiating;
        }
        Ok(step)
    }

    async fn exchange(&mut self, token: &[u8]) -> Result<Step, SecurityError> {
        let mut input = [SecurityBuffer::new(token.to_vec(), BufferType::Token)];
        let mut output = vec![SecurityBuffer::new(Vec::new(), BufferType::Token)];
        let mut credentials = self.credentials.take();
        let status = {
            let mut builder = self
                .library
                .initialize_security_context()
                .with_credentials_handle(&mut credentials)
                .with_context_requirements(requirements(self.purpose))
                .with_target_data_representation(DataRepresentation::Native)
                .with_target_name(&self.parties.service)
                .with_input(&mut input)
                .with_output(&mut output);
            let mut generator =
                guarded(|| self.library.initialize_security_context_impl(&mut builder))?;
            let mut refused = None;
            let mut state = guarded(|| Ok(generator.start()))?;
            let mut requests = 0;
            loop {
                match state {
                    GeneratorState::Completed(result) => {
                        break result
                            .map_err(|error| self.parties.explain(&error, refused))?
                            .status;
                    }
                    GeneratorState::Suspended(_) if requests == KDC_REQUESTS_MAX => {
                        return Err(SecurityError::TooMuch {
                            what: "requests to a key distribution centre",
                            limit: KDC_REQUESTS_MAX as u64,
                        });
                    }
                    GeneratorState::Suspended(request) => {
                        requests += 1;
                        let answer = self.parties.ask(&request).await?;
                        refused = refusal::parse(&answer)
                            .map(|error| (refusal::request_of(&request.data), error));
                        if let Some((_, error)) = refused {
                            let ahead = error.server_time.map(ahead_seconds);
                            self.clock_ahead_seconds = ahead.or(self.clock_ahead_seconds);
                        }
                        state = guarded(|| Ok(generator.resume(Ok(answer))))?;
                    }
                }
            }
        };
        self.credentials = credentials;
        let token = output.pop().map(|buffer| buffer.buffer).unwrap_or_default();
        Ok(Step {
            token,
            done: status == SecurityStatus::Ok,
        })
    }

    fn establish(&mut self) -> Result<(), SecurityError> {
        // Nothing of them is needed any more.
        self.credentials = None;
        let library = &mut self.library;
        let sizes = guarded(|| library.query_context_sizes())?;
        if usize::try_from(sizes.security_trailer).ok() != Some(self.trailer_bytes()) {
            return Err(SecurityError::Exchange {
                during: DURING,
                why: format!("seals of {} bytes were agreed on", sizes.security_trailer),
            });
        }
        if self.mechanism.is_kerberos() {
            self.opener = Some(Opener::new(self.key()?, self.extra())?);
        }
        self.state = State::Established;
        Ok(())
    }

    /// The clock of the key distribution centre minus ours, once it has told it.
    pub(crate) fn clock_ahead_seconds(&self) -> Option<i64> {
        self.clock_ahead_seconds
    }

    /// `auth_type` of RPC (MS-RPCE 2.2.1.1.7).
    pub(crate) fn auth_type(&self) -> u8 {
        match self.mechanism {
            Mechanism::SpnegoKerberos | Mechanism::SpnegoNtlm => 9,
            Mechanism::Ntlm => 10,
            Mechanism::Kerberos => 16,
        }
    }

    /// Bytes of the token beside each sealed message.
    pub(crate) fn trailer_bytes(&self) -> usize {
        match self.mechanism.is_kerberos() {
            true => wrap_token::TOKEN_BYTES + usize::from(self.extra()),
            false => NTLM_SIGNATURE_BYTES,
        }
    }

    fn extra(&self) -> u16 {
        match self.purpose {
            Purpose::Rpc => wrap_token::EXTRA_RPC,
            Purpose::Ldap => 0,
        }
    }

    /// The key both sides agreed on.
    pub(crate) fn session_key(&self) -> Result<SecretBytes, SecurityError> {
        if self.state != State::Established {
            return Err(SecurityError::NotUsable("it is not established"));
        }
        self.key()
    }

    fn key(&self) -> Result<SecretBytes, SecurityError> {
        let keys = guarded(|| self.library.query_context_session_key())?;
        Ok(SecretBytes::new(keys.session_key.as_ref().clone()))
    }

    /// Seals a packet in place: all of it is signed, `body` is sealed, `token` is written. Lengths
    /// in `head` and `trailer` must be final.
    ///
    /// # Errors
    /// When the context is not established or was given up.
    pub(crate) fn seal(
        &mut self,
        head: &mut [u8],
        body: &mut [u8],
        trailer: &mut [u8],
        token: &mut [u8],
    ) -> Result<(), SecurityError> {
        self.begin()?;
        if token.len() != self.trailer_bytes() {
            return Err(SecurityError::NotUsable(
                "the place for the seal has a wrong length",
            ));
        }
        let length = body.len();
        let library = &mut self.library;
        let sealed = guarded(|| {
            let mut buffers = packet(head, body, trailer, token);
            library.encrypt_message(EncryptionFlags::empty(), &mut buffers)?;
            Ok(buffers.map(|buffer| buffer.data().len()))
        })?;
        if sealed.get(1) != Some(&length) {
            return Err(SecurityError::NotUsable(
                "a seal of another length was made",
            ));
        }
        self.end_sending(token)
    }

    /// Opens a packet in place.
    ///
    /// # Errors
    /// [`SecurityError::Forged`] when anything of it is not as the other side sent it.
    pub(crate) fn unseal(
        &mut self,
        head: &mut [u8],
        body: &mut [u8],
        trailer: &mut [u8],
        token: &mut [u8],
    ) -> Result<(), SecurityError> {
        self.begin()?;
        if let Some(opener) = &mut self.opener {
            opener.open_packet(head, body, trailer, token)?;
        } else {
            if token.len() != NTLM_SIGNATURE_BYTES {
                return Err(SecurityError::Forged("its token has a wrong length"));
            }
            let length = body.len();
            let library = &mut self.library;
            let opened = forged(|| {
                let mut buffers = packet(head, body, trailer, token);
                library.decrypt_message(&mut buffers)?;
                Ok(buffers.map(|buffer| buffer.data().len()))
            })?;
            if opened.get(1) != Some(&length) {
                return Err(SecurityError::Forged("its content has a wrong length"));
            }
        }
        self.state = State::Established;
        Ok(())
    }

    /// Seals a part of a stream: the token, then the sealed content.
    ///
    /// # Errors
    /// When the context is not established or was given up.
    pub(crate) fn wrap(&mut self, plain: &[u8]) -> Result<Vec<u8>, SecurityError> {
        self.begin()?;
        // Sealed in place, so that no copy of the content stays behind.
        let mut content = plain.to_vec();
        let mut token = vec![0; self.trailer_bytes()];
        let library = &mut self.library;
        let sealed = guarded(|| {
            let mut buffers = [
                SecurityBufferRef::token_buf(&mut token),
                SecurityBufferRef::data_buf(&mut content),
            ];
            library.encrypt_message(EncryptionFlags::empty(), &mut buffers)?;
            Ok(())
        });
        if let Err(error) = sealed {
            content.zeroize();
            return Err(error);
        }
        self.end_sending(&token)?;
        token.extend_from_slice(&content);
        Ok(token)
    }

    /// Opens a part of a stream.
    ///
    /// # Errors
    /// [`SecurityError::Forged`] when it is not as the other side sent it.
    pub(crate) fn unwrap(
        &mut self,
        sealed: &mut [u8],
    ) -> Result<Zeroizing<Vec<u8>>, SecurityError> {
        self.begin()?;
        let plain = if let Some(opener) = &mut self.opener {
            opener.open_buffer(sealed)?
        } else {
            let (token, content) = sealed
                .split_at_mut_checked(NTLM_SIGNATURE_BYTES)
                .ok_or(SecurityError::Forged("it is too short"))?;
            let library = &mut self.library;
            forged(|| {
                let mut buffers = [
                    SecurityBufferRef::token_buf(token),
                    SecurityBufferRef::data_buf(content),
                ];
                library.decrypt_message(&mut buffers)?;
                let plain = buffers.get(1).map(|buffer| buffer.data().to_vec());
                Ok(Zeroizing::new(plain.unwrap_or_default()))
            })?
        };
        self.state = State::Established;
        Ok(plain)
    }

    /// Until the message has been dealt with, the context counts as broken.
    fn begin(&mut self) -> Result<(), SecurityError> {
        if self.state != State::Established {
            return Err(SecurityError::NotUsable("it is not established"));
        }
        self.state = State::Broken;
        Ok(())
    }

    fn end_sending(&mut self, token: &[u8]) -> Result<(), SecurityError> {
        // The library counts with 32 bits and would panic or start over.
        if self.mechanism.is_kerberos()
            && let Some(number) = token.get(8..16)
            && number >= u64::from(u32::MAX).to_be_bytes().as_slice()
        {
            return Err(SecurityError::Spent);
        }
        self.state = State::Established;
        Ok(())
    }
}

impl Parties {
    async fn ask(&self, request: &NetworkRequest) -> Result<Vec<u8>, SecurityError> {
        if request.url.host_str() != Some(KDC_MARK) {
            return Err(SecurityError::OtherRealm {
                service: self.service.clone(),
            });
        }
        kdc::ask(&self.kdcs, self.kdc_timeout, &request.data).await
    }

    fn explain(
        &self,
        error: &sspi::Error,
        refused: Option<(KdcRequest, KrbError)>,
    ) -> SecurityError {
        let Some((request, refusal)) = refused else {
            return library_error(error);
        };
        SecurityError::Refused(Box::new(KdcRefusal {
            code: refusal.code,
            request,
            account: self.account.clone(),
            service: self.service.clone(),
            by_keytab: self.by_keytab,
            status: refusal.status,
            clock_ahead_seconds: refusal.server_time.map(ahead_seconds),
        }))
    }
}

fn ahead_seconds(server_time: i64) -> i64 {
    server_time.saturating_sub(SystemClock.now().as_seconds())
}
