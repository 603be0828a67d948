/** Rooms of real daemons of which one keeps its logs in Kafka: its peers notice nothing of it, whatever is killed. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { credentials } from '@grpc/grpc-js';
import type { LogView } from '../../log/administration.ts';
import { CheckerClient, type TraceResponse } from '../../proto/gen/wmb/v1/checker.ts';
import { Outcome, Wait } from '../../proto/gen/wmb/v1/writes.ts';
import { containersAvailable, NO_ENGINE } from '../containers/engine.ts';
import { type KafkaServer, startKafka } from '../containers/kafka.ts';
import { unary } from '../harness/clients.ts';
import { cacheWrite, QUICK_LINK, Scene, until } from './scene.ts';
import { Traffic } from './traffic.ts';

/** Two seconds, and what a busy machine takes that stands still meanwhile. */
const UNREADY_MS_MAX = 20_000;
const READY_MS_MAX = 60_000;
const skip = !(await containersAvailable()) && NO_ENGINE;
// Both stories have a room of the same name.
const [kafka, another] = skip ? [] : await Promise.all([startKafka(), startKafka()]);
after(() => Promise.all([kafka?.remove(), another?.remove()]));

/** The first room's logs are in Kafka. */
const settings = (server: KafkaServer | undefined) => (room: string) => ({
  link: QUICK_LINK,
  ...(room === 'beijing' ? { log: { adapter: 'kafka', brokers: [server?.address ?? ''], replicas: 1 } } : {}),
});

