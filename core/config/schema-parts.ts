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

// ── servers ────────────────────────────────────────────────────────────────────────────────────────────────────────

const passwordSchema = z
  .strictObject({
    env: z
      .string()
      .regex(/^[A-Za-z_][A-Za-z0-9_]*$/)
      .meta({
        description: 'Environment variable that holds the password.',
        allowed: 'the name of an environment variable, not the password itself',
        secret: true,
      }),
  })
  .optional();
export const passwordOf = (description: string) =>
  passwordSchema.meta({
    description,
    allowed: 'a mapping { env: NAME } that names an environment variable; the password itself never stands in the file',
    example: null,
    secret: true,
  });
export const optionalText = (description: string, regex: RegExp, allowed: string) =>
  z.string().regex(regex).optional().meta({ description, allowed });
export const USER_NAME = /^[^\0]{1,80}$/;

const BROKERS_MAX = 64;
/** Some brokers of a Kafka; `meta` says what they are. */
export const brokers = z.array(addressOf('A broker.', '127.0.0.1:9092')).min(1).max(BROKERS_MAX);
export const BROKERS_ALLOWED = `a list of 1 to ${BROKERS_MAX} addresses, host:port`;

/** To brokers of Kafka. */
export const saslOf = (description: string) =>
  z
    .strictObject({
      mechanism: z.enum(['plain', 'scram-sha-256', 'scram-sha-512']).default('scram-sha-512').meta({
        description: 'How the password is proved. `plain` sends it as it is: only over `tls`.',
      }),
      user: z
        .string()
        .regex(USER_NAME)
        .meta({ description: 'Name of the user.', allowed: 'a user name of up to 80 characters', example: 'wmb' }),
      password: passwordOf('The user’s password.'),
    })
    .optional()
    .meta({ description, example: null });

/** To a server. */
export const tlsOf = (caExample: string) =>
  z
    .strictObject({
      caFile: pathOf('Certificates of the authorities that sign the server’s certificate, PEM.', caExample),
      certFile: path.optional().meta({ ...path.meta(), description: 'A certificate of this client, PEM.' }),
      keyFile: path.optional().meta({ ...path.meta(), description: 'Its private key, PEM.' }),
    })
    .optional()
    .meta({ description: 'Encrypts the connection to the server and proves the server’s identity.', example: null });
