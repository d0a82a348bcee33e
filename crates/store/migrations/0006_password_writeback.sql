-- Password changes that wait for a directory, and the streams that agents receive them by. A change
-- that ended keeps no password, only a digest of its answer, for a while.

create table password_writebacks (
    operation_id text not null primary key,
    userpool_id text not null references userpools (id),
    user_id text not null references users (id),
    external_user_id text not null,
    position bigint not null,
    cause text not null check (cause in ('OWN_CHANGE', 'RESET', 'REQUIRED_CHANGE')),
    sealed_new bytea,
    sealed_old bytea,
    argon2 text,
    kind text not null check (kind in ('TEMPORARY', 'PERMANENT')),
    is_generated boolean not null,
    replaces text,
    kept_token_id text,
    kept_session_id text,
    created_at bigint not null,
    deadline bigint not null,
    delivered_at bigint,
    ended_at bigint,
    answer_digest bytea,
    check (ended_at is not null or (sealed_new is not null and argon2 is not null)),
    check (ended_at is null or (sealed_new is null and sealed_old is null and argon2 is null))
);
create unique index password_writebacks_user on password_writebacks (user_id)
    where ended_at is null;
create unique index password_writebacks_position on password_writebacks (userpool_id, position);
create index password_writebacks_deadline on password_writebacks (deadline)
    where ended_at is null;
create index password_writebacks_ended on password_writebacks (ended_at)
    where ended_at is not null;
create index password_writebacks_of_user on password_writebacks (user_id);

create table password_change_streams (
    userpool_id text not null primary key references userpools (id),
    head bigint not null,
    holder_agent_id text,
    holder_stream_id text,
    lease_until bigint,
    check ((holder_agent_id is null) = (holder_stream_id is null)),
    check ((holder_agent_id is null) = (lease_until is null))
);
