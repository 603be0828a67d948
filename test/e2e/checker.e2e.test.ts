/** Two rooms whose checkers compare them: agreed, tampered with, silenced, and ended in the middle. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, test } from 'node:test';
import { credentials } from '@grpc/grpc-js';
import {
  CheckerClient,
  type CheckerStatus,
  type CompareProgress,
  type DriftReport,
  type ListDriftsResponse,
  type PeerVerification,
  type RepairProgress,
  type TraceResponse,
} from '../../proto/gen/wmb/v1/checker.ts';
import { Wait } from '../../proto/gen/wmb/v1/writes.ts';
import { unary } from '../harness/clients.ts';
import { cacheWrite, QUICK_LINK, Scene, until as untilWithin } from './scene.ts';

const QUICK_CHECKER = { roundMs: 200, graceMs: 500, sweepMs: 3_000, canaryMs: 200, silenceMsMax: 2_000 };

/** The checker takes a twentieth of a processor: on a busy machine a sweep takes its time. */
const WAIT_MS_MAX = 80_000;

function until<T>(what: string, probe: () => Promise<T | undefined | false>): Promise<T> {
  return untilWithin(what, probe, WAIT_MS_MAX);
}

const scene = await Scene.open({
  count: 2,
  mode: 'independent',
  partitions: 4,
  daemons: ['reship', 'collector', 'checker'],
  roomSettings: { link: QUICK_LINK, checker: QUICK_CHECKER },
});
const checkers = scene.rooms.rooms.map((room) => new CheckerClient(room.checker.grpc, credentials.createInsecure()));
await scene.submit(
  0,
  Array.from({ length: 60 }, (_, n) => cacheWrite(`k${n}`, [['SET', `k${n}`, `v${n}`]])),
  Wait.WAIT_EVERYWHERE,
);

after(() => {
  for (const checker of checkers) checker.close();
});

function at(index: number): CheckerClient {
  const checker = checkers[index];
  assert.ok(checker);
  return checker;
}

function status(index: number): Promise<CheckerStatus> {
  return unary((answer) => at(index).getStatus({}, answer));
}

async function verification(index: number): Promise<PeerVerification> {
  const [peer] = (await status(index)).peers;
  assert.ok(peer);
  return peer;
}

async function reports(index: number, wanted = 'open'): Promise<readonly DriftReport[]> {
  const { drifts: found } = await unary<ListDriftsResponse>((answer) =>
    at(index).listDrifts({ status: wanted, limit: 100, id: '' }, answer),
  );
  return found;
}

/** Without the alarms: there is one whenever a busy machine stands still. */
async function drifts(index: number, wanted = 'open'): Promise<readonly DriftReport[]> {
  return (await reports(index, wanted)).filter(({ kind }) => kind !== 'stuck');
}

function alarm(index: number, subject: string): Promise<DriftReport> {
  return until(`the alarm ${subject}`, async () =>
    (await reports(index)).find((report) => report.kind === 'stuck' && report.subject === subject),
  );
}

async function noAlarms(index: number): Promise<void> {
  await until(`room ${index} has no alarm`, async () => (await reports(index)).every(({ kind }) => kind !== 'stuck'));
}

/** Waits for a round that began after now and verified the rooms. */
async function verifiedAnew(index: number): Promise<void> {
  const sinceMs = (await status(index)).nowMs;
  await until(`room ${index} is verified`, async () => {
    const { verifiedMs, reason } = await verification(index);
    return reason === '' && verifiedMs > sinceMs + QUICK_CHECKER.roundMs;
  });
}

async function repair(index: number, ids: string[], apply: boolean): Promise<RepairProgress[]> {
  const steps: RepairProgress[] = [];
  for await (const step of at(index).repair({ ids, all: false, apply, limit: 0, from: '', by: 'test' })) steps.push(step as RepairProgress);
  return steps;
}

async function compare(index: number, peer: string, prefix = ''): Promise<CompareProgress> {
  const all: CompareProgress[] = [];
  for await (const step of at(index).compare({ peer, prefix })) all.push(step as CompareProgress);
  const last = all.at(-1);
  assert.ok(last?.done);
  return { ...last, keys: all.flatMap(({ keys }) => keys) };
}

function inCache(index: number, change: (database: DatabaseSync) => void): void {
  const database = new DatabaseSync(join(scene.room(index).directory, 'cache', 'cache.db'), { timeout: 5_000 });
  change(database);
  database.close();
}

test('both rooms’ checkers verify each other, count the keys and report no drift', async () => {
  for (const index of [0, 1]) {
    await verifiedAnew(index);
    await noAlarms(index);
    const { keys, built, open } = await status(index);
    assert.deepEqual({ keys, built, open }, { keys: 60, built: 1, open: 0 });
    await until('a canary has come', async () => (await verification(index)).canaryAgeMs < 2_000);
    assert.deepEqual(await drifts(index, 'all'), []);
  }
  const page = async () => (await fetch(`http://${scene.room(0).checker.http}/drifts.html`)).text();
  await until('the page says so', async () => /beijing ⇄ guangzhou<\/b> verified/.test(await page()));
  const json = (await (await fetch(`http://${scene.room(0).checker.http}/drifts`)).json()) as { drifts: readonly DriftReport[] };
  assert.deepEqual(
    json.drifts.filter(({ kind }) => kind !== 'stuck'),
    [],
  );
});

