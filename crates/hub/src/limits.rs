//! Every limit of the hub in one place.
//!
//! Invariant: each queue, body, page, retry and wait of this crate is bounded by a constant of this
//! file or by the section `limits` of the configuration, which has those that an operator may have
//! to change. Deliberately absent: limits of the contract itself (field lengths, list sizes), which the
//! checks generated from the contract hold, and of the rules, which the domain holds.

use std::time::Duration;

use rollcall_kit::timestamp::Span;

/// Violations in the details of one refusal. They travel in headers, and gRPC clients drop an answer
/// with more than 8 KiB of those.
pub const VIOLATIONS_SHOWN_MAX: usize = 16;

/// Violations in the text of one refusal, which repeats the details.
pub const VIOLATIONS_SAID_MAX: usize = 4;

/// Bytes of the message of a refusal. It travels twice in headers, once with every sign outside of
/// ASCII in three times its bytes.
pub const MESSAGE_BYTES_MAX: usize = 1024;

/// Bytes of the name of a field in the details of a refusal.
pub const FIELD_NAME_BYTES_MAX: usize = 256;

/// Bytes of what is said about one field in the details of a refusal; the longest of the hub itself
/// names all paths of a mask, in 1,100.
pub const DESCRIPTION_BYTES_MAX: usize = 1280;

/// Bytes of all names and descriptions of fields in the details of one refusal.
pub const VIOLATIONS_BYTES_MAX: usize = 2048;

/// Largest list of HTTP headers in bytes: a token is about 150, a page token 2,000.
pub const HEADER_LIST_BYTES_MAX: u32 = 32 * 1024;

/// Most headers of an HTTP/1.1 request.
pub const HTTP1_HEADERS_MAX: usize = 64;

/// Buffer of an HTTP/1.1 connection in bytes; hyper refuses request heads above it.
pub const HTTP1_BUFFER_BYTES_MAX: usize = 64 * 1024;

/// Longest wait for the headers of an HTTP/1.1 request.
pub const HTTP1_HEADER_READ_TIMEOUT: Duration = Duration::from_secs(15);

/// Longest wait for the preface of an HTTP/2 connection.
pub const HTTP2_PREFACE_TIMEOUT: Duration = Duration::from_secs(15);

/// Longest TLS handshake.
pub const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long something may lie in the buffer of an HTTP/2 connection that nothing more comes from: a
/// password must be gone from memory within a minute.
pub const READ_BUFFER_AGE_MAX: Duration = Duration::from_secs(10);

/// Pause between pings of the hub to a silent HTTP/2 client.
pub const HTTP2_KEEPALIVE_INTERVAL: Duration = Duration::from_secs(60);

/// Longest wait for the answer to such a ping.
pub const HTTP2_KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Pause after the listener failed to accept, for example because of too many open files.
pub const ACCEPT_RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Most callers whose rate is remembered one by one; a caller takes about 100 bytes.
pub const RATE_TABLE_ENTRIES_MAX: usize = 65_536;

/// Pause between two searches of a full table for callers to forget, in seconds.
pub const RATE_SWEEP_SECONDS_MIN: i64 = 1;

/// Longest wait for running calls when the hub stops.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest key id in the header of a JWT, in characters.
pub const JWT_KEY_ID_CHARACTERS_MAX: usize = 64;

/// Longest validity a client may give its JWT, in seconds.
pub const JWT_SECONDS_MAX: i64 = 3_600;

/// How far the clocks of client and hub may differ, in seconds.
pub const CLOCK_SKEW_SECONDS_MAX: i64 = 60;

/// Most tokens kept in memory; the rest is looked up in the store.
pub const TOKEN_CACHE_ENTRIES_MAX: usize = 10_000;

/// How long a looked-up token is trusted without asking the store again, in seconds: so long a token
/// may still work on a replica after another hub ended it.
pub const TOKEN_CACHE_SECONDS_MAX: i64 = 5;

/// Most RSA keys made at once: each keeps a core busy for some hundred milliseconds.
pub const KEYS_IN_MAKING_MAX: usize = 2;

/// Most calls that wait for an RSA key or have it made; further ones are refused as "try again".
pub const KEY_QUEUE_MAX: usize = 16;

/// Most passwords waiting for a hashing worker; further calls are refused as "try again".
pub const HASHING_QUEUE_MAX: usize = 1_024;

/// Most passwords waiting for their turn to be compared with the hash of another directory, which may
/// take seconds; further calls are refused as "try again".
pub const LONG_HASHING_QUEUE_MAX: usize = 32;

/// Pieces of memory for hashes that are kept, of 19 MiB each; a machine with more cores asks the system for
/// the rest each time.
pub const HASHING_MEMORY_KEPT_MAX: usize = 8;

/// Most sign-ins at one time, most of which wait for a hashing worker; further ones are refused as "try
/// again".
pub const SIGN_INS_AT_ONCE_MAX: usize = 1_024;

/// Rounds of PBKDF2 times blocks of its key that the hash of another directory may ask for; the
/// strongest advice of today asks for 600,000.
pub const FOREIGN_BLOCK_ROUNDS_MAX: u64 = 4_000_000;

/// How much longer than it needs a guard against guessing is kept.
pub const SIGN_IN_GUARD_EXTRA: Span = Span::hours(1);

