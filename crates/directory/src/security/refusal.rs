//! What a key distribution centre says when it refuses, in words an administrator can act on.
//!
//! Read from KRB-ERROR (RFC 4120 5.9.1) and, where Active Directory adds it, from its status of the
//! account (MS-KILE 2.2.1, 2.2.2). Deliberately absent: everything else in such a message.

use std::fmt;

use crate::ber::{self, Reader};

/// `[APPLICATION 30]`.
const KRB_ERROR: u8 = 0x7e;
const AS_REQUEST: u8 = 0x6a;
const SERVER_TIME: u8 = 0xa4;
const ERROR_CODE: u8 = 0xa6;
const ERROR_DATA: u8 = 0xac;
const GENERALIZED_TIME: u8 = 0x18;
const DATA_TYPE: u8 = 0xa1;
const DATA_VALUE: u8 = 0xa2;
/// KERB_ERR_TYPE_EXTENDED, MS-KILE 2.2.2.
const EXTENDED: i64 = 3;
/// Fields of a message that are looked at.
const FIELDS_MAX: usize = 32;

/// What was asked for when it refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KdcRequest {
    /// To sign in.
    SignIn,
    /// A ticket for the domain controller.
    Service,
}

/// A refusal of a key distribution centre. `Display` is one sentence with the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KdcRefusal {
    /// RFC 4120 7.5.9.
    pub code: u32,
    /// What was asked for.
    pub request: KdcRequest,
    /// `user@REALM`.
    pub account: String,
    /// `ldap/host`.
    pub service: String,
    /// Whether the key came from a keytab.
    pub by_keytab: bool,
    /// Status of the account (an NTSTATUS), where the domain controller tells it.
    pub status: Option<u32>,
    /// Its clock minus ours.
    pub clock_ahead_seconds: Option<i64>,
}

/// A KRB-ERROR, as far as it is of use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct KrbError {
    pub code: u32,
    pub status: Option<u32>,
    /// Seconds since 1970.
    pub server_time: Option<i64>,
}

impl KdcRefusal {
    pub(crate) fn is_transient(&self) -> bool {
        // KDC_ERR_SVC_UNAVAILABLE; and what an administrator of the domain may repair meanwhile is
        // not ours to wait for.
        self.code == 29
    }
}

/// Which request these bytes, which begin with their length, are.
pub(crate) fn request_of(message: &[u8]) -> KdcRequest {
    match message.get(4) {
        Some(&AS_REQUEST) => KdcRequest::SignIn,
        _ => KdcRequest::Service,
    }
}

/// The refusal in an answer, which begins with its length; `None` when it is none.
pub(crate) fn parse(message: &[u8]) -> Option<KrbError> {
    let mut outer = Reader::new(message.get(4..)?);
    if outer.peek() != Some(KRB_ERROR) {
        return None;
    }
    let mut fields = outer.nested(KRB_ERROR).ok()?.nested(ber::SEQUENCE).ok()?;
    let mut error = KrbError::default();
    for _ in 0..FIELDS_MAX {
        let Ok((tag, content)) = fields.any() else {
            break;
        };
        let mut inner = Reader::new(content);
        match tag {
            ERROR_CODE => error.code = u32::try_from(inner.integer(ber::INTEGER).ok()?).ok()?,
            SERVER_TIME => {
                error.server_time = inner.expect(GENERALIZED_TIME).ok().and_then(seconds)
            }
            ERROR_DATA => error.status = inner.expect(ber::OCTET_STRING).ok().and_then(status),
            _ => {}
        }
    }
    Some(error)
}

