// Drives a running hub with the unmodified official SDK for Node.js, over TLS.
//
// Usage: scenario.mjs NODE_MODULES KEY_FILE CA_FILE HOST:PORT ORGANIZATION_ID
//
// The SDK asks no endpoint discovery: it has a table of the vendor's addresses, a client may be
// given another one, but its own request for a token always looks into the table. So the address of
// the token service is set in the table, as a program does that uses a service account key with a
// hub of its own; every other client is given the address of the hub. That request takes no
// certificates either: it trusts what NODE_EXTRA_CA_CERTS or GRPC_DEFAULT_SSL_ROOTS_FILE_PATH name.
//
// Prints one line for each check and how many ran; ends with 1 when one failed.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { strict as assert } from 'node:assert';

const CHECKS_MIN = 20;
const IDP = 'yandex.cloud.organizationmanager.v1.idp';
const UNAUTHENTICATED = 'UNAUTHENTICATED';
const INVALID_ARGUMENT = 'INVALID_ARGUMENT';
const FAILED_PRECONDITION = 'FAILED_PRECONDITION';
const NT_HASH = '31d6cfe0d16ae931b73c59d7e0c089c0';

const [modules, keyPath, caPath, address, organizationId] = process.argv.slice(2);
const require = createRequire(join(modules, 'any.cjs'));
const { Session, waitForOperation } = require('@yandex-cloud/nodejs-sdk');
const manager = require('@yandex-cloud/nodejs-sdk/organizationmanager-v1');
const { operationService } = require('@yandex-cloud/nodejs-sdk/operation');
const table = require(
    join(modules, '@yandex-cloud/nodejs-sdk/dist/service-endpoints-map.json'),
);
table['yandex.cloud.iam.v1.IamTokenService'] = address;

const sessions = manager.synchronizationSessionService;
const pools = manager.userpoolService;
const users = manager.idpUserService;
const { SessionType } = manager.synchronizationSettings;

const key = JSON.parse(readFileSync(keyPath, 'utf8'));
const ssl = { rootCerts: readFileSync(caPath) };
const serviceAccountJson = {
    serviceAccountId: key.service_account_id,
    accessKeyId: key.id,
    privateKey: key.private_key,
};
const session = new Session({ serviceAccountJson, ssl, pollInterval: 100 });
const client = (kind) => session.client(kind, address);

let passed = 0;
const failed = [];

async function check(name, body) {
    try {
        const result = await body();
        passed += 1;
        console.log(`ok      ${name}`);
        return result;
    } catch (error) {
        failed.push(name);
        console.log(`FAILED  ${name}: ${error.stack ?? error}`);
        return undefined;
    }
}

// Makes a call that must fail with `code`, which the SDK puts behind the path of the call.
async function refused(code, call) {
    let answer;
    try {
        answer = await call();
    } catch (error) {
        assert.match(error.message, new RegExp(`^/[A-Za-z./0-9]+ ${code}: .+`));
        return;
    }
    throw new Error(`succeeded: ${JSON.stringify(answer)}`);
}

// Waits with the SDK's own waiter; returns metadata and response, decoded. Both are named by the
// file of the contract they stand in and their name.
async function wait(operation, metadata, response) {
    const done = await waitForOperation(operation, session, 60_000, address);
    assert.equal(done.done, true);
    const open = (any, [file, name]) => {
        assert.equal(any.typeUrl, `type.googleapis.com/${IDP}.${name}`);
        return file[name].decode(any.value);
    };
    return [open(done.metadata, metadata), response && open(done.response, response)];
}

async function people() {
    const poolClient = client(pools.UserpoolServiceClient);
    const made = await check('a pool is created', async () => {
        const request = pools.CreateUserpoolRequest.fromPartial({
            organizationId,
            name: 'node',
            defaultSubdomain: 'node',
            labels: { sdk: 'node' },
        });
        const operation = await poolClient.create(request);
        const [metadata, pool] = await wait(
            operation,
            [pools, 'CreateUserpoolMetadata'],
            [manager.userpool, 'Userpool'],
        );
        assert.equal(metadata.userpoolId, pool.id);
        assert.deepEqual(pool.labels, { sdk: 'node' });
        return pool;
    });
    assert.ok(made, 'without a pool nothing else can work');
    await check('the pool is found by its id', async () => {
        const request = pools.GetUserpoolRequest.fromPartial({ userpoolId: made.id });
        assert.equal((await poolClient.get(request)).name, 'node');
    });
    await check('the pool is listed', async () => {
        const request = pools.ListUserpoolsRequest.fromPartial({ organizationId });
        const listed = await poolClient.list(request);
        assert.deepEqual(
            listed.userpools.map((pool) => pool.id),
            [made.id],
        );
    });
    return made;
}

