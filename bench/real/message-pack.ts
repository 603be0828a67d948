/** A batch as one argument, made as cheaply as the store's own packer makes it: that is the reference's due. */
import { Packer } from '../../store/redis/packer.ts';
import type { PlainWrite } from './writes.ts';

const packer = new Packer(256 * 1024);

export function packed(batch: readonly PlainWrite[]): Buffer {
  packer.array(3);
  packer.array(batch.length * 2);
  for (const { key, value } of batch) {
    packer.text(key);
    packer.text(value);
  }
  packer.array(batch.length);
  for (const { bucket } of batch) packer.text(bucket);
  packer.array(batch.length);
  for (const { head } of batch) packer.bytes(head);
  return packer.take();
}
