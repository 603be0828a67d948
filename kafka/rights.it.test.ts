/** What rights a user needs is in the docs, and is enough; of one that is missing it is told which, and on what topic. */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { after, describe, test } from 'node:test';
import { systemRuntime } from '../core/runtime.ts';
import { MqAdministration } from '../link/mq/administration.ts';
import { init, kafkaAt, openLog, placeAt, temporaryDirectory } from '../log/kafka/kafka-kit.ts';
import { draftOf, readAll } from '../log/log.contract.ts';
import { until as comes, numbered, TopicScene } from '../reship/intake/kafka/topic-kit.ts';
import { containersAvailable, NO_ENGINE } from '../test/containers/engine.ts';
import { type Grant, type KafkaUser, KafkaWithRights } from '../test/containers/guarded-kafka.ts';
import { MqRig, PEER } from '../test/links/mq-rig.ts';
import { append, until } from '../test/links/rig.ts';

const skip = !(await containersAvailable()) && NO_ENGINE;
/** Of all tests of a suite together. */
const TIMEOUT_MS = 240_000;
const kafka = skip ? undefined : await KafkaWithRights.start();
const address = kafka?.server.address ?? '';

type Right = Grant['rights'][number];

/** Of the daemons that use topics of WMB: docs/write-log.md and docs/links.md. Kafka lets whoever may do any of it DESCRIBE a topic too. */
const DAEMONS: readonly Right[] = ['READ', 'WRITE', 'DESCRIBE', 'DESCRIBE_CONFIGS', 'DELETE'];
const MAKERS: readonly Right[] = [...DAEMONS, 'CREATE'];

async function userWith(...grants: readonly Grant[]): Promise<KafkaUser> {
  return (await kafka?.user(...grants)) ?? assert.fail();
}

function without(right: Right, rights = DAEMONS): readonly Right[] {
  return rights.filter((each) => each !== right);
}

/** The message names the right and the topic. */
function denial(code: string, right: string, topic: string) {
  return (error: { readonly code: string; readonly message: string }) => {
    assert.equal(error.code, code, error.message);
    assert.match(error.message, new RegExp(`grant it ${right} on `));
    assert.ok(error.message.includes(topic), error.message);
    return true;
  };
}

describe('a log', { skip, timeout: TIMEOUT_MS }, () => {
  /** Made by a user with some rights, used by another. */
  async function logWith(rights: readonly Right[], makers = MAKERS) {
    const place = placeAt(address);
    const as = async (granted: readonly Right[]) => {
      const sasl = await userWith({ topics: `wmb.log.${place.origin}.`, rights: granted });
      return { ...place, kafka: kafkaAt(address, { sasl }) };
    };
    const [maker, user] = [await as(makers), await as(rights)];
    return { make: () => init(maker), use: () => use(user), topic: `wmb.log.${place.origin}.writes` };
  }

  async function use(place: ReturnType<typeof placeAt>): Promise<void> {
    const directory = temporaryDirectory();
    after(() => rmSync(directory, { recursive: true }));
    const log = await openLog(place, { directory });
    try {
      await log.leaseWriter('test');
      await log.append([draftOf(log, {})]);
      assert.equal((await readAll(log, 0)).length, 1);
      const went = await log.trim({ ageMsMin: 0, bytesMax: 1, overflow: 'drop', writesMin: 0 }, [], Date.now() + 1_000_000);
      assert.equal(went.frames, 1);
    } finally {
      await log.close();
    }
  }

  test('is made, looked at again and used with the rights of the docs', async () => {
    const log = await logWith(DAEMONS);
    await log.make();
    await log.make();
    await log.use();
  });

  for (const right of ['READ', 'WRITE', 'DESCRIBE_CONFIGS', 'DELETE'] as const)
    test(`is not used without ${right}`, async () => {
      const log = await logWith(without(right));
      await log.make();
      await assert.rejects(log.use(), denial('LOG_DENIED', right, log.topic));
    });

  test('is not even seen by one who has no right on it, and is not called missing for that', async () => {
    const log = await logWith([]);
    await log.make();
    await assert.rejects(log.use(), denial('LOG_DENIED', 'DESCRIBE', log.topic));
  });

  test('is not made without CREATE', async () => {
    const log = await logWith(DAEMONS, DAEMONS);
    await assert.rejects(log.make(), denial('LOG_DENIED', 'CREATE', log.topic));
  });
});

