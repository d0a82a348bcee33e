-- The first schema. One text for SQLite and PostgreSQL: `bytea` becomes `blob` on SQLite, and
-- `text` gets the C collation on PostgreSQL. Time is microseconds since 1970 in UTC.

create table organizations (
    id text not null primary key,
    name text not null,
    title text not null,
    description text not null,
    labels text not null,
    created_at bigint not null,
    updated_at bigint not null
);
create unique index organizations_name on organizations (name);
create index organizations_page on organizations (created_at, id);

create table userpools (
    id text not null primary key,
    organization_id text not null references organizations (id),
    name text not null,
    description text not null,
    labels text not null,
    status text not null check (status in ('CREATING', 'ACTIVE', 'DELETING')),
    user_settings bigint not null,
    quality_allow_similar boolean not null,
    quality_max_length bigint not null,
    quality_match_length bigint not null,
    complexity text not null check (complexity in ('FIXED', 'SMART')),
    complexity_numbers text not null,
    password_min_days bigint not null,
    password_max_days bigint not null,
    bruteforce_window_micros bigint not null,
    bruteforce_block_micros bigint not null,
    bruteforce_attempts bigint not null,
    check_common_passwords boolean not null,
    created_at bigint not null,
    updated_at bigint not null
);
create unique index userpools_name on userpools (organization_id, name);
create index userpools_page on userpools (organization_id, created_at, id);

create table userpool_domains (
    name text not null primary key,
    userpool_id text not null references userpools (id),
    status text not null
        check (status in ('NEED_TO_VALIDATE', 'VALIDATING', 'VALID', 'INVALID', 'DELETING')),
    created_at bigint not null,
    validated_at bigint,
    deletion_protection boolean not null,
    challenge_value text,
    challenge_status text
        check (challenge_status in ('PENDING', 'PROCESSING', 'VALID', 'INVALID')),
    challenge_created_at bigint,
    challenge_updated_at bigint
);
create index userpool_domains_page on userpool_domains (userpool_id, created_at, name);

create table users (
    id text not null primary key,
    userpool_id text not null references userpools (id),
    username text not null,
    username_folded text not null,
    status text not null check (status in ('ACTIVE', 'SUSPENDED', 'DELETING', 'CREATING')),
    suspension bigint not null,
    suspend_reason text not null,
    full_name text not null,
    given_name text not null,
    family_name text not null,
    email text not null,
    phone_number text not null,
    company_name text not null,
    department text not null,
    job_title text not null,
    employee_id text not null,
    external_id text,
    expires_at bigint,
    created_at bigint not null,
    updated_at bigint not null
);
create unique index users_username on users (userpool_id, username_folded);
create unique index users_external_id on users (userpool_id, external_id)
    where external_id is not null;
create index users_page on users (userpool_id, created_at, id);
create index users_expiry on users (expires_at) where expires_at is not null;

create table passwords (
    id text not null primary key,
    user_id text not null references users (id),
    form text not null
        check (form in ('SEALED_NT_HASH', 'ARGON2_NT_HASH', 'ARGON2_PASSWORD', 'FOREIGN')),
    sealed bytea,
    hash text,
    scheme text
        check (scheme in ('PBKDF2_SHA256', 'PBKDF2_SHA256_OPENLDAP', 'PBKDF2_SHA512', 'PKCS5S2')),
    kind text not null check (kind in ('TEMPORARY', 'PERMANENT')),
    created_at bigint,
    stored_at bigint not null,
    expires_at bigint,
    session_id text,
    claimed_until bigint not null
);
create unique index passwords_user on passwords (user_id);
create index passwords_queue on passwords (stored_at, id) where form = 'SEALED_NT_HASH';
create index passwords_session on passwords (session_id) where form = 'SEALED_NT_HASH';

create table groups (
    id text not null primary key,
    organization_id text not null references organizations (id),
    name text not null,
    description text not null,
    labels text not null,
    subject_container_id text references userpools (id),
    external_id text,
    created_at bigint not null,
    updated_at bigint not null,
    check ((subject_container_id is null) = (external_id is null))
);
create unique index groups_name on groups (organization_id, name);
create unique index groups_external on groups (subject_container_id, external_id)
    where external_id is not null;
create index groups_page on groups (organization_id, created_at, id);
create index groups_external_page on groups (subject_container_id, created_at, id)
    where external_id is not null;

