/** Drift records as a checker sends them, as the record of consistency-checker/drift.ts. */
import type { Drift, DriftSide, ElementDifference, WriteTimeline } from '../../consistency-checker/drift.ts';
import { WmbError } from '../../core/errors.ts';
import type {
  DriftReport,
  ElementSide,
  ElementDifference as WireElement,
  WriteTimeline as WireTimeline,
} from '../../proto/gen/wmb/v1/checker.ts';

/** PEER_GARBAGE where something without which a drift is none is missing. Words that a newer checker may know better are taken as they are. */
export function driftFromWire(report: DriftReport): Drift {
  const { subjectType, subject, sides, elements, write, repair, level, kind, cause, status, ...rest } = report;
  if (report.id === '' || repair === undefined)
    throw new WmbError('PEER_GARBAGE', 'a drift without id or repair was answered; is the checker older?');
  return {
    ...rest,
    level: level as Drift['level'],
    kind: kind as Drift['kind'],
    cause: cause as Drift['cause'],
    status: status as Drift['status'],
    subject: { type: subjectType as Drift['subject']['type'], name: subject },
    sides: pair<DriftSide>(sides, report.id),
    elements: elements.map((element) => elementFromWire(element, report.id)),
    write: write === undefined ? undefined : timelineFromWire(write),
    repair: { ...repair, action: repair.action as Drift['repair']['action'] },
  };
}

function elementFromWire({ name, sides }: WireElement, id: string): ElementDifference {
  const [mine, theirs] = pair<ElementSide>(sides, id);
  return { name, versions: [mine.version, theirs.version], values: [mine.value ?? null, theirs.value ?? null] };
}

export function timelineFromWire(write: WireTimeline): WriteTimeline {
  return { ...write };
}

function pair<T>([first, second, ...others]: readonly T[], id: string): readonly [T, T] {
  if (first === undefined || second === undefined || others.length > 0)
    throw new WmbError('PEER_GARBAGE', `drift ${id} was answered without exactly two sides`);
  return [first, second];
}