describe('an inbox', { skip, timeout: TIMEOUT_MS }, () => {
  const topics = 'wmb.inbox.';

  /** Both ends run; the topics are made by a third user. */
  async function linkOf(ends: { readonly origin?: readonly Right[]; readonly peer?: readonly Right[] }): Promise<MqRig> {
    const [origin, peer, maker] = [
      await userWith({ topics, rights: ends.origin ?? DAEMONS }),
      await userWith({ topics, rights: ends.peer ?? DAEMONS }),
      await userWith({ topics, rights: MAKERS }),
    ];
    const rig = new MqRig(address, {}, { sasl: peer }, { sasl: origin });
    after(() => rig.close());
    await make(rig, maker);
    const { log } = await rig.startOrigin();
    await append(log, 0, { ms: 1_700_000_000_000 });
    await rig.startPeer();
    return rig;
  }

  async function make(rig: MqRig, sasl: KafkaUser): Promise<void> {
    const config = rig.config(PEER);
    const inbox = { ...(config.room.inbox ?? assert.fail()), sasl };
    for await (const _ of new MqAdministration({ config, inbox, runtime: systemRuntime }).init({ dryRun: false }));
  }

  function told(rig: MqRig, right: Right): boolean {
    const says = new RegExp(`grant it ${right} on .*wmb\\.inbox\\.${rig.origin}`);
    return rig.lines.some(
      ({ code, reason }) => says.test(String(reason)) && (code === 'INBOX_DENIED' || String(reason).startsWith('INBOX_DENIED')),
    );
  }

  test('is made and used with the rights of the docs', async () => {
    const rig = await linkOf({});
    await until(() => rig.consumer(0).mark === 0);
    assert.deepEqual(
      DAEMONS.filter((right) => told(rig, right)),
      [],
    );
  });

  const uses = ['READ', 'WRITE', 'DESCRIBE_CONFIGS'] as const;
  // The peer removes nothing before it has applied more than it keeps.
  for (const [end, rights] of [
    ['origin', [...uses, 'DELETE']],
    ['peer', uses],
  ] as const)
    for (const right of rights)
      test(`says what the ${end}’s user lacks: ${right}`, async () => {
        const rig = await linkOf({ [end]: without(right) });
        await until(() => told(rig, right));
      });

  test('is not made without CREATE', async () => {
    const rig = new MqRig(address);
    await assert.rejects(
      make(rig, await userWith({ topics, rights: DAEMONS })),
      denial('INBOX_DENIED', 'CREATE', `wmb.inbox.${rig.origin}`),
    );
  });
});

describe('a topic that is taken in', { skip, timeout: TIMEOUT_MS }, () => {
  /** Resolves with what comes of two records. */
  async function taken(topic: readonly Right[], group: readonly Right[]) {
    const scene = new TopicScene(kafka?.server ?? assert.fail());
    const grants = [
      { topics: scene.topic, rights: topic },
      { group: `wmb.${scene.topic}`, rights: group },
    ];
    const sasl = await userWith(...grants);
    await scene.create(1);
    await scene.produce([numbered(0), numbered(1)]);
    const member = await scene.member({ kafka: { brokers: [address], sasl, tls: undefined } });
    return { scene, member, start: () => member.start() };
  }

  test('needs READ of the topic and of the group', async () => {
    const { scene, start } = await taken(['READ', 'DESCRIBE'], ['READ']);
    await start();
    await comes('both records are taken', async () => (await scene.writes()).length === 2);
  });

  test('is not seen without a right on it', async () => {
    const { scene, start } = await taken([], ['READ']);
    await assert.rejects(start(), denial('TOPIC_DENIED', 'READ and DESCRIBE', scene.topic));
  });

  for (const [topic, group, right] of [
    [['READ', 'DESCRIBE'], ['DESCRIBE'], 'READ on the group'],
    [['DESCRIBE'], ['READ'], 'READ and DESCRIBE on it'],
  ] as const)
    test(`says what is missing when it is needed: ${right}`, async () => {
      const { scene, member, start } = await taken(topic, group);
      await start();
      const said = () => member.unready() ?? '';
      await comes('it is said', () => said().startsWith('TOPIC_DENIED') && said().includes(`grant it ${right}`));
      assert.ok(said().includes(scene.topic));
    });
});
