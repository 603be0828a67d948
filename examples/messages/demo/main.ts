/**
 * `npm run demo`: real rooms, real daemons in processes of their own, real traffic. 59,835 private messages of a campus network are submitted in
 * the room where each user lives; on the way the link is cut, a collector is killed, and a poisoned write request arrives. At the end every room is
 * compared with every other and with what the file says.
 *
 *     npm run demo [-- --rooms 3] [--mode master-slave] [--file FILE] [--rate WRITES_PER_SECOND] [--keep]
 *
 * Exit code 0: everything that the table claims was checked and holds. 7: a check failed.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { asWmbError, ERRORS, EXIT } from '../../../core/errors.ts';
import { Wait } from '../../../proto/gen/wmb/v1/writes.ts';
import { allSettled, RoomClients, unary } from '../../../test/harness/clients.ts';
import { Rooms } from '../../../test/harness/rooms.ts';
import { expectedState } from '../expected.ts';
import { type Damage, loseFrame, tamper } from './damage.ts';
import { type DemoOptions, readOptions, readWrites, USAGE } from './options.ts';
import { allVerified, RepairAct } from './repair.ts';
import { Submitter } from './submit.ts';
import { type Check, verifyRooms } from './verify.ts';
import { LiveView } from './view.ts';

const CUT_MS = 4000;
const SETTLE_MS_MAX = 180_000;
const HERE = new URL('..', import.meta.url).pathname;
const FAULTY_COLLECTOR = new URL('faulty-collector.ts', import.meta.url).pathname;

interface Scene {
  readonly mode: DemoOptions['mode'];
  readonly rooms: Rooms;
  readonly clients: readonly RoomClients[];
  readonly submitters: readonly Submitter[];
  readonly view: LiveView;
}

async function run(options: DemoOptions, writes: ReturnType<typeof readWrites>, directory: string): Promise<readonly Check[]> {
  const { text, lists } = writes;
  process.stdout.write(
    `Starting ${options.rooms} rooms (${options.mode}), each a reship, a collector and a checker in processes of their own, below ${directory}\n`,
  );
  const rooms = await Rooms.prepare({
    count: options.rooms,
    mode: options.mode,
    directory,
    processorFile: join(HERE, 'processor.ts'),
    schemaFile: join(HERE, 'schema.sql'),
    daemons: ['reship', 'collector', 'checker'],
    // A demo has no minutes: what a room in service does within ten seconds and five minutes, its checkers do at once.
    roomSettings: { checker: { roundMs: 500, graceMs: 3_000, sweepMs: 4_000 } },
  });
  process.once('exit', () => rooms.killAll());
  await rooms.startAll({ [`${rooms.room(1).id}/collector`]: FAULTY_COLLECTOR });
  const clients = rooms.rooms.map((room) => new RoomClients(room));
  const submitters = clients.map((client, index) => new Submitter(client, lists[index] ?? []));
  const view = new LiveView({ clients, submitters, output: process.stdout });
  const scene: Scene = { mode: options.mode, rooms, clients, submitters, view };
  view.start();
  view.say(`submitting ${lists.flat().length} messages`);
  const [{ checks, poisoned }] = await Promise.all([trouble(scene), ...submitters.map((submitter) => submitter.run(options.rate))]);
  view.say('everything is submitted and acked; waiting until every room has applied it');
  await allSettled(clients, SETTLE_MS_MAX);
  view.say('every room has applied everything');
  await view.stop();
  const stamps = new Map(submitters.flatMap((submitter) => [...submitter.stamps]));
  const compared = await verifyRooms(clients, expectedState(text, stamps));
  const repaired = await damageAndRepair({ clients, text, stamps, poisoned });
  for (const client of clients) client.close();
  await rooms.stop();
  return [...checks, ...compared, ...repaired];
}

interface Settled {
  readonly clients: readonly RoomClients[];
  readonly text: string;
  readonly stamps: ReadonlyMap<string, string>;
  /** Positions of what is parked. */
  readonly poisoned: readonly string[];
}

