/** The rooms' files of the compose files beside docker-compose.yml are copies, which differ from the first ones in what they are there for and in nothing else. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parse } from 'yaml';

const read = (file: string): Record<string, unknown> => parse(readFileSync(new URL(`../deploy/compose/${file}`, import.meta.url), 'utf8'));

/** A room's `peers`: every other room of the topology, with the Kafka of its compose service. */
function allOthers(room: string, topology: string) {
  const { rooms } = read(topology) as { rooms: readonly { id: string }[] };
  const others = rooms.filter(({ id }) => id !== room);
  return Object.fromEntries(others.map(({ id }) => [id, { kafka: { brokers: [`${id}-kafka:9092`] } }]));
}

for (const room of ['beijing', 'guangzhou'])
  test(`${room} of two rooms and of three can send to every other one over mq`, () => {
    assert.deepEqual(read(`${room}.yaml`)['peers'], allOthers(room, 'topology.yaml'));
    assert.deepEqual(read(`${room}.mariadb.yaml`), { ...read(`${room}.yaml`), peers: allOthers(room, 'topology.mariadb.yaml') });
  });

test('shenzhen can too', () => {
  assert.deepEqual(read('shenzhen.yaml')['peers'], allOthers('shenzhen', 'topology.mariadb.yaml'));
});
