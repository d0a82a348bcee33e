//! Rollcall: a connection to a hub: TLS, service account key, token.
