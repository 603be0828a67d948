/** The checks that are made when everything was healed and the rooms have had time: nothing is under way, and nothing is missing. */
import type { Effect } from '../../core/converge/effects.ts';
import { oracle } from '../../core/converge/oracle-kit.ts';
import { laneKey } from '../../core/words.ts';
import { effectsOf, type LoggedWrite } from '../ledger.ts';
import type { Room } from '../room.ts';
import type { World } from '../world.ts';
import type { EpochLane } from './failure.ts';

/** Clocks were never further ahead than this, nor were stamps. */
const AHEAD_MS_MAX = 15_000;

/** What is still under way, or undefined where nothing is. */
export async function underWay(world: World): Promise<string | undefined> {
  const { ledger } = world.watch;
  for (const room of world.rooms) {
    if (world.daemons.some((daemon) => room[daemon] === undefined)) return `${room.id} has a daemon that is not up`;
    const parked = room.disks.book.parkedTotal();
    if (parked > 0) return `${room.id} has ${parked} write requests parked: ${room.disks.book.parked()[0]?.code}`;
    for (const lane of [...ledger.lanes(), ...ledger.effectLanes()]) {
      const end = ledger.end(lane);
      if (lane.log === 'effects' && lane.origin === room.id) continue;
      const marks = [await room.disks.cache.markOf(lane), room.disks.book.markOf(lane)];
      const acked = world.room(lane.origin).reship?.shipper.ackedSeq(room.id, lane.log, lane.partition) ?? -1;
      if (marks.some((mark) => mark !== end) || acked !== end)
        return `${room.id} ${laneKey(lane)}: cache at ${marks[0]}, book at ${marks[1]}, acked ${acked}, end ${end}; ${stateOf(room, lane)}`;
    }
  }
  return undefined;
}

function stateOf(room: Room, lane: EpochLane): string {
  const link = room.collector?.receiver.status().find(({ origin }) => origin === lane.origin);
  const status = link?.lanes.find(({ log, partition }) => log === lane.log && partition === lane.partition);
  return status === undefined ? 'no lane' : `${status.state} (${status.reason})`;
}

/** I2 and I3 for every write request in every room, then I5 for every key. `strict`: also those that were harmed, for they were repaired (I9). */
export async function checkRest(world: World, strict = false): Promise<void> {
  const { ledger } = world.watch;
  const due = new Map<string, Effect[]>();
  for (const lane of ledger.lanes()) {
    const duplicates = ledger.duplicates(lane, world.plan.windowWrites);
    for (const write of ledger.writes(lane)) {
      const outcome = duplicates.has(write) ? 'duplicate' : world.poison.isForever(write.requestId) ? 'rejected' : 'applied';
      for (const room of world.rooms) checkReceipt(world, room, { lane, write, outcome });
      if (outcome !== 'applied') continue;
      for (const effect of effectsOf(write)) due.set(effect.key, [...(due.get(effect.key) ?? []), effect]);
    }
  }
  await checkKeys(world, due, strict);
}

function checkReceipt(world: World, room: Room, of: { lane: EpochLane; write: LoggedWrite; outcome: string }): void {
  const { lane, write, outcome } = of;
  const { book } = room.disks;
  const what = `${room.id}: the receipt of ${write.requestId} at ${laneKey(lane)}:${write.seq}.${write.index}`;
  if (!book.hasFrame(lane, write.seq)) {
    world.fail('I3', `${what} below the mark ${book.markOf(lane)}`, 'none');
    return;
  }
  const found = book.exceptionAt(lane, write.seq, write.index)?.outcome ?? 'applied';
  const same = found === outcome || (outcome === 'applied' && found === 'superseded');
  if (!same) world.fail('I2', `${what} is ${outcome}`, found);
}

async function checkKeys(world: World, due: ReadonlyMap<string, readonly Effect[]>, strict: boolean): Promise<void> {
  // Not before any moment that a clock which was ahead has shown: what expired by then has expired for good.
  for (const nowMs of [world.clock.ms + AHEAD_MS_MAX, world.clock.ms + 60_000]) {
    for (const room of world.rooms) {
      const keys = new Set([...due.keys(), ...room.disks.cache.keys()]);
      for (const key of keys) {
        if (!strict && world.made.has(room.id, key)) continue;
        const shown = JSON.stringify(await room.disks.cache.cache.get(key, nowMs));
        const expected = JSON.stringify(oracle(key, due.get(key) ?? [], nowMs));
        if (shown !== expected) world.fail(strict ? 'I9' : 'I5', `${key} in ${room.id}, at rest, is ${expected}`, String(shown));
      }
    }
  }
}