/// Most sealed hashes that the strengthening job takes at once.
pub const STRENGTHENING_BATCH_MAX: u32 = 64;

/// Pause of the strengthening job when nothing waits.
pub const STRENGTHENING_PAUSE: Duration = Duration::from_millis(500);

/// Pause of the strengthening job after the database failed.
pub const STRENGTHENING_RETRY_PAUSE: Duration = Duration::from_secs(5);

/// How long the strengthening job of one hub keeps hashes from the others, in seconds.
pub const STRENGTHENING_CLAIM_SECONDS: i64 = 120;

/// Pause between two runs of the sweeper (decision U9).
pub const SWEEP_INTERVAL: Duration = Duration::from_secs(10);

/// Most rows that one step of the sweeper touches.
pub const SWEEP_BATCH_MAX: u32 = 500;

/// Most streams of password changes on one hub, stand-bys included.
pub const PASSWORD_CHANGE_STREAMS_MAX: usize = 64;

/// Most of them of one pool.
pub const PASSWORD_CHANGE_STREAMS_PER_POOL_MAX: usize = 8;

/// Most people who wait at a sign-in for the directory to take their new password; further ones are
/// refused as "try again".
pub const PASSWORD_CHANGE_WAITERS_MAX: usize = 1_024;

/// Longest wait for the first message of such a stream.
pub const PASSWORD_CHANGE_SUBSCRIPTION_TIMEOUT: Duration = Duration::from_secs(10);

/// Most password changes that were sent to an agent and not acknowledged.
pub const PASSWORD_CHANGES_IN_FLIGHT_MAX: u32 = 16;

/// Pause between two looks for new password changes of other hubs, and for late ones.
pub const PASSWORD_CHANGE_PAUSE: Duration = Duration::from_secs(1);

/// A stream of password changes ends after so long, so that its agent comes with a new token.
pub const PASSWORD_CHANGE_STREAM_LIFETIME: Span = Span::hours(1);

/// Pause between two looks of a call that waits for a directory, for an end on another hub.
pub const PASSWORD_CHANGE_END_PAUSE: Duration = Duration::from_millis(500);

/// Most domains whose proofs the validation job takes at once.
pub const DOMAIN_VALIDATION_BATCH_MAX: u32 = 64;

/// Most look-ups in DNS at one time.
pub const DNS_LOOKUPS_MAX: usize = 16;

/// How often a look-up asks again within its time, the first try included.
pub const DNS_TRIES_PER_LOOKUP: usize = 2;

/// Pause of the validation job when nothing is due and nobody asks.
pub const DOMAIN_VALIDATION_PAUSE: Duration = Duration::from_secs(5);

/// How long the validation job of one hub keeps look-ups from the others, in seconds: a batch of
/// look-ups of 30 s each takes 120 s.
pub const DOMAIN_VALIDATION_CLAIM_SECONDS: i64 = 300;

/// Characters of the path of a call in its log line; the longest of the contract has about 100.
pub const LOGGED_PATH_CHARACTERS_MAX: usize = 200;

/// Longest request id taken over from a client in characters.
pub const REQUEST_ID_CHARACTERS_MAX: usize = 64;

/// Most connections to a PostgreSQL database.
pub const DATABASE_CONNECTIONS_MAX: usize = 32;

/// Characters of the user agent of a client in the audit trail.
pub const USER_AGENT_CHARACTERS_MAX: usize = 256;

/// Bytes of each JSON document of an audit event; 1,000 changed members need about 80,000.
pub const AUDIT_DOCUMENT_BYTES_MAX: usize = 128 * 1024;

/// Bytes of the request in the event of a refused attempt: whoever has no right shall not fill the
/// disk.
pub const AUDIT_REFUSED_REQUEST_BYTES_MAX: usize = 4 * 1024;

/// Events that refused attempts of strangers leave in a minute; the rest is counted in one line of
/// the log.
pub const AUDIT_STRANGER_EVENTS_PER_MINUTE_MAX: u32 = 60;

/// Events that refused attempts of one subject leave in a minute; the rest is counted in one line of
/// the log.
pub const AUDIT_REFUSED_EVENTS_PER_MINUTE_MAX: u32 = 100;

/// Subjects whose refused attempts of a minute are counted one by one; further ones share a count.
pub const AUDIT_REFUSED_SUBJECTS_MAX: usize = 10_000;

/// Most changes that wait for their transaction or are in it: each goes on to its end, even when its
/// caller is gone.
pub const CHANGES_AT_ONCE_MAX: usize = 1_024;

/// Batches of old audit events that one run of the sweeper removes.
pub const AUDIT_SWEEP_BATCHES_MAX: u32 = 20;

/// Pause between two looks of the export for new audit events, and after it failed.
pub const AUDIT_EXPORT_PAUSE: Duration = Duration::from_secs(1);

/// Ids of audit events that the export looks at in one question.
pub const AUDIT_EXPORT_IDS_MAX: u32 = 1_000;

/// Audit events that the export writes at once.
pub const AUDIT_EXPORT_BATCH_MAX: usize = 100;

/// How long after the longest call an audit event may still appear behind others, in seconds: the
/// clocks of several hubs differ.
pub const AUDIT_EXPORT_OVERLAP_SECONDS: i64 = 60;
