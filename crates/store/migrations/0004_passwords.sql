-- Passwords that people set: earlier ones, which must not come back, and the last use of the present
-- one.

create table password_history (
    id text not null primary key,
    user_id text not null references users (id),
    form text not null check (form in ('ARGON2_NT_HASH', 'ARGON2_PASSWORD', 'FOREIGN')),
    hash text not null,
    scheme text
        check (scheme in ('PBKDF2_SHA256', 'PBKDF2_SHA256_OPENLDAP', 'PBKDF2_SHA512', 'PKCS5S2')),
    replaced_at bigint not null
);
create index password_history_user on password_history (user_id, replaced_at, id);

alter table passwords add column last_used_at bigint;
alter table passwords add column last_used_address text;
