//! Values of the wire and of the domain: moments, lengths of time, enums, masks, labels, payloads.
//!
//! Invariant: an enum value has the same name in the contract and in the domain, so one rule
//! translates all of them; a test goes through every value. Deliberately absent: messages of one
//! noun, which stand with its service.

use prost::{Message, Name};
use prost_types::{Any, Duration, FieldMask, Timestamp as WireTimestamp};
use rollcall_domain::access::binding;
use rollcall_domain::mask::Mask;
use rollcall_domain::named::Named;
use rollcall_domain::operation::Payload;
use rollcall_domain::refusal::Refusal;
use rollcall_domain::{membership, password, password_age, password_writeback};
use rollcall_domain::{progress, service_account};
use rollcall_domain::{supported_attribute, sync_session};
use rollcall_domain::{sync_settings, user, userpool, userpool_domain};
use rollcall_kit::timestamp::{Span, Timestamp};
use rollcall_proto::{access, admin, idp, organizationmanager as om, signin};

/// Prefix of the type URL in `google.protobuf.Any`.
pub const TYPE_URL_PREFIX: &str = "type.googleapis.com/";

const NANOS_PER_MICRO: i64 = 1_000;
const MICROS_PER_SECOND: i64 = 1_000_000;

/// An enum of the domain that has a twin in the contract.
pub trait WireEnum: Named {
    /// Its number in the contract.
    fn to_wire(self) -> i32;

    /// The value with `number`, or none for 0 and unknown numbers.
    fn from_wire(number: i32) -> Option<Self>;

    /// The value with `number` in the field `field` of a request.
    ///
    /// # Errors
    /// `Invalid` for 0 and unknown numbers.
    fn parse_wire(field: &str, number: i32) -> Result<Self, Refusal> {
        Self::from_wire(number).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|value| value.name()).collect();
            Refusal::invalid(field, format!("must be one of {}", names.join(", ")))
        })
    }
}

macro_rules! wire_enums {
    ($($domain:ty = $wire:ty, $prefix:literal;)+) => {
        $(impl WireEnum for $domain {
            fn to_wire(self) -> i32 {
                let name = format!(concat!($prefix, "{}"), self.name());
                <$wire>::from_str_name(&name).map_or(0, |value| value as i32)
            }

            fn from_wire(number: i32) -> Option<Self> {
                let value = <$wire>::try_from(number).ok()?;
                Self::parse(value.as_str_name().strip_prefix($prefix)?)
            }
        })+

        #[cfg(test)]
        #[test]
        fn every_enum_value_has_its_twin() {
            $(for value in <$domain>::ALL {
                let number = value.to_wire();
                assert_ne!(number, 0, "{}", value.name());
                assert_eq!(<$domain>::from_wire(number), Some(*value));
            }
            assert_eq!(<$domain>::from_wire(0), None);)+
        }
    };
}

wire_enums! {
    sync_session::SessionType = idp::SessionType, "";
    sync_session::SyncMode = idp::SyncMode, "";
    sync_session::SessionStatus = idp::SessionStatus, "";
    progress::ObjectType = idp::RelatedObjectType, "";
    progress::ChangeType = idp::ChangeType, "";
    user::UserStatus = idp::user::Status, "";
    userpool::UserpoolStatus = idp::userpool::Status, "";
    userpool_domain::DomainStatus = idp::domain::Status, "";
    userpool_domain::ChallengeStatus = idp::domain_challenge::Status, "";
    binding::BindingAction = access::AccessBindingAction, "";
    membership::MemberAction = om::member_delta::MemberAction, "";
    sync_settings::RemoveUserBehavior = idp::RemoveUserBehavior, "";
    sync_settings::LdapDeltaSyncMode = idp::LdapDeltaSyncMode, "LDAP_DELTA_SYNC_MODE_";
    supported_attribute::UserTarget = idp::UserTargetAttribute, "";
    supported_attribute::GroupTarget = idp::GroupTargetAttribute, "";
    supported_attribute::MappingKind = idp::MappingType, "";
    supported_attribute::DirectoryFlavor = idp::AttributesFlavor, "";
    service_account::ServiceAccountStatus = admin::service_account::Status, "";
    service_account::KeyStatus = admin::key::Status, "";
    password::HashType = idp::password_hash::PasswordHashType, "";
    password_writeback::WritebackErrorCode =
        idp::password_writeback_error_details::PasswordWritebackErrorCode, "";
    password_age::ChangeReason = signin::password_change_required::Reason, "";
}

/// A moment for an answer.
#[must_use]
pub fn render_timestamp(moment: Timestamp) -> WireTimestamp {
    WireTimestamp {
        seconds: moment.as_seconds(),
        nanos: moment.subsecond_nanos(),
    }
}

/// A moment of a request.
#[must_use]
pub fn parse_timestamp(moment: &WireTimestamp) -> Timestamp {
    Timestamp::from_seconds_and_nanos(moment.seconds, moment.nanos)
}

/// A length of time for an answer.
#[must_use]
pub fn render_span(span: Span) -> Duration {
    let micros = span.as_micros();
    Duration {
        seconds: micros / MICROS_PER_SECOND,
        // The remainder of a division by a million, times a thousand, fits.
        nanos: i32::try_from(micros % MICROS_PER_SECOND * NANOS_PER_MICRO).unwrap_or(0),
    }
}

/// A length of time of a request.
#[must_use]
pub fn parse_span(duration: &Duration) -> Span {
    let micros = duration
        .seconds
        .saturating_mul(MICROS_PER_SECOND)
        .saturating_add(i64::from(duration.nanos) / NANOS_PER_MICRO);
    Span::micros(micros)
}

/// An update mask of a request.
///
/// # Errors
/// `Invalid` for a path that cannot be changed.
pub fn parse_mask<F: Named>(mask: Option<&FieldMask>) -> Result<Mask<F>, Refusal> {
    let paths = mask.map_or(&[][..], |mask| mask.paths.as_slice());
    Mask::parse(paths.iter().map(String::as_str))
}

/// A message with its name, to be stored.
#[must_use]
pub fn to_payload<M: Message + Name>(message: &M) -> Payload {
    Payload {
        type_name: M::full_name(),
        bytes: message.encode_to_vec(),
    }
}

/// A stored message in the form of an answer.
#[must_use]
pub fn render_payload(payload: Payload) -> Any {
    Any {
        type_url: format!("{TYPE_URL_PREFIX}{}", payload.type_name),
        value: payload.bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_and_lengths_survive() {
        for micros in [0, 1, -1, 1_700_000_000_123_456, -62_135_596_800_000_000] {
            let moment = Timestamp::from_micros(micros);
            assert_eq!(parse_timestamp(&render_timestamp(moment)), moment);
        }
        for micros in [0, 900_000_000, 1, -1, -1_500_000] {
            let span = Span::micros(micros);
            assert_eq!(parse_span(&render_span(span)), span);
        }
        assert_eq!(render_span(Span::minutes(15)).seconds, 900);
    }

    #[test]
    fn payloads_carry_the_full_type_url() {
        let message = idp::OpenSessionMetadata {
            session_id: "sys1".into(),
        };
        let any = render_payload(to_payload(&message));
        assert_eq!(
            any.type_url,
            "type.googleapis.com/yandex.cloud.organizationmanager.v1.idp.OpenSessionMetadata"
        );
        assert_eq!(
            idp::OpenSessionMetadata::decode(any.value.as_slice()).unwrap(),
            message
        );
    }
}
