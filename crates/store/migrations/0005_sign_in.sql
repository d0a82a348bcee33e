-- Signing in with a password: sessions, tokens that end with them, and the guards against guessing.

create table sign_in_sessions (
    id text not null primary key,
    user_id text not null references users (id),
    created_at bigint not null,
    renewed_at bigint not null,
    expires_at bigint not null,
    ends_at bigint not null,
    family_digest bytea not null,
    refresh_digest bytea not null,
    remote_address text not null,
    user_agent text not null
);
create index sign_in_sessions_page on sign_in_sessions (user_id, created_at, id);
create index sign_in_sessions_expiry on sign_in_sessions (expires_at);

alter table iam_tokens add column sign_in_session_id text;
create index iam_tokens_session on iam_tokens (sign_in_session_id)
    where sign_in_session_id is not null;

create table sign_in_guards (
    holder text not null primary key,
    failures bytea not null,
    blocked_until bigint,
    forgettable_at bigint not null
);
create index sign_in_guards_forgettable on sign_in_guards (forgettable_at);