/// `KERB-ERROR-DATA ::= SEQUENCE { data-type [1] INTEGER, data-value [2] OCTET STRING }`, whose
/// value begins with the status, little endian.
fn status(data: &[u8]) -> Option<u32> {
    let mut fields = Reader::new(data).nested(ber::SEQUENCE).ok()?;
    let kind = fields.nested(DATA_TYPE).ok()?.integer(ber::INTEGER).ok()?;
    if kind != EXTENDED {
        return None;
    }
    let value = fields
        .nested(DATA_VALUE)
        .ok()?
        .expect(ber::OCTET_STRING)
        .ok()?;
    value.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

/// `YYYYMMDDHHMMSSZ` (RFC 4120 5.2.3) as seconds since 1970.
fn seconds(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    if text.len() != 14 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part = |from, to| text.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let (hour, minute, second) = (part(8, 10)?, part(10, 12)?, part(12, 14)?);
    // Days of the proleptic Gregorian calendar, counted from March of a leap cycle.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    Some((days - 719_468) * 86_400 + hour * 3_600 + minute * 60 + second)
}

impl fmt::Display for KdcRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            account, service, ..
        } = self;
        match (self.code, self.request) {
            (1, KdcRequest::SignIn) => write!(
                f,
                "the account {account} has expired (KDC_ERR_NAME_EXP); extend or remove its expiry \
                 date"
            ),
            (6, KdcRequest::SignIn) => write!(
                f,
                "Kerberos does not know the account {account} (KDC_ERR_C_PRINCIPAL_UNKNOWN); check \
                 the name, which is its sAMAccountName, and the realm"
            ),
            (7, _) => write!(
                f,
                "Kerberos does not know the service {service} (KDC_ERR_S_PRINCIPAL_UNKNOWN); \
                 configure the full name of the domain controller, not its address or an alias, and \
                 see that the controller has registered this service principal name"
            ),
            (14, KdcRequest::SignIn) => write!(
                f,
                "the account {account} has no AES256 key (KDC_ERR_ETYPE_NOSUPP); allow AES256 for it \
                 and set its password once again, which makes the key"
            ),
            (14, KdcRequest::Service) => write!(
                f,
                "the domain controller gives no AES256 ticket for {service} (KDC_ERR_ETYPE_NOSUPP); \
                 allow AES256 for its computer account"
            ),
            (18, _) => write!(
                f,
                "Kerberos refuses the account {account}: {}",
                self.revoked()
            ),
            (12, _) => write!(
                f,
                "the policy of the domain refuses the account {account} (KDC_ERR_POLICY); lift \
                 restrictions of hours and workstations"
            ),
            (23, _) => write!(
                f,
                "the password of {account} has expired or must be changed (KDC_ERR_KEY_EXPIRED); set \
                 a new one, and make a new keytab if one is used"
            ),
            (24 | 31, _) if self.by_keytab => write!(
                f,
                "the key in the keytab does not fit the account {account} (KDC_ERR_PREAUTH_FAILED); \
                 its password was changed since, or the keytab was made for another account: make a \
                 new keytab"
            ),
            (24 | 31, _) => write!(
                f,
                "the password of {account} is wrong (KDC_ERR_PREAUTH_FAILED); correct it"
            ),
            (37, _) => write!(
                f,
                "the clocks of this machine and of the domain controller differ{} \
                 (KRB_AP_ERR_SKEW); Kerberos allows five minutes: set both by NTP",
                Ahead(self.clock_ahead_seconds)
            ),
            (68, _) => write!(
                f,
                "the account {account} belongs to another realm (KDC_ERR_WRONG_REALM); correct the \
                 realm of the principal"
            ),
            (code, KdcRequest::SignIn) => write!(
                f,
                "Kerberos refused to sign in {account} with error {code} (RFC 4120 7.5.9); see the \
                 event log of the domain controller"
            ),
            (code, KdcRequest::Service) => write!(
                f,
                "Kerberos refused a ticket for {service} with error {code} (RFC 4120 7.5.9); see \
                 the event log of the domain controller"
            ),
        }
    }
}

impl KdcRefusal {
    fn revoked(&self) -> &'static str {
        match self.status {
            Some(0xc000_0072) => "it is disabled (KDC_ERR_CLIENT_REVOKED); enable it",
            Some(0xc000_0193) => {
                "it has expired (KDC_ERR_CLIENT_REVOKED); extend or remove its expiry date"
            }
            Some(0xc000_0234) => {
                "it is locked after too many wrong passwords (KDC_ERR_CLIENT_REVOKED); unlock it and \
                 correct what is configured"
            }
            Some(0xc000_006f | 0xc000_0070) => {
                "it may not sign in at this time or from this machine (KDC_ERR_CLIENT_REVOKED); lift \
                 the restriction"
            }
            _ => {
                "it is disabled, locked or expired (KDC_ERR_CLIENT_REVOKED); enable, unlock or \
                 extend it"
            }
        }
    }
}