/** Damages the second room and has it repaired; then both rooms must hold what the file says once more, and the messages that were lost on the way. */
async function damageAndRepair({ clients, text, stamps, poisoned }: Settled): Promise<readonly Check[]> {
  const [first, second] = clients as readonly [RoomClients, RoomClients];
  await allVerified(clients);
  process.stdout.write(
    `\nDamaging ${second.room.id}: its collector loses the effects of three messages, and somebody with a database shell deletes, changes and makes keys in its cache\n`,
  );
  const lines = text.split('\n');
  const lost = await loseFrame(first, second.room.id, lines.length);
  const parked: Damage[] = poisoned.map((subject) => ({ subject, room: '', kind: 'parked', cause: 'parked' }));
  const checks = await new RepairAct(clients, [...tamper(second), ...lost.damages, ...parked]).run();
  const after = await verifyRooms(clients, expectedState([...lines, ...lost.lines].join('\n'), new Map([...stamps, ...lost.stamps])));
  return [...checks, ...after.map((check) => ({ ...check, what: `repaired: ${check.what}` }))];
}

/** What goes wrong on the way, each at its share of the traffic. */
async function trouble(scene: Scene): Promise<{ readonly checks: readonly Check[]; readonly poisoned: readonly string[] }> {
  await reached(scene, 0.2);
  const cut = await cutLink(scene);
  await reached(scene, 0.45);
  const killed = await killCollector(scene);
  await reached(scene, 0.7);
  const poisoned = await poison(scene);
  return { checks: [cut, killed, ...poisoned.checks], poisoned: poisoned.positions };
}

async function cutLink({ rooms, clients, view }: Scene): Promise<Check> {
  const [near, far] = [rooms.room(0), rooms.room(1)];
  view.say(`cutting every connection between the rooms for ${CUT_MS / 1000} s; both go on taking writes`);
  for (const room of rooms.rooms) room.proxy.cut();
  await pause(CUT_MS);
  const away = await eventually(async () => {
    const status = await clients[1]?.collectorStatus();
    return status?.links.find((link) => link.origin === near.id)?.lanes.every((lane) => lane.state !== 'streaming') || undefined;
  });
  const origin = await clients[0]?.reshipStatus();
  const behind = origin?.peers.find((peer) => peer.room === far.id)?.lanes.reduce((sum, lane) => sum + lane.lagWrites, 0) ?? 0;
  for (const room of rooms.rooms) room.proxy.heal();
  view.say(`link healed; ${far.id} knew that it could not see ${near.id}: ${away ? 'yes' : 'no'}; it is ${behind} writes behind`);
  return {
    what: `${far.id} reports the cut of its link`,
    compared: 1,
    differences: away ? [] : ['its status said “streaming” during the cut'],
  };
}

async function killCollector({ rooms, view }: Scene): Promise<Check> {
  const victim = rooms.room(1);
  const pid = rooms.pid(victim, 'collector');
  view.say(`SIGKILL to the collector of ${victim.id} (process ${pid})`);
  await rooms.end(victim, 'collector', 'SIGKILL');
  await pause(1500);
  await rooms.start(victim, 'collector', { main: FAULTY_COLLECTOR });
  view.say(`the collector of ${victim.id} is back and resumes at its marks`);
  const back = rooms.pid(victim, 'collector');
  return {
    what: `${victim.id}’s collector came back after SIGKILL`,
    compared: 1,
    differences: back !== undefined && back !== pid ? [] : ['it did not'],
  };
}

