import assert from 'node:assert/strict';
import { test } from 'node:test';
import { variables } from './kafka-settings.ts';

test('settings become the variables that the image turns back into them', () => {
  const given = { 'log.dirs': '/data', 'listener.name.client.scram-sha-512.sasl.jaas.config': 'a=b', some_thing: '1' };
  assert.deepEqual(variables(given), [
    'KAFKA_LOG_DIRS=/data',
    'KAFKA_LISTENER_NAME_CLIENT_SCRAM___SHA___512_SASL_JAAS_CONFIG=a=b',
    'KAFKA_SOME__THING=1',
  ]);
});
