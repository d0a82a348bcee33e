//! The Rust names that prost-build gives to messages, oneofs and fields.
//!
//! Invariant: follows prost-build; a difference is a compile error of the generated code.

use prost_reflect::{DescriptorPool, MessageDescriptor};

const KEYWORDS: [&str; 6] = ["type", "match", "move", "ref", "use", "where"];

/// `PasswordSpec` -> `password_spec`.
pub fn snake(name: &str) -> String {
    let mut out = String::new();
    let mut after_lower = false;
    for letter in name.chars() {
        if letter.is_uppercase() && after_lower {
            out.push('_');
        }
        after_lower = !letter.is_uppercase() && letter != '_';
        out.extend(letter.to_lowercase());
    }
    out
}

/// `dns_challenge` -> `DnsChallenge`.
pub fn camel(name: &str) -> String {
    name.split('_')
        .map(|word| {
            let mut letters = word.chars();
            letters
                .next()
                .map(|first| first.to_uppercase().chain(letters).collect::<String>())
                .unwrap_or_default()
        })
        .collect()
}

/// A field name as an identifier.
pub fn field(name: &str) -> String {
    if KEYWORDS.contains(&name) {
        format!("r#{name}")
    } else {
        name.to_owned()
    }
}

/// The module that holds what is nested in `message`.
pub fn inner_module(message: &MessageDescriptor) -> String {
    let mut path = vec![snake(message.name())];
    let mut parent = message.parent_message();
    while let Some(outer) = parent {
        path.push(snake(outer.name()));
        parent = outer.parent_message();
    }
    path.push(format!(
        "crate::{}",
        message.package_name().replace('.', "::")
    ));
    path.reverse();
    path.join("::")
}

/// The Rust path of `message`.
pub fn message(message: &MessageDescriptor) -> String {
    let module = message.parent_message().map_or_else(
        || format!("crate::{}", message.package_name().replace('.', "::")),
        |outer| inner_module(&outer),
    );
    format!("{module}::{}", message.name())
}

/// The product's own messages, in the order of their full names; map entries left out.
pub fn own_messages(pool: &DescriptorPool) -> Vec<MessageDescriptor> {
    let mut messages: Vec<_> = pool
        .all_messages()
        .filter(|message| is_own(message.package_name()) && !message.is_map_entry())
        .collect();
    messages.sort_by(|a, b| a.full_name().cmp(b.full_name()));
    messages
}

/// Whether a package is written in this project, the standard's own ones aside.
pub fn is_own(package: &str) -> bool {
    package.starts_with("yandex.") || package.starts_with("rollcall.")
}
