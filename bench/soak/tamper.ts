/** Silence must not be blindness: at the end some keys are changed behind WMB's back, and exactly these have to be found. */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { bucketOf } from '../../core/converge/bucket.ts';
import { formatStamp, versionOf } from '../../core/stamp.ts';
import type { RunningRoom } from '../../test/harness/rooms.ts';

export interface Tampered {
  readonly room: string;
  readonly key: string;
  readonly kind: 'missing' | 'value' | 'extra';
}

const MADE = 'made:behind-the-back';
/** Registers without an expiry: nothing of them changes by itself. */
const KEYS_AT_REST = `SELECT key FROM keys WHERE key LIKE ? AND expire_at = 0 AND NOT EXISTS (SELECT 1 FROM expiries WHERE expiries.key = keys.key)
  AND NOT EXISTS (SELECT 1 FROM increments WHERE increments.key = keys.key) AND (value IS NOT NULL OR EXISTS (SELECT 1 FROM elements WHERE elements.key = keys.key AND value IS NOT NULL))
  ORDER BY key LIMIT 4`;
const MAKE_KEY = `INSERT INTO keys (key, bucket, type, kill, version, value, expire_at, parts, timeline) VALUES (?, ?, 1, '', ?, 'hello', 0, 0, NULL)`;

/** As somebody with a database shell would, while the room's daemons run. */
export function tamper(room: RunningRoom): readonly Tampered[] {
  const database = new DatabaseSync(join(room.directory, 'cache', 'cache.db'), { timeout: 5_000 });
  try {
    const keys = (like: string) =>
      database
        .prepare(KEYS_AT_REST)
        .all(like)
        .map((row) => String(row['key']));
    const [strings, sets] = [keys('string:%'), keys('set:%')];
    const [deleted = '', changed = ''] = strings;
    const [emptied = ''] = sets;
    for (const key of [deleted, emptied]) {
      database.prepare('DELETE FROM keys WHERE key = ?').run(key);
      database.prepare('DELETE FROM elements WHERE key = ?').run(key);
    }
    database.prepare("UPDATE keys SET value = 'tampered' WHERE key = ?").run(changed);
    database.prepare(MAKE_KEY).run(MADE, bucketOf(MADE), versionOf(formatStamp({ ms: Date.now(), counter: 0, writer: 1 << 24 }), 0));
    return [
      { room: room.id, key: deleted, kind: 'missing' },
      { room: room.id, key: emptied, kind: 'missing' },
      { room: room.id, key: changed, kind: 'value' },
      { room: room.id, key: MADE, kind: 'extra' },
    ];
  } finally {
    database.close();
  }
}
