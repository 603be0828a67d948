/** A Kafka that does not let everybody in: what it says, and what a log says of it. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { KafkaLogConfig } from '../../core/config/types.ts';
import { containersAvailable, NO_ENGINE } from '../../test/containers/engine.ts';
import { guardedKafka, PLAIN, SCRAM } from '../../test/containers/guarded-kafka.ts';
import { draftOf, readAll } from '../log.contract.ts';
import { init, kafkaAt, openLog, placeAt, temporaryDirectory } from './kafka-kit.ts';

const skip = !(await containersAvailable()) && NO_ENGINE;
const NONE_MS_MAX = 60_000;

const { plain, scram, authority, stranger, mine } = await guardedKafka(skip !== false);

/** Makes a log and uses it. */
async function use(kafka: KafkaLogConfig): Promise<void> {
  const place = placeAt('', { kafka });
  await init(place);
  const log = await openLog(place, { directory: temporaryDirectory() });
  await log.append([draftOf(log, {})]);
  assert.equal((await readAll(log, 0)).length, 1);
  await log.close();
}

describe('a user and a password', { skip }, () => {
  const at = (more: Partial<KafkaLogConfig>) => kafkaAt(plain?.address ?? '', more);

  test('are given, and all is well', () => use(at({ sasl: PLAIN })));

  test('are wrong, or of a mechanism that the brokers do not know', async () => {
    await assert.rejects(use(at({ sasl: { ...PLAIN, password: 'wrong' } })), {
      code: 'LOG_DENIED',
      message: /refuses the user or its password/,
    });
    await assert.rejects(use(at({ sasl: SCRAM })), { code: 'LOG_DENIED', message: /mechanism/i });
  });

  test('are missing', { timeout: NONE_MS_MAX }, () =>
    assert.rejects(use(at({})), { code: 'LOG_UNAVAILABLE', message: /closes the connection.*set `sasl`/ }),
  );
});

describe('TLS, and SCRAM over it', { skip }, () => {
  const { caFile } = authority;
  const files = { caFile, certFile: mine.certFile, keyFile: mine.keyFile };
  const at = (tls: KafkaLogConfig['tls'], password = SCRAM.password as string) =>
    kafkaAt(scram?.address ?? '', { tls, sasl: { ...SCRAM, password } });

  test('with both certificates, and all is well', () => use(at(files)));

  test('with a wrong password', () =>
    assert.rejects(use(at(files, 'wrong')), { code: 'LOG_DENIED', message: /refuses the user or its password/ }));

  test('with a broker whose certificate nobody here trusts', () =>
    assert.rejects(use(at({ ...files, caFile: stranger.caFile })), {
      code: 'LOG_UNAVAILABLE',
      message: /not signed by an authority of tls\.caFile/,
    }));

  test('without the certificate that the broker asks for', () =>
    assert.rejects(use(at({ caFile, certFile: undefined, keyFile: undefined })), { code: 'LOG_UNAVAILABLE', message: /tls\.certFile/ }));

  test('is not spoken', { timeout: NONE_MS_MAX }, async () => {
    await assert.rejects(use(at(undefined)), { code: 'LOG_UNAVAILABLE', message: /set `tls`|does not answer/ });
    await assert.rejects(use(kafkaAt(plain?.address ?? '', { tls: files })), {
      code: 'LOG_UNAVAILABLE',
      message: /speaks none here, leave out `tls`/,
    });
  });
});

test('a Kafka that is not there is told with its address', () =>
  assert.rejects(use(kafkaAt('127.0.0.1:1')), { code: 'LOG_UNAVAILABLE', message: /127\.0\.0\.1:1 cannot be reached/ }));
