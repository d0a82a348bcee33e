//! Rollcall: a connection to a hub: TLS, service account key, token.
//!
//! Invariant: one [`Client`] is one HTTP/2 connection that reconnects by itself; cloning it is
//! cheap and all clones share the token. Deliberately absent: what the calls mean.

pub mod call;
mod channel;
mod client;
mod error;
mod key;
mod operation;
mod tls;
mod token;

pub use call::{CallContext, CallKind};
pub use channel::AuthorizedChannel;
pub use client::{Client, ClientOptions, Credentials};
pub use error::{ClientError, ErrorKind};
pub use key::{KeyError, ServiceAccountKey, render_file as render_key_file};
pub use operation::{operation_metadata, operation_response};
