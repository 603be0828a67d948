/** A room: its disks, its clock, and its daemons where they are up. */
import type { Applier } from '../collector/admit/admit.ts';
import type { Inspection } from '../collector/inspection.ts';
import type { Receiver } from '../collector/receive/receiver.ts';
import type { LinkStateRow } from '../collector/receive/state-store.ts';
import type { Checker } from '../consistency-checker/checker.ts';
import type { PeerGate } from '../consistency-checker/peer-hello.ts';
import type { CacheCopy } from '../consistency-checker/repair/copy.ts';
import type { RepairRuns } from '../consistency-checker/repair/runs.ts';
import { MemoryDriftBook } from '../consistency-checker/report/memory-book.ts';
import type { WatchedBook } from '../consistency-checker/report/watched-book.ts';
import type { CopySide, RoomView } from '../consistency-checker/room.ts';
import type { Config } from '../core/config/types.ts';
import type { RoomId } from '../core/words.ts';
import { MemoryLogDisk } from '../log/memory/memory.ts';
import type { Intake } from '../reship/intake/intake.ts';
import type { Shipper } from '../reship/ship/shipper.ts';
import { MemoryBook } from './book.ts';
import type { CacheDisk } from './cache-disk.ts';
import type { Gauges } from './gauges.ts';
import type { Life, RoomClock } from './life.ts';

export type DaemonName = 'reship' | 'collector' | 'checker';
export const DAEMONS: readonly DaemonName[] = ['reship', 'collector', 'checker'];

export interface Reship {
  readonly intake: Intake;
  readonly shipper: Shipper;
  readonly gauges: Gauges;
}

export interface Collector {
  readonly applier: Applier;
  readonly receiver: Receiver;
  readonly inspection: Inspection;
  readonly gauges: Gauges;
}

export interface CheckerDaemon {
  readonly checker: Checker;
  readonly repairs: RepairRuns;
  readonly book: WatchedBook;
  /** As the peers ask it. */
  readonly view: RoomView & CopySide;
  readonly copy: CacheCopy;
  readonly gate: PeerGate;
}

export interface RoomDisks {
  readonly writes: MemoryLogDisk;
  readonly effects: MemoryLogDisk;
  readonly cache: CacheDisk;
  readonly book: MemoryBook;
  readonly states: Map<string, LinkStateRow>;
  readonly drifts: MemoryDriftBook;
}

export class Room {
  readonly id: RoomId;
  readonly config: Config;
  readonly clock: RoomClock = { offsetMs: 0 };
  readonly disks: RoomDisks;
  /** When its cache came back from a copy last. */
  restoredMs = Number.NEGATIVE_INFINITY;
  /** Undefined while it is down or starts. */
  reship: Reship | undefined;
  collector: Collector | undefined;
  checker: CheckerDaemon | undefined;
  /** Nothing can be applied to its cache: whoever tries waits. */
  cacheHangs = false;
  /** Alive from the moment they begin to start. */
  readonly lives = new Map<DaemonName, Life>();

  constructor(id: RoomId, config: Config, cache: CacheDisk) {
    this.id = id;
    this.config = config;
    this.disks = {
      writes: new MemoryLogDisk(),
      effects: new MemoryLogDisk(),
      cache,
      book: new MemoryBook(),
      states: new Map(),
      drifts: new MemoryDriftBook(),
    };
  }
}
