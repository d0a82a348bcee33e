//! Rollcall: generated messages, services, descriptor set and field checks of the public interface.
//!
//! Invariant: everything here follows from the .proto files in `proto/`; the only hand-written
//! logic is the runtime of the field checks. Deliberately absent: rules of the product.

// The build reads the same notation with the same text.
#[path = "../build/bounds.rs"]
pub mod bounds;
pub mod check;
mod descriptor;
mod method;

pub use check::{Check, FieldViolation};
pub use descriptor::{FILE_DESCRIPTOR_SET, descriptor_pool};
pub use method::{METHODS, Method, OperationTypes, find_method};

pub use generated::{google, rollcall, yandex};
pub use google::rpc;
pub use yandex::cloud::organizationmanager::v1::idp;
pub use yandex::cloud::{access, endpoint, operation};

/// Package `rollcall.admin.v1`: our own services beside the public interface.
pub use generated::rollcall::admin::v1 as admin;
/// Package `rollcall.signin.v1`: signing in with a password.
pub use generated::rollcall::signin::v1 as signin;
/// Package `yandex.cloud.iam.v1`.
pub use yandex::cloud::iam::v1 as iam;
/// Package `yandex.cloud.organizationmanager.v1`.
pub use yandex::cloud::organizationmanager::v1 as organizationmanager;

/// Whether fields of this name carry secrets: passwords, hashes, tokens, keys. A message under
/// such a name is no secret itself, but may hold one.
#[must_use]
pub fn is_secret_field(name: &str) -> bool {
    secrets::SECRET_FIELDS.contains(&name)
}

/// What prost and tonic make of the contract, one module per package.
#[allow(missing_docs, clippy::all, clippy::pedantic, rustdoc::all)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/modules.rs"));
}

/// `Debug` of messages with secrets.
mod secrets {
    /// Stands for content that is never printed.
    struct Hidden;

    impl ::core::fmt::Debug for Hidden {
        fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
            f.write_str("***")
        }
    }

    include!(concat!(env!("OUT_DIR"), "/secrets.rs"));
}
