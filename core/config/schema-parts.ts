/** What the schemas of both documents are made of. */
import { z } from 'zod';
import { parseAddress } from './address.ts';

export const KIB = 1024;
export const MIB = 1024 * KIB;
export const DAY_MS = 86_400_000;

export const between = (min: number, max: number) => z.number().int().min(min).max(max);

export const roomId = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,31}$/)
  .meta({
    allowed: 'a room id: a lower-case letter, then up to 31 lower-case letters, digits or hyphens',
  });

export const address = z
  .string()
  .refine((text) => parseAddress(text) !== undefined)
  .meta({
    allowed: 'host:port with a port of 1 to 65535, for example 10.0.0.1:7101 or [fd00::1]:7101',
  });

/** Neither a shell nor a template looks at the file, and a directory called `~` helps nobody. */
export const path = z
  .string()
  .regex(/^(?!~)[^$\0]+$/)
  .meta({
    allowed: 'a path, absolute or relative to this file (~ and $ are not expanded)',
  });

export const addressOf = (description: string, example: string) => address.meta({ ...address.meta(), description, example });
export const pathOf = (description: string, example: string) => path.meta({ ...path.meta(), description, example });