struct Ahead(Option<i64>);

impl fmt::Display for Ahead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(ahead) if ahead >= 0 => write!(f, ", its clock is {ahead} s ahead"),
            Some(ahead) => write!(f, ", its clock is {} s behind", ahead.unsigned_abs()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ber::Writer;
    use proptest::prelude::*;

    fn message(code: i64, time: &[u8], data: Option<&[u8]>) -> Vec<u8> {
        let mut out = Writer::default();
        out.nested(KRB_ERROR, |out| {
            out.nested(ber::SEQUENCE, |out| {
                out.nested(0xa0, |out| out.integer(ber::INTEGER, 5));
                out.nested(0xa1, |out| out.integer(ber::INTEGER, 30));
                out.nested(SERVER_TIME, |out| out.element(GENERALIZED_TIME, time));
                out.nested(0xa5, |out| out.integer(ber::INTEGER, 123));
                out.nested(ERROR_CODE, |out| out.integer(ber::INTEGER, code));
                if let Some(data) = data {
                    out.nested(ERROR_DATA, |out| out.element(ber::OCTET_STRING, data));
                }
            });
        });
        let body = out.into_bytes();
        let mut framed = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
        framed.extend(body);
        framed
    }

    fn extended(status: u32) -> Vec<u8> {
        let mut value = status.to_le_bytes().to_vec();
        value.extend([0; 8]);
        let mut out = Writer::default();
        out.nested(ber::SEQUENCE, |out| {
            out.nested(DATA_TYPE, |out| out.integer(ber::INTEGER, EXTENDED));
            out.nested(DATA_VALUE, |out| out.element(ber::OCTET_STRING, &value));
        });
        out.into_bytes()
    }

    #[test]
    fn code_time_and_status_are_read() {
        let data = extended(0xc000_0072);
        let read = parse(&message(18, b"20261129204400Z", Some(&data))).unwrap();
        let expected = KrbError {
            code: 18,
            status: Some(0xc000_0072),
            server_time: Some(1_795_985_040),
        };
        assert_eq!(read, expected);
        // Other data, such as the list of etypes, is no status.
        let read = parse(&message(25, b"19700101000000Z", Some(&[0x30, 0]))).unwrap();
        assert_eq!(
            (read.code, read.status, read.server_time),
            (25, None, Some(0))
        );
        assert_eq!(seconds(b"20000229120000Z"), Some(951_825_600));
        assert_eq!(parse(&[0, 0, 0, 2, 0x6b, 0]), None);
    }

    #[test]
    fn each_refusal_has_its_own_text() {
        let refusal = |code, request, by_keytab, status| KdcRefusal {
            code,
            request,
            account: "svc@CORP".into(),
            service: "ldap/dc1.corp".into(),
            by_keytab,
            status,
            clock_ahead_seconds: Some(-400),
        };
        let sign_in = |code, status| refusal(code, KdcRequest::SignIn, false, status).to_string();
        let texts = [
            sign_in(1, None),
            sign_in(6, None),
            sign_in(7, None),
            sign_in(12, None),
            sign_in(14, None),
            refusal(14, KdcRequest::Service, false, None).to_string(),
            sign_in(18, None),
            sign_in(18, Some(0xc000_0072)),
            sign_in(18, Some(0xc000_0193)),
            sign_in(18, Some(0xc000_0234)),
            sign_in(18, Some(0xc000_006f)),
            sign_in(23, None),
            sign_in(24, None),
            refusal(24, KdcRequest::SignIn, true, None).to_string(),
            sign_in(37, None),
            sign_in(68, None),
            sign_in(60, None),
            refusal(60, KdcRequest::Service, false, None).to_string(),
        ];
        let different: std::collections::BTreeSet<_> = texts.iter().collect();
        assert_eq!(different.len(), texts.len(), "{texts:#?}");
        assert!(sign_in(37, None).contains("400 s behind"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            parse(&bytes);
            status(&bytes);
            seconds(&bytes);
        }

        #[test]
        fn a_damaged_message_is_read_or_refused(at in 0usize..60, byte: u8) {
            let mut bytes = message(18, b"20261129204400Z", Some(&extended(7)));
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            parse(&bytes);
        }
    }
}
