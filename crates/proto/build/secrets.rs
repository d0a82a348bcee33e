//! Writes `Debug` for messages that carry secrets, so that a log line can never show one.

use std::fmt::Write as _;

use prost_reflect::{DescriptorPool, MessageDescriptor, OneofDescriptor};

use crate::names;

/// Fields whose content is never printed, and never written to the audit trail.
const SECRET_FIELDS: [&str; 12] = [
    "password",
    "old_password",
    "new_password",
    "change_token",
    "refresh_token",
    "password_hash",
    "generation_proof",
    "jwt",
    "yandex_passport_oauth_token",
    "iam_token",
    "replication_token",
    "private_key",
];

/// The messages for which, with their oneofs, prost must not derive `Debug`.
pub fn hidden_types(pool: &DescriptorPool) -> Vec<String> {
    messages_with_secrets(pool)
        .map(|message| format!(".{}", message.full_name()))
        .collect()
}

/// The Rust text of the list and of the `Debug` implementations.
pub fn render(pool: &DescriptorPool) -> String {
    let mut out = format!("pub(crate) const SECRET_FIELDS: &[&str] = &{SECRET_FIELDS:?};\n");
    for message in messages_with_secrets(pool) {
        render_message(&mut out, &message);
        for oneof in message.oneofs() {
            render_oneof(&mut out, &message, &oneof);
        }
    }
    out
}

fn messages_with_secrets(pool: &DescriptorPool) -> impl Iterator<Item = MessageDescriptor> {
    names::own_messages(pool)
        .into_iter()
        .filter(|message| message.fields().any(|field| is_secret_scalar(&field)))
}

fn is_secret(field: &str) -> bool {
    SECRET_FIELDS.contains(&field)
}

fn is_secret_scalar(field: &prost_reflect::FieldDescriptor) -> bool {
    is_secret(field.name()) && field.kind().as_message().is_none()
}

/// Names of the fields and oneofs of the Rust struct.
fn fields(message: &MessageDescriptor) -> Vec<String> {
    let plain = message
        .fields()
        .filter(|field| field.containing_oneof().is_none())
        .map(|field| field.name().to_owned());
    let oneofs = message.oneofs().map(|oneof| oneof.name().to_owned());
    plain.chain(oneofs).collect()
}

fn render_message(out: &mut String, message: &MessageDescriptor) {
    let _ = writeln!(
        out,
        "impl ::core::fmt::Debug for {} {{ fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> \
         ::core::fmt::Result {{ f.debug_struct({:?})",
        names::message(message),
        message.name(),
    );
    for field in fields(message) {
        let rust = names::field(&field);
        if is_secret(&field) {
            let _ = writeln!(out, ".field({field:?}, &Hidden)");
        } else {
            let _ = writeln!(out, ".field({field:?}, &self.{rust})");
        }
    }
    out.push_str(".finish() } }\n");
}

fn render_oneof(out: &mut String, message: &MessageDescriptor, oneof: &OneofDescriptor) {
    let name = names::camel(oneof.name());
    let _ = writeln!(
        out,
        "impl ::core::fmt::Debug for {}::{name} {{ fn fmt(&self, f: &mut \
         ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {{ match self {{",
        names::inner_module(message),
    );
    for field in oneof.fields() {
        let variant = names::camel(field.name());
        if is_secret_scalar(&field) {
            let _ = writeln!(
                out,
                "Self::{variant}(_) => f.debug_tuple({variant:?}).field(&Hidden).finish(),"
            );
        } else {
            let _ = writeln!(
                out,
                "Self::{variant}(inner) => f.debug_tuple({variant:?}).field(inner).finish(),"
            );
        }
    }
    out.push_str("} } }\n");
}