describe('two independent rooms', { skip }, async () => {
  const scene = await Scene.prepare({
    count: 2,
    mode: 'independent',
    partitions: 4,
    daemons: ['reship', 'collector', 'checker'],
    roomSettings: settings(kafka),
  });

  test('a reship whose topics are not made yet says which command makes them', async () => {
    const { code, stderr } = await scene.wmb(0, 'reship');
    assert.equal(code, 3);
    assert.match(stderr, /LOG_UNPREPARED: .*no writes log of room beijing.*`wmb log init`/);
  });

  test('the command makes the topics, once, and says so before it does', async () => {
    const dry = await scene.wmb(0, 'log', 'init', '--dry-run');
    assert.match(
      dry.stdout,
      /^topic wmb\.log\.beijing\.writes: make it, 2 partitions with 1 replicas each\ntopic wmb\.log\.beijing\.writes\.talk: make it, 1 partitions with 1 replicas each\nlog writes: begin a new epoch/,
    );
    const made = await scene.wmb(0, 'log', 'init');
    assert.match(made.stdout, /log writes: epoch [0-9a-f]{16} has begun/);
    const again = await scene.wmb(0, 'log', 'init');
    assert.match(again.stdout, /topic wmb\.log\.beijing\.writes: is there/);
    assert.doesNotMatch(again.stdout, /make it|has begun/);
    assert.equal((await scene.wmb(1, 'log', 'init')).code, 5);
  });

  test('what is submitted in either room is in both, and found in the log', async () => {
    await scene.rooms.startAll();
    await scene.submit(0, [cacheWrite('a', [['SET', 'a', 'from kafka']], 'find-me')], Wait.WAIT_EVERYWHERE);
    await scene.submit(1, [cacheWrite('b', [['SET', 'b', 'from a file']])], Wait.WAIT_EVERYWHERE);
    for (const index of [0, 1]) {
      assert.equal(await scene.value(index, 'a'), 'from kafka');
      assert.equal(await scene.value(index, 'b'), 'from a file');
    }
    const checker = new CheckerClient(scene.room(0).checker.grpc, credentials.createInsecure());
    after(() => checker.close());
    const { payload } = await until('the checker finds it', () =>
      unary<TraceResponse>((answer) => checker.trace({ write: 'find-me' }, answer)),
    );
    assert.equal(payload.toString(), '[["SET","a","from kafka"]]');
  });

  test('the log does not begin again under daemons that run', async () => {
    const { code, stderr } = await scene.wmb(0, 'log', 'init', '--new-epoch');
    assert.notEqual(code, 0);
    assert.match(
      stderr,
      /the reship of beijing runs: what is acked while its log begins again would be lost; stop the room’s daemons first/,
    );
    await scene.submit(0, [cacheWrite('a', [['SET', 'a', 'once more']])], Wait.WAIT_EVERYWHERE);
  });

  test('reship, collector and the broker are killed in the middle of traffic: both rooms hold what was acked, counters exact', async () => {
    const traffic = new Traffic(scene, 'kill');
    await traffic.flows(60);
    await scene.restart(0, 'reship', 'SIGKILL');
    await traffic.flows(60);
    await kafka?.container.kill();
    await kafka?.container.start();
    await traffic.flows(60);
    await Promise.all([scene.restart(0, 'collector', 'SIGKILL'), scene.restart(0, 'reship', 'SIGKILL')]);
    await traffic.flows(60);
    await traffic.proves(scene);
  });

  test('reship is not ready within moments of its Kafka being gone or standing still, and ready again when what was submitted is in the log', async () => {
    const readyz = async () => {
      const answer = await fetch(`http://${scene.room(0).reship.http}/readyz`);
      return `${answer.status} ${await answer.text()}`;
    };
    const turns = (what: RegExp, waitMsMax: number) => until(`/readyz says ${what}`, async () => what.test(await readyz()), waitMsMax);
    const submit = () => until('a write request is acked', () => scene.submit(0, [cacheWrite('ready', [['INCR', 'ready']], 'ready-1')]));
    await turns(/^200 /, READY_MS_MAX);
    await kafka?.container.kill();
    await turns(
      /^503 .*"write log".*LOG_UNAVAILABLE: the topic wmb\.log\.beijing\.writes\.\w+ cannot be (?:followed|appended to)/,
      UNREADY_MS_MAX,
    );
    await kafka?.container.start();
    await turns(/^200 /, READY_MS_MAX);
    await submit();

    await kafka?.container.freeze();
    const waiting = submit();
    await turns(/^503 .*LOG_UNAVAILABLE: .* cannot be appended to: .*does not answer/, UNREADY_MS_MAX);
    await kafka?.container.thaw();
    await waiting;
    await turns(/^200 /, READY_MS_MAX);
  });

  test('reship ends in order with exit code 0, and goes on with the same log', async () => {
    const [before] = await scene.wmbJson<LogView[]>(0, 'log', 'inspect');
    const traffic = new Traffic(scene, 'term');
    await traffic.flows(60);
    assert.equal(await scene.restart(0, 'reship', 'SIGTERM'), 0);
    await traffic.flows(60);
    await traffic.proves(scene);
    const [view] = await scene.wmbJson<LogView[]>(0, 'log', 'inspect');
    assert.equal(view?.epoch, before?.epoch);
    assert.equal(view?.trouble, '');
    for (const { next, noted } of view?.partitions ?? []) assert.ok(next >= noted && noted > 0);
  });

  test('a request id that is retried after everything was killed has one effect in both rooms', async () => {
    const once = cacheWrite('retried', [['INCR', 'retried']], 'retried-1');
    await scene.submit(0, [once], Wait.WAIT_EVERYWHERE);
    await Promise.all(
      [0, 1].flatMap((index) => (['reship', 'collector'] as const).map((daemon) => scene.restart(index, daemon, 'SIGKILL'))),
    );
    const [again] = await scene.submit(0, [once], Wait.WAIT_EVERYWHERE);
    assert.equal(again?.outcome, Outcome.OUTCOME_DUPLICATE);
    for (const index of [0, 1]) assert.equal(await scene.value(index, 'retried'), '1');
  });
});

describe('a master room and a slave room', { skip }, async () => {
  const scene = await Scene.prepare({ count: 2, mode: 'master-slave', partitions: 2, roomSettings: settings(another) });

  test('the master’s effects come to the slave through a topic of their own, also after its daemons were killed', { skip }, async () => {
    const made = await scene.wmb(0, 'log', 'init');
    assert.match(made.stdout, /log effects: epoch [0-9a-f]{16} has begun/);
    await scene.rooms.startAll();
    const once = cacheWrite('count', [['INCR', 'count']], 'count-1');
    await scene.submit(1, [once], Wait.WAIT_EVERYWHERE);
    await Promise.all([scene.restart(0, 'collector', 'SIGKILL'), scene.restart(0, 'reship', 'SIGKILL')]);
    const [again] = await scene.submit(1, [once], Wait.WAIT_EVERYWHERE);
    assert.equal(again?.outcome, Outcome.OUTCOME_DUPLICATE);
    await scene.submit(0, [cacheWrite('count', [['INCR', 'count']])], Wait.WAIT_EVERYWHERE);
    for (const index of [0, 1]) assert.equal(await scene.value(index, 'count'), '2');
  });
});
