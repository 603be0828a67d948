/** What of link.contract.ts holds where the two ends share an inbox. Each check has an origin of its own. */
import { after, test } from 'node:test';
import { silentLogger } from '../../core/logger.ts';
import { systemRuntime } from '../../core/runtime.ts';
import { containersAvailable, NO_ENGINE } from '../../test/containers/engine.ts';
import { startKafka } from '../../test/containers/kafka.ts';
import { configOf } from '../../test/links/rig.ts';
import { inboxContract } from '../link.contract.ts';
import type { LinkDialer } from '../link.ts';
import { MqAdministration } from './administration.ts';
import { MqDialer } from './dialer.ts';
import { InboxFeeder } from './feeder.ts';

const PEER = 'guangzhou';
const NOWHERE = 'where nobody puts frames into the inbox';
const SECRET = 'a secret of the tests';
let origins = 0;

if (!(await containersAvailable())) test('the link over mq', { skip: NO_ENGINE }, () => {});
else {
  const kafka = await startKafka();
  after(() => kafka.remove());
  const servers = { brokers: [kafka.address], sasl: undefined, tls: undefined };
  const inbox = { ...servers, replicas: 1, minInSyncReplicas: 1 };

  inboxContract('mq link', async (host) => {
    origins += 1;
    const [origin, silent] = [`beijing-${origins}`, `silent-${origins}`];
    const addresses = { [origin]: '', [PEER]: '', [silent]: '' };
    const { topology, room } = configOf({ room: PEER, addresses, inbox, secret: SECRET });
    // The contract offers the log of a master’s row changes too, which slaves take.
    const rooms = topology.rooms.map((entry) => (entry.id === PEER ? { ...entry, database: 'slave' as const } : entry));
    const config = { room, topology: { ...topology, rooms } };
    const topics = new MqAdministration({ config, inbox, runtime: systemRuntime }).init({ dryRun: false });
    for await (const _ of topics);
    const options = { room: origin, peer: PEER, kafka: servers, secret: SECRET, host, runtime: systemRuntime, logger: silentLogger };
    const feeder = new InboxFeeder({ ...options, isMine: () => true });
    await feeder.start();
    const mq = new MqDialer({ config, runtime: systemRuntime, logger: silentLogger });
    const dialer: LinkDialer = {
      dial: (address, hello, signal) => mq.dial(address, address === NOWHERE ? { ...hello, to: silent } : hello, signal),
    };
    return { dialer, address: '', nowhere: NOWHERE, origin, close: () => feeder.stop() };
  });
}
