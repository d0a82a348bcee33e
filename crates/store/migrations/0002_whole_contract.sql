-- The whole contract: service accounts that can be disabled, proofs of domains, access policies, and
-- the audit trail. Tables whose checks grow are made anew, because SQLite cannot change a check.

alter table service_accounts add column disabled_at bigint;
alter table service_accounts add column updated_at bigint not null default 0;
update service_accounts set updated_at = created_at;

alter table service_account_keys add column description text not null default '';
alter table service_account_keys add column disabled_at bigint;
alter table service_account_keys add column last_used_at bigint;

alter table iam_tokens add column id text not null default '';
alter table iam_tokens add column impersonator_id text;
alter table iam_tokens add column impersonator_kind text;
create index iam_tokens_impersonator on iam_tokens (impersonator_id)
    where impersonator_id is not null;

alter table userpool_domains add column last_failure text;
alter table userpool_domains add column validation_operation_id text;
alter table userpool_domains add column validation_started_at bigint;
alter table userpool_domains add column next_attempt_at bigint;
alter table userpool_domains add column claimed_until bigint;
create index userpool_domains_attempts on userpool_domains (next_attempt_at)
    where next_attempt_at is not null;

create table operations_with_more_kinds (
    id text not null primary key,
    description text not null,
    created_at bigint not null,
    created_by text not null,
    modified_at bigint not null,
    metadata_type text not null,
    metadata_bytes bytea not null,
    outcome text not null check (outcome in ('RUNNING', 'RESPONSE', 'ERROR')),
    response_type text,
    response_bytes bytea,
    error_code bigint,
    error_message text,
    resource_kind text not null
        check (resource_kind in
            ('organization', 'userpool', 'group', 'user', 'synchronization', 'service_account')),
    resource_id text not null,
    parent_id text not null
);
insert into operations_with_more_kinds
    select id, description, created_at, created_by, modified_at, metadata_type, metadata_bytes,
        outcome, response_type, response_bytes, error_code, error_message, resource_kind,
        resource_id, parent_id
    from operations;
drop table operations;
alter table operations_with_more_kinds rename to operations;
create index operations_resource on operations (resource_kind, resource_id, created_at, id);
create index operations_age on operations (created_at);

create table access_policy_bindings (
    resource_kind text not null check (resource_kind in ('organization')),
    resource_id text not null,
    template_id text not null,
    parameters text not null,
    created_at bigint not null,
    primary key (resource_kind, resource_id, template_id)
);

create table audit_events (
    id text not null primary key,
    event_time bigint not null,
    event_source text not null,
    event_type text not null,
    event_status text not null
        check (event_status in ('STARTED', 'RUNNING', 'DONE', 'ERROR', 'CANCELLED')),
    organization_id text not null,
    userpool_id text not null,
    resource_id text not null,
    resource_path text not null,
    subject_id text not null,
    subject_kind text,
    subject_name text not null,
    token_id text,
    token_masked text not null,
    impersonator text not null,
    authorized boolean not null,
    remote_address text not null,
    remote_port bigint not null,
    user_agent text not null,
    request_id text not null,
    error_code bigint,
    error_message text,
    error_bytes bytea,
    details text not null,
    request_parameters text not null,
    response text not null
);
create index audit_events_organization on audit_events (organization_id, event_time, id);
create index audit_events_userpool on audit_events (userpool_id, event_time, id)
    where userpool_id <> '';
create index audit_events_resource on audit_events (resource_id, event_time, id);
create index audit_events_subject on audit_events (subject_id, event_time, id);
