/** A Kafka that does not let everybody in: what a link over mq says of it, in the room that takes frames and in the one that sends them. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import type { KafkaServersConfig } from '../../core/config/types.ts';
import { systemRuntime } from '../../core/runtime.ts';
import { containersAvailable, NO_ENGINE } from '../../test/containers/engine.ts';
import { guardedKafka, PLAIN, SCRAM } from '../../test/containers/guarded-kafka.ts';
import { MqRig, PEER } from '../../test/links/mq-rig.ts';
import { append, keepingLogger, type LogLine, until } from '../../test/links/rig.ts';
import type { LinkHost } from '../link.ts';
import { MqDialer } from './dialer.ts';
import { InboxFeeder } from './feeder.ts';

const skip = !(await containersAvailable()) && NO_ENGINE;
const TIMEOUT_MS = 60_000;

const { plain, scram, authority, stranger, mine } = await guardedKafka(skip !== false);

type Guard = Partial<KafkaServersConfig>;

/** Makes the topics, and sends a frame through them. */
async function use(address: string | undefined, guard: Guard): Promise<void> {
  const rig = new MqRig(address ?? '', {}, guard);
  after(() => rig.close());
  await rig.init();
  const { log } = await rig.startOrigin();
  await append(log, 0, { ms: 1_700_000_000_000 });
  await rig.startPeer();
  await until(() => rig.consumer(0).mark === 0);
}

const nobody: LinkHost = {
  welcome: () => {
    throw new Error('nobody is to come so far');
  },
  serve: () => {},
};

/** Both ends, and the command that makes the topics, say the same. */
async function refused(address: string | undefined, guard: Guard, code: string, message: RegExp): Promise<void> {
  const rig = new MqRig(address ?? '', {}, guard);
  await assert.rejects(rig.init(), { code, message });
  const dialer = new MqDialer({ config: rig.config(PEER), runtime: systemRuntime, logger: keepingLogger([]) });
  await assert.rejects(dialer.check(rig.origin), { code, message });
  const lines: LogLine[] = [];
  const common = { secret: 'secret', host: nobody, runtime: systemRuntime, logger: keepingLogger(lines) };
  const feeder = new InboxFeeder({ room: rig.origin, peer: PEER, kafka: rig.servers, isMine: () => true, ...common });
  await feeder.start();
  await until(() => lines.some((line) => line['code'] === code && message.test(String(line['reason']))));
  await feeder.stop();
}

describe('a user and a password', { skip, timeout: TIMEOUT_MS }, () => {
  test('are right, and frames go through the inbox', () => use(plain?.address, { sasl: PLAIN }));

  test('are wrong', () =>
    refused(plain?.address, { sasl: { ...PLAIN, password: 'wrong' } }, 'INBOX_DENIED', /refuses the user or its password/));

  test('are of a mechanism that the brokers do not know', () => refused(plain?.address, { sasl: SCRAM }, 'INBOX_DENIED', /mechanism/i));

  test('are missing', () => refused(plain?.address, {}, 'INBOX_UNAVAILABLE', /closes the connection.*set `sasl`/));
});

describe('SCRAM over TLS with certificates of both sides', { skip, timeout: TIMEOUT_MS }, () => {
  const { caFile } = authority;
  const tls = { caFile, certFile: mine.certFile, keyFile: mine.keyFile };

  test('is right, and frames go through the inbox', () => use(scram?.address, { sasl: SCRAM, tls }));

  test('has a wrong password', () =>
    refused(scram?.address, { sasl: { ...SCRAM, password: 'wrong' }, tls }, 'INBOX_DENIED', /refuses the user or its password/));

  test('is with a broker whose certificate nobody here trusts', () =>
    refused(
      scram?.address,
      { sasl: SCRAM, tls: { ...tls, caFile: stranger.caFile } },
      'INBOX_UNAVAILABLE',
      /not signed by an authority of tls\.caFile/,
    ));

  test('lacks the certificate that the broker asks for', () =>
    refused(
      scram?.address,
      { sasl: SCRAM, tls: { caFile, certFile: undefined, keyFile: undefined } },
      'INBOX_UNAVAILABLE',
      /tls\.certFile/,
    ));

  test('is not spoken here', () => refused(scram?.address, { sasl: SCRAM }, 'INBOX_UNAVAILABLE', /set `tls`|does not answer/));
});