test('a key deleted behind WMB’s back is found by both checkers, repaired by that of its room, and verified again', async () => {
  inCache(1, (database) => database.prepare('DELETE FROM keys WHERE key = ?').run('k7'));
  const [drift] = await until('the drift is found in both rooms', async () => {
    const [here, there] = [await drifts(0), await drifts(1)];
    return here.length > 0 && there.length > 0 && here;
  });
  assert.deepEqual([drift?.kind, drift?.subject, drift?.wrong, drift?.repair?.from], ['missing', 'k7', 'guangzhou', 'beijing']);
  assert.equal((await drifts(1))[0]?.id, drift?.id);
  assert.equal((await repair(1, [drift?.id ?? ''], false))[0]?.result, 'planned');
  assert.equal(await scene.value(1, 'k7'), undefined);
  assert.equal((await repair(1, [drift?.id ?? ''], true)).at(-1)?.result, 'repaired');
  assert.equal(await scene.value(1, 'k7'), 'v7');
  await until('the other checker sees it too', async () => (await drifts(0)).length === 0);
  assert.deepEqual(
    (await drifts(1, 'all')).map(({ status: closed }) => closed),
    ['repaired'],
  );
  for (const index of [0, 1]) await verifiedAnew(index);
});

test('a comparison of everything, or of a prefix, tells a difference at once', async () => {
  assert.deepEqual(await compare(0, 'guangzhou'), { compared: 60, different: 0, keys: [], done: true });
  inCache(1, (database) => database.prepare("UPDATE keys SET value = 'tampered' WHERE key = ?").run('k11'));
  const { compared, different, keys } = await compare(0, 'guangzhou', 'k1');
  assert.deepEqual({ compared, different }, { compared: 11, different: 1 });
  assert.deepEqual(
    keys.map(({ key, verdict, sides }) => [key, verdict, ...sides.map(({ shows }) => shows)]),
    [['k11', 'difference', '"v11"', '"tampered"']],
  );
  assert.equal((await compare(1, 'beijing', 'k2')).different, 0);
  inCache(1, (database) => database.prepare("UPDATE keys SET value = 'v11' WHERE key = ?").run('k11'));
  await until('what it had found is healed', async () => (await drifts(0)).length === 0 && (await drifts(1)).length === 0);
});

test('a write request is traced in its origin and, by its position, in the peer', async () => {
  const [result] = await scene.submit(0, [cacheWrite('traced', [['SET', 'traced', '1']], 'trace-me')], Wait.WAIT_EVERYWHERE);
  const trace = (index: number, write: string) => unary<TraceResponse>((answer) => at(index).trace({ write }, answer));
  const { write, hops, payload } = await trace(0, 'trace-me');
  assert.equal(write?.position, result?.position);
  assert.equal(payload.toString(), '[["SET","traced","1"]]');
  assert.equal(hops[0]?.what, 'applied');
  await assert.rejects(trace(1, 'trace-me'), /NOT_FOUND|no write request with the request id/);
  const there = await trace(1, result?.position ?? '');
  assert.deepEqual([there.write, there.hops[0]?.room, there.hops[0]?.what], [undefined, 'guangzhou', 'applied']);
});

test('a peer’s checker that is cut off is not verified, then an alarm, and verified again when the line is back', async () => {
  scene.room(1).checkerProxy.cut();
  await until('the reason is said', async () => (await verification(0)).reason.startsWith('PEER_UNREACHABLE: checker of guangzhou at'));
  await alarm(0, 'checker/guangzhou');
  scene.room(1).checkerProxy.heal();
  await verifiedAnew(0);
  await noAlarms(0);
});

test('while this room’s collector is down nothing is confirmed and no peer is blamed; its return is noticed', async () => {
  await scene.rooms.end(scene.room(0), 'collector', 'SIGKILL');
  await scene.submit(1, [cacheWrite('meanwhile', [['SET', 'meanwhile', '1']])]);
  await until('the reason is said', async () => /UNREACHABLE: collector of beijing/.test((await verification(0)).reason));
  await alarm(0, 'collector/beijing');
  assert.equal((await fetch(`http://${scene.room(0).checker.http}/readyz`)).status, 503);
  await scene.rooms.start(scene.room(0), 'collector');
  for (const index of [0, 1]) await verifiedAnew(index);
  for (const index of [0, 1]) await noAlarms(index);
  const told = [...(await drifts(0, 'all')), ...(await drifts(1, 'all'))];
  assert.deepEqual(
    told.map(({ subject }) => subject).filter((subject) => !['k7', 'k11'].includes(subject)),
    [],
  );
});

test('a checker that is killed goes on where it was; one that is told to end exits with 0; a second one of the room is refused', async () => {
  const before = (await drifts(1, 'all')).length;
  await scene.restart(1, 'checker', 'SIGKILL');
  await verifiedAnew(1);
  assert.equal((await drifts(1, 'all')).length, before);
  const second = await scene.wmb(1, 'checker');
  assert.equal(second.code, 6);
  assert.match(second.stderr, /STORE_LOCKED|PORT_IN_USE/);
  assert.equal(await scene.restart(1, 'checker', 'SIGTERM'), 0);
  await verifiedAnew(1);
});
