/** Those who have no business here (I10): each tries to open a link to every room and to ask every checker, and must be refused by name. */
import { peerHello } from '../consistency-checker/peer-hello.ts';
import type { Config } from '../core/config/types.ts';
import { asWmbError, type ErrorCode } from '../core/errors.ts';
import { signHello } from '../link/identity.ts';
import type { Hello } from '../link/link.ts';
import type { Room } from './room.ts';
import { runtimeOf } from './time.ts';
import type { World } from './world.ts';

interface Stranger {
  /** What is wrong with it. */
  readonly what: string;
  readonly code: ErrorCode;
  /** Who it says it is: its configuration, made from that of a room. */
  readonly as: (config: Config) => Config;
}

const STRANGERS: readonly Stranger[] = [
  { what: 'a room that is not in the topology', code: 'ROOM_UNKNOWN', as: (it) => ({ ...it, room: { ...it.room, id: 'chengdu' } }) },
  { what: 'a room with another secret', code: 'IDENTITY_REFUSED', as: (it) => ({ ...it, room: { ...it.room, secret: 'guessed' } }) },
  { what: 'a room with an older topology', code: 'TOPOLOGY_STALE', as: (it) => ({ ...it, topology: { ...it.topology, epoch: 0 } }) },
];

export async function checkStrangers(world: World): Promise<void> {
  const { random, clock, rooms } = world;
  const runtime = runtimeOf(clock, random);
  for (const room of rooms) {
    const [other] = rooms.filter((it) => it !== room);
    if (other === undefined) continue;
    for (const { what, code, as } of STRANGERS) {
      const config = as(other.config);
      const { id, secret } = config.room;
      const hello = signHello({ from: id, to: room.id, topologyEpoch: config.topology.epoch, instance: what }, secret, runtime);
      expect(world, `${room.id} refuses a link to ${what}`, code, await dialled(world, room, hello));
      const asking = peerHello({ config, instance: what, runtime }, room.id, 'getStates');
      const asked = () => room.checker?.gate.admit({ hello: asking, method: 'getStates', certificate: undefined });
      expect(world, `the checker of ${room.id} refuses ${what}`, code, outcomeOf(asked));
    }
    const own = peerHello({ config: other.config, instance: 'replayed', runtime }, room.id, 'getStates');
    const replayed = () => room.checker?.gate.admit({ hello: own, method: 'getStates', certificate: undefined });
    expect(world, `the checker of ${room.id} takes a hello of ${other.id}`, '', outcomeOf(replayed));
    expect(world, `the checker of ${room.id} refuses a hello that it has seen`, 'IDENTITY_REFUSED', outcomeOf(replayed));
  }
}

/** The code of the refusal; empty: it was let in. */
function outcomeOf(task: () => unknown): ErrorCode | '' {
  try {
    task();
    return '';
  } catch (cause) {
    return asWmbError(cause).code;
  }
}

async function dialled(world: World, room: Room, hello: Hello): Promise<ErrorCode | ''> {
  let outcome: ErrorCode | '' | undefined;
  const stop = new AbortController();
  void world.network.dial(room.id, hello, stop.signal).then(
    (session) => {
      session.close();
      outcome = '';
    },
    (cause) => {
      outcome = asWmbError(cause).code;
    },
  );
  await world.clock.run(5_000, () => outcome !== undefined);
  return outcome ?? 'UNREACHABLE';
}

function expect(world: World, what: string, due: ErrorCode | '', found: ErrorCode | ''): void {
  if (found !== due) world.fail('I10', `${what}${due === '' ? '' : ` with ${due}`}`, found || 'it is let in');
}
