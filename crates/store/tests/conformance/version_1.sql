-- Rows of every table of the first schema. {bytes} stands for two bytes in the form of the engine.
insert into organizations values ('bpf1', 'acme', 'Acme', 'makes all', '', 1, 2);
insert into userpools values ('ek01', 'bpf1', 'staff', '', '', 'ACTIVE', 5, false, 128, 4, 'SMART',
    '0', 0, 365, 600000000, 600000000, 15, true, 1, 2);
insert into userpool_domains values ('staff.example', 'ek01', 'VALID', 1, 2, true, null, null, null, null);
insert into userpool_domains values ('acme.example', 'ek01', 'NEED_TO_VALIDATE', 1, null, false,
    'challenge', 'PENDING', 3, 4);
insert into users values ('aje1', 'ek01', 'Ann@staff.example', 'ann@staff.example', 'ACTIVE', 0, '',
    'Ann', '', '', 'ann@mail.example', '+1', '', '', '', '', 'guid-1', 9, 1, 2);
insert into users values ('aje2', 'ek01', 'bob@staff.example', 'bob@staff.example', 'SUSPENDED', 1,
    'left', 'Bob', '', '', '', '', '', '', '', '', null, null, 1, 2);
insert into passwords values ('aje3', 'aje1', 'SEALED_NT_HASH', {bytes}, null, null, 'PERMANENT', 1,
    2, null, 'sys1', 0);
insert into passwords values ('aje4', 'aje2', 'FOREIGN', null, 'text', 'PKCS5S2', 'TEMPORARY', null,
    2, 3, null, 4);
insert into groups values ('aje5', 'bpf1', 'all', '', '', null, null, 1, 2);
insert into groups values ('aje6', 'bpf1', 'ext', '', '', 'ek01', 'guid-2', 1, 2);
insert into memberships values ('aje6', 'aje1', 3);
insert into sync_sessions values ('sys1', 'ek01', 'AD_SYNC', 'agent-1', 'aje9', 1, 2, null,
    'FULL_SYNC', 'OPENED', '', '', null);
insert into sync_settings values ('ek01', 'corp', '', '', '', 'BLOCK', 900000000, true, false, '', '',
    false, null, 1, 2, 7);
insert into replication_tokens values ('ek01', 'AD_SYNC', 'cookie', null, 5);
insert into operations values ('ops1', 'Create a user', 1, 'aje9', 2, 'a.Metadata', {bytes},
    'RESPONSE', 'a.User', {bytes}, null, null, 'user', 'aje1', 'ek01');
insert into operations values ('ops2', 'Update a user', 3, 'aje9', 4, 'a.Metadata', {bytes}, 'ERROR',
    null, {bytes}, 9, 'no', 'user', 'aje1', 'ek01');
insert into idempotency_keys values ('aje9', '/a.B/C', 'key', {bytes}, 'ops1', 1);
insert into service_accounts values ('aje9', 'bpf1', 'agent', 'reads', 1);
insert into service_account_keys values ('aje8', 'aje9', 'PEM', 1);
insert into iam_tokens values ({bytes}, 'aje9', 'serviceAccount', 1, 2);
insert into access_bindings values ('organization', 'bpf1', 'aje9', 'serviceAccount',
    'organization-manager.admin');