async function synchronization(pool) {
    const sessionClient = client(sessions.SynchronizationSessionServiceClient);
    const open = async (agentId) => {
        const request = sessions.OpenSessionRequest.fromPartial({
            subjectContainerId: pool.id,
            agentId,
            sessionType: SessionType.AD_SYNC,
        });
        const operation = await sessionClient.openSession(request);
        return wait(operation, [sessions, 'OpenSessionMetadata'], [sessions, 'OpenSessionResponse']);
    };
    const opened = await check('a session is opened', async () => {
        const [metadata, response] = await open('node-agent');
        assert.equal(response.result, sessions.OpenSessionResult.SUCCESS);
        assert.equal(metadata.sessionId, response.openedSession.sessionId);
        assert.equal(response.openedSession.status, sessions.SessionStatus.OPENED);
        assert.equal(response.openedSession.syncMode, sessions.SyncMode.FULL_SYNC);
        assert.ok(response.openedSession.expiresAt > response.openedSession.createdAt);
        return response.openedSession;
    });
    assert.ok(opened, 'without a session nothing else can work');
    const { sessionId } = opened;
    const get = async () => {
        const request = sessions.GetSessionRequest.fromPartial({ sessionId });
        return (await sessionClient.getSession(request)).session;
    };
    await check('another agent is told who works', async () => {
        const [, response] = await open('other-agent');
        assert.equal(response.result, sessions.OpenSessionResult.OPENED_SESSION_EXISTS);
        assert.equal(response.openedSession.agentId, 'node-agent');
    });
    await check('a heartbeat extends the lease', async () => {
        const before = (await get()).expiresAt;
        const request = sessions.HeartbeatRequest.fromPartial({ sessionId });
        await wait(await sessionClient.heartbeat(request), [sessions, 'HeartbeatMetadata']);
        assert.ok((await get()).expiresAt >= before);
    });
    await check('progress is reported', async () => {
        const changeInfo = [
            { changeType: sessions.ChangeType.CREATE, successful: 2 ** 40, failed: 1 },
        ];
        const request = sessions.ReportSessionProgressRequest.fromPartial({
            sessionId,
            progressEntries: [{ objectType: sessions.RelatedObjectType.USER, changeInfo }],
        });
        const operation = await sessionClient.reportSessionProgress(request);
        const [metadata, reported] = await wait(
            operation,
            [sessions, 'ReportSessionProgressMetadata'],
            [sessions, 'SynchronizationSession'],
        );
        assert.equal(metadata.sessionId, sessionId);
        assert.equal(reported.progressEntries[0].changeInfo[0].successful, 2 ** 40);
        assert.deepEqual((await get()).progressEntries, reported.progressEntries);
    });
    await check('a report without entries is refused', () =>
        refused(INVALID_ARGUMENT, () =>
            sessionClient.reportSessionProgress(
                sessions.ReportSessionProgressRequest.fromPartial({ sessionId }),
            ),
        ),
    );
    await check('a session without a type is refused', () =>
        refused(INVALID_ARGUMENT, () =>
            sessionClient.openSession(
                sessions.OpenSessionRequest.fromPartial({
                    subjectContainerId: pool.id,
                    agentId: 'node-agent',
                }),
            ),
        ),
    );
    return { sessionClient, sessionId, get };
}

