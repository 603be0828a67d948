/** The write requests of load.ts as the stores see them: a key and a value, with a version each that grows. */
import { bucketOf } from '../../core/converge/bucket.ts';
import { versionOf } from '../../core/stamp.ts';
import { plainHead } from '../../store/redis/head.ts';
import { bucketKey } from '../../store/redis/layout.ts';
import { stamped, Writes } from '../load.ts';

export interface PlainWrite {
  readonly key: string;
  readonly value: string;
  readonly version: string;
  /** What WMB keeps beside the key, and where. */
  readonly head: Buffer;
  readonly bucket: string;
}

/** Cut into batches of `size`. */
export function plainBatches(count: number, size: number): PlainWrite[][] {
  const writes = new Writes('plain');
  return Array.from({ length: Math.ceil(count / size) }, (_, at) =>
    stamped(writes.batch(Math.min(size, count - at * size)), at * size).map(({ key, stamp, payload }) => {
      const [[, , value]] = JSON.parse(payload.toString()) as [[string, string, string]];
      const version = versionOf(stamp, 0);
      return { key, value, version, head: plainHead(version, 0), bucket: bucketKey(key, bucketOf(key)) };
    }),
  );
}