create table memberships (
    group_id text not null references groups (id),
    user_id text not null references users (id),
    created_at bigint not null,
    primary key (group_id, user_id)
);
create index memberships_page on memberships (group_id, created_at, user_id);
create index memberships_user on memberships (user_id, created_at, group_id);

create table sync_sessions (
    id text not null primary key,
    subject_container_id text not null references userpools (id),
    session_type text not null
        check (session_type in ('AD_SYNC', 'AD_PASSWORD_HASH', 'AD_USER_CONTROL', 'LDAP_SYNC')),
    agent_id text not null,
    opened_by text not null,
    created_at bigint not null,
    expires_at bigint not null,
    closed_at bigint,
    sync_mode text not null check (sync_mode in ('FULL_SYNC', 'DELTA')),
    status text not null
        check (status in ('OPENED', 'PENDING', 'COMPLETED', 'FAILED', 'EXPIRED')),
    progress text not null,
    fail_reason text not null,
    settings_revision bigint
);
create unique index sync_sessions_opened on sync_sessions (subject_container_id, session_type)
    where status = 'OPENED';
create index sync_sessions_page on sync_sessions (subject_container_id, created_at, id);
create index sync_sessions_type
    on sync_sessions (subject_container_id, session_type, status, created_at, id);
create index sync_sessions_lease on sync_sessions (expires_at) where status = 'OPENED';
create index sync_sessions_pending on sync_sessions (id) where status = 'PENDING';

create table sync_settings (
    subject_container_id text not null primary key references userpools (id),
    filter_domain text not null,
    filter_groups text not null,
    filter_organization_units text not null,
    replacement_domain text not null,
    remove_user_behavior text not null check (remove_user_behavior in ('REMOVE', 'BLOCK')),
    interval_micros bigint not null,
    allow_to_capture_users boolean not null,
    allow_to_capture_groups boolean not null,
    user_mappings text not null,
    group_mappings text not null,
    enable_password_writeback boolean not null,
    ldap text,
    created_at bigint not null,
    updated_at bigint not null,
    revision bigint not null
);

create table replication_tokens (
    subject_container_id text not null references userpools (id),
    session_type text not null
        check (session_type in ('AD_SYNC', 'AD_PASSWORD_HASH', 'AD_USER_CONTROL', 'LDAP_SYNC')),
    token text,
    full_run_demanded_at bigint,
    updated_at bigint not null,
    primary key (subject_container_id, session_type)
);

create table operations (
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
        check (resource_kind in ('organization', 'userpool', 'group', 'user', 'synchronization')),
    resource_id text not null,
    parent_id text not null
);
create index operations_resource on operations (resource_kind, resource_id, created_at, id);
create index operations_age on operations (created_at);

create table idempotency_keys (
    subject_id text not null,
    method text not null,
    idempotency_key text not null,
    request_digest bytea not null,
    operation_id text not null,
    created_at bigint not null,
    primary key (subject_id, method, idempotency_key)
);
create index idempotency_keys_age on idempotency_keys (created_at);

create table service_accounts (
    id text not null primary key,
    organization_id text not null references organizations (id),
    name text not null,
    description text not null,
    created_at bigint not null
);
create unique index service_accounts_name on service_accounts (organization_id, name);
create index service_accounts_page on service_accounts (organization_id, created_at, id);

create table service_account_keys (
    id text not null primary key,
    service_account_id text not null references service_accounts (id),
    public_key_pem text not null,
    created_at bigint not null
);
create index service_account_keys_page
    on service_account_keys (service_account_id, created_at, id);

create table iam_tokens (
    digest bytea not null primary key,
    subject_id text not null,
    subject_kind text not null
        check (subject_kind in
            ('userAccount', 'serviceAccount', 'federatedUser', 'system', 'group')),
    created_at bigint not null,
    expires_at bigint not null
);
create index iam_tokens_subject on iam_tokens (subject_id);
create index iam_tokens_expiry on iam_tokens (expires_at);

create table access_bindings (
    resource_kind text not null check (resource_kind in ('organization', 'userpool', 'group')),
    resource_id text not null,
    subject_id text not null,
    subject_kind text not null
        check (subject_kind in
            ('userAccount', 'serviceAccount', 'federatedUser', 'system', 'group')),
    role text not null,
    primary key (resource_kind, resource_id, subject_id, role)
);
create index access_bindings_subject on access_bindings (subject_id);