async function userList(pool) {
    const userClient = client(users.UserServiceClient);
    const ids = [];
    for (const number of [1, 2, 3]) {
        await check(`user ${number} is created`, async () => {
            const request = users.CreateUserRequest.fromPartial({
                userpoolId: pool.id,
                username: `node${number}@${pool.domains[0]}`,
                fullName: `Пользователь ${number}`,
                externalId: `external-${number}`,
                isActive: number !== 3,
                passwordHash: {
                    passwordHash: NT_HASH,
                    passwordHashType: users.PasswordHash_PasswordHashType.AD_MD4,
                },
            });
            const operation = await userClient.create(request);
            const [metadata, user] = await wait(
                operation,
                [users, 'CreateUserMetadata'],
                [manager.user, 'User'],
            );
            assert.equal(metadata.userId, user.id);
            assert.equal(user.fullName, `Пользователь ${number}`);
            ids.push(user.id);
        });
    }
    await check('users are listed page by page', async () => {
        const found = [];
        let pageToken = '';
        do {
            const request = users.ListUsersRequest.fromPartial({
                userpoolId: pool.id,
                pageSize: 2,
                pageToken,
            });
            const page = await userClient.list(request);
            assert.ok(page.users.length <= 2);
            found.push(...page.users);
            pageToken = page.nextPageToken;
        } while (pageToken !== '' && found.length < 10);
        assert.deepEqual(
            found.map((user) => user.id),
            ids,
        );
        assert.equal(found[2].status, manager.user.User_Status.SUSPENDED);
    });
    await check('users are filtered', async () => {
        const request = users.ListUsersRequest.fromPartial({
            userpoolId: pool.id,
            filter: `username = "node2@${pool.domains[0]}"`,
        });
        assert.deepEqual(
            (await userClient.list(request)).users.map((user) => user.id),
            [ids[1]],
        );
    });
    await check('external ids are resolved', async () => {
        const request = users.ResolveExternalIdsRequest.fromPartial({
            userpoolId: pool.id,
            externalIds: ['external-3', 'nobody', 'external-1'],
        });
        const answer = await userClient.resolveExternalIds(request);
        assert.deepEqual(
            answer.resolvedUsers.map((user) => user.userId),
            [ids[2], ids[0]],
        );
    });
    await check('an update follows its mask', async () => {
        const request = users.UpdateUserRequest.fromPartial({
            userId: ids[0],
            updateMask: { paths: ['department'] },
            department: 'Engineering',
            fullName: 'Not named',
        });
        const [, user] = await wait(
            await userClient.update(request),
            [users, 'UpdateUserMetadata'],
            [manager.user, 'User'],
        );
        assert.deepEqual([user.department, user.fullName], ['Engineering', 'Пользователь 1']);
    });
}

async function end({ sessionClient, sessionId, get }) {
    const close = () =>
        sessionClient.closeSession(sessions.CloseSessionRequest.fromPartial({ sessionId }));
    const { COMPLETED, PENDING } = sessions.SessionStatus;
    await check('the session is closed', async () => {
        const [, closed] = await wait(
            await close(),
            [sessions, 'CloseSessionMetadata'],
            [sessions, 'SynchronizationSession'],
        );
        assert.ok([COMPLETED, PENDING].includes(closed.status), `${closed.status}`);
        assert.ok(closed.closedAt);
        assert.equal((await get()).sessionId, sessionId);
    });
    await check('a closed session takes no report', () =>
        refused(FAILED_PRECONDITION, () =>
            sessionClient.reportSessionProgress(
                sessions.ReportSessionProgressRequest.fromPartial({
                    sessionId,
                    progressEntries: [
                        {
                            objectType: sessions.RelatedObjectType.USER,
                            changeInfo: [
                                { changeType: sessions.ChangeType.CREATE, successful: 1 },
                            ],
                        },
                    ],
                }),
            ),
        ),
    );
    await check('an operation is read by its id', async () => {
        const operation = await close();
        const request = operationService.GetOperationRequest.fromPartial({
            operationId: operation.id,
        });
        const stored = await client(operationService.OperationServiceClient).get(request);
        assert.deepEqual([stored.id, stored.done], [operation.id, true]);
    });
}

async function main() {
    await check('the organization is listed', async () => {
        const kind = manager.organizationService;
        const request = kind.ListOrganizationsRequest.fromPartial({});
        const answer = await client(kind.OrganizationServiceClient).list(request);
        assert.deepEqual(
            answer.organizations.map((item) => item.id),
            [organizationId],
        );
    });
    await check('a wrong token is UNAUTHENTICATED', async () => {
        const stranger = new Session({ iamToken: 't1.no-token', ssl });
        const request = pools.ListUserpoolsRequest.fromPartial({ organizationId });
        await refused(UNAUTHENTICATED, () =>
            stranger.client(pools.UserpoolServiceClient, address).list(request),
        );
    });
    const pool = await people();
    const run = await synchronization(pool);
    await userList(pool);
    await end(run);
}

try {
    await main();
} catch (error) {
    console.log(`the scenario ends early: ${error.stack ?? error}`);
    failed.push('the scenario');
}
const total = passed + failed.length;
console.log(`${total} checks ran, ${failed.length} failed`);
if (total < CHECKS_MIN) console.log(`at least ${CHECKS_MIN} checks were expected`);
process.exit(failed.length > 0 || total < CHECKS_MIN ? 1 : 0);
