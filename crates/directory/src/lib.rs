//! Rollcall: reading and writing directories over LDAP.
