/** Drift records and the audit as people's programs get them over gRPC; the other direction is cli/drift/wire.ts. */
import type * as wire from '../proto/gen/wmb/v1/checker.ts';
import type { AuditEntry, Drift, DriftSide, ElementDifference, Hop, WriteTimeline } from './drift.ts';

export function driftToWire(drift: Drift): wire.DriftReport {
  const { subject, sides, elements, write, repair, ...rest } = drift;
  return {
    ...rest,
    subjectType: subject.type,
    subject: subject.name,
    sides: sides.map(sideToWire),
    elements: elements.map(elementToWire),
    write: write && timelineToWire(write),
    repair: { ...repair, diff: [...repair.diff] },
    firstSeenMs: Math.floor(drift.firstSeenMs),
    confirmedMs: Math.floor(drift.confirmedMs),
    closedMs: Math.floor(drift.closedMs),
  };
}

export function sideToWire(side: DriftSide): wire.DriftSide {
  return { ...side };
}

function elementToWire({ name, versions, values }: ElementDifference): wire.ElementDifference {
  return { name, sides: versions.map((version, place) => ({ version, value: values[place] ?? undefined })) };
}

export function timelineToWire(write: WriteTimeline): wire.WriteTimeline {
  return { ...write, hops: write.hops.map(hopToWire) };
}

export function hopToWire(hop: Hop): wire.Hop {
  return { ...hop, atMs: Math.floor(hop.atMs) };
}

export function auditToWire(entry: AuditEntry): wire.AuditEntry {
  return { ...entry, atMs: Math.floor(entry.atMs) };
}
