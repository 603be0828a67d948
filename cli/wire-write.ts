/** Write requests on their way from a command to intake. */
import type { Runtime } from '../core/runtime.ts';
import type { WriteRequest } from '../core/words.ts';
import { Wait, type WriteRequest as WireWrite } from '../proto/gen/wmb/v1/writes.ts';

export const WAITS = ['logged', 'applied', 'everywhere'] as const;

export function waitOf(name: string): Wait {
  if (name === 'everywhere') return Wait.WAIT_EVERYWHERE;
  return name === 'applied' ? Wait.WAIT_APPLIED : Wait.WAIT_LOGGED;
}

export function toWire({ trace, ...write }: WriteRequest): WireWrite {
  return { ...write, payload: Buffer.from(write.payload), traceparent: trace };
}

/** Made here rather than at intake, so that a retry of the command's own is recognised. */
export function newRequestId(runtime: Runtime): string {
  return Buffer.from(runtime.bytes(16)).toString('hex');
}