/** A message that its processor cannot handle, and one of the same sender behind it: parked in every room that processes, and left there. */
async function poison({
  clients,
  mode,
  view,
}: Scene): Promise<{ readonly checks: readonly Check[]; readonly positions: readonly string[] }> {
  const origin = clients[0] as RoomClients;
  const writes = ['{"from":1,"to":', '{"from":1000001,"to":1000002,"at":1}'].map((payload, index) => ({
    requestId: `poison-${index}`,
    kind: 'message',
    key: 'user:1000001',
    payload: Buffer.from(payload),
    traceparent: '',
  }));
  const { results } = await origin.submit({ writes, wait: Wait.WAIT_LOGGED, deadlineMs: 0, batchId: 0 });
  const refused = results.filter((result) => result.error !== undefined);
  view.say(`submitted a poisoned message and one of the same sender behind it: ${refused.length === 0 ? 'both taken' : 'refused'}`);
  const checks: Check[] = [];
  for (const client of clients.filter((each) => processes(each, { clients, mode }))) {
    const parked = await eventually(async () => {
      const list = await unary<{ writes: { requestId: string; code: string }[] }>((answer) =>
        client.collector.listParked({ limit: 10, after: '' }, answer),
      );
      return list.writes.length === writes.length ? list.writes : undefined;
    });
    const codes = parked?.map((write) => `${write.requestId} ${write.code}`).join(', ') ?? 'nothing';
    view.say(`${client.room.id} parked them: ${codes}`);
    const wanted = 'poison-0 PROCESSOR_FAILED, poison-1 BEHIND_PARKED';
    checks.push({
      what: `${client.room.id} parked the poisoned write, and the one behind it`,
      compared: 2,
      differences: codes === wanted ? [] : [`parked: ${codes}`],
    });
  }
  return { checks, positions: results.map(({ position }) => position) };
}

/** In a master–slave topology only the master's processors handle write requests. */
function processes(client: RoomClients, { clients, mode }: Pick<Scene, 'clients' | 'mode'>): boolean {
  return mode === 'independent' || client === clients[0];
}

async function reached({ submitters }: Scene, share: number): Promise<void> {
  const total = submitters.reduce((sum, submitter) => sum + submitter.total, 0);
  while (submitters.reduce((sum, submitter) => sum + submitter.done, 0) < total * share) await pause(20);
}

async function eventually<T>(probe: () => Promise<T | undefined>): Promise<T | undefined> {
  for (let attempt = 0; attempt < 1_200; attempt += 1) {
    // A daemon that has just come back may not be reached at once, and may have much to catch up with.
    const found = await probe().catch(() => undefined);
    if (found !== undefined) return found;
    await pause(50);
  }
  return undefined;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function printTable(checks: readonly Check[], seconds: number): void {
  const width = Math.max(...checks.map((check) => check.what.length));
  const lines = checks.map((check) => {
    const result = check.differences.length === 0 ? 'equal' : `${check.differences.length} DIFFERENCES`;
    return `  ${check.what.padEnd(width)}  ${String(check.compared).padStart(8)}  ${check.compared === 1 || check.compared === 2 ? result.replace('equal', 'yes') : result}`;
  });
  process.stdout.write(`\n  ${'check'.padEnd(width)}  ${'compared'.padStart(8)}  result\n${lines.join('\n')}\n`);
  for (const check of checks) {
    for (const difference of check.differences.slice(0, 5)) process.stdout.write(`  ✗ ${check.what}: ${difference}\n`);
  }
  const failed = checks.filter((check) => check.differences.length > 0).length;
  process.stdout.write(
    failed === 0
      ? `\nAll ${checks.length} checks hold after ${seconds.toFixed(0)} s.\n`
      : `\n${failed} of ${checks.length} checks FAILED.\n`,
  );
}

async function main(options: DemoOptions): Promise<number> {
  if (options.help) {
    process.stdout.write(USAGE);
    return EXIT.ok;
  }
  const writes = readWrites(options);
  const directory = mkdtempSync(join(tmpdir(), 'wmb-demo-'));
  process.once('exit', (code) => {
    // After Ctrl-C nobody wants them; after a failure everybody does.
    if (options.keep || ![EXIT.ok, 130, 143].includes(code)) process.stdout.write(`Data and logs are kept in ${directory}\n`);
    else rmSync(directory, { recursive: true, force: true });
  });
  const startedMs = performance.now();
  const checks = await run(options, writes, directory);
  printTable(checks, (performance.now() - startedMs) / 1000);
  const failed = checks.some((check) => check.differences.length > 0);
  return failed ? EXIT.difference : EXIT.ok;
}

process.once('SIGINT', () => process.exit(130));
process.once('SIGTERM', () => process.exit(143));
try {
  const options = readOptions(process.argv.slice(2), HERE);
  process.exit(await main(options));
} catch (cause) {
  const error = asWmbError(cause);
  process.stderr.write(`demo: ${error.code === 'INTERNAL' ? (error.stack ?? error.message) : `${error.code}: ${error.message}`}\n`);
  process.exit(ERRORS[error.code].exit);
}
