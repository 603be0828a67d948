/** Kafka that does not let everybody in: that asks for a user and a password, for certificates, or that gives each user rights of its own. */
import { after } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Kafka } from 'kafkajs';
import { Authority } from './certificates.ts';
import { type KafkaServer, startKafka } from './kafka.ts';

export const PLAIN = { mechanism: 'plain', user: 'wmb', password: 'Wmb-secret-1' } as const;
export const SCRAM = { ...PLAIN, mechanism: 'scram-sha-512' } as const;

export interface GuardedKafka {
  /** With PLAIN. */
  readonly plain: KafkaServer | undefined;
  /** With SCRAM, over TLS with certificates of both sides. */
  readonly scram: KafkaServer | undefined;
  readonly authority: Authority;
  /** One whom the brokers do not know. */
  readonly stranger: Authority;
  /** The certificate of a client. */
  readonly mine: ReturnType<Authority['sign']>;
}

/** Removed when the file is done. `skip`: there is no engine, and the certificates only are made. */
export async function guardedKafka(skip: boolean): Promise<GuardedKafka> {
  const authority = new Authority();
  const stranger = new Authority('another authority');
  after(() => {
    authority.remove();
    stranger.remove();
  });
  const mine = authority.sign('client', ['DNS:wmb']);
  const tls = { ca: authority.ca, ...authority.sign('broker', ['IP:127.0.0.1']), client: mine };
  const { user: username, password } = PLAIN;
  const start = () => [
    startKafka({ sasl: { mechanism: PLAIN.mechanism, username, password } }),
    startKafka({ sasl: { mechanism: SCRAM.mechanism, username, password }, tls }),
  ];
  const [plain, scram] = skip ? [] : await Promise.all(start());
  after(() => Promise.all([plain?.remove(), scram?.remove()]));
  return { plain, scram, authority, stranger, mine };
}

/** By Kafka's own numbers, which the library's types know and the library does not show. */
const OPERATION = { READ: 3, WRITE: 4, CREATE: 5, DELETE: 6, DESCRIBE: 8, DESCRIBE_CONFIGS: 10 } as const;
const [ANY, ALLOW, TOPIC, GROUP, LITERAL, PREFIXED] = [1, 3, 2, 3, 3, 4] as const;

type Operation = keyof typeof OPERATION;

export interface Grant {
  /** All topics whose names begin so. */
  readonly topics?: string;
  readonly group?: string;
  readonly rights: readonly Operation[];
}

export type KafkaUser = { readonly mechanism: 'plain'; readonly user: string; readonly password: string };

const ROOT = { mechanism: 'plain', username: 'root', password: 'Wmb-root-1' } as const;
const USERS_MAX = 48;
const SEEN_POLL_MS = 20;

/** A broker on which nobody may do anything that was not granted. */
export class KafkaWithRights {
  readonly server: KafkaServer;
  #users = 0;

  private constructor(server: KafkaServer) {
    this.server = server;
  }

  /** Removed when the file is done. */
  static async start(): Promise<KafkaWithRights> {
    const names = [ROOT.username, ...Array.from({ length: USERS_MAX }, (_, n) => `user${n}`)];
    const users = names.map((name) => `user_${name}="${ROOT.password}"`).join(' ');
    const server = await startKafka({
      sasl: ROOT,
      settings: {
        'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
        // Brokers, and the tools in the container, do not say who they are.
        'super.users': `User:ANONYMOUS;User:${ROOT.username}`,
        'listener.name.client.plain.sasl.jaas.config': `org.apache.kafka.common.security.plain.PlainLoginModule required ${users};`,
      },
    });
    after(() => server.remove());
    return new KafkaWithRights(server);
  }

  /** One whom no other test has, with these rights. */
  async user(...grants: readonly Grant[]): Promise<KafkaUser> {
    if (this.#users >= USERS_MAX) throw new Error(`there are ${USERS_MAX} users`);
    const user = `user${this.#users}`;
    this.#users += 1;
    const acl = grants.flatMap(({ topics, group, rights }) =>
      rights.map((right) => ({
        principal: `User:${user}`,
        host: '*',
        operation: OPERATION[right],
        permissionType: ALLOW,
        resourceType: group === undefined ? TOPIC : GROUP,
        resourceName: group ?? topics ?? '',
        resourcePatternType: group === undefined ? PREFIXED : LITERAL,
      })),
    );
    const admin = new Kafka(this.server.client).admin();
    await admin.connect();
    try {
      if (acl.length > 0) await admin.createAcls({ acl });
      const seen = async () => {
        const { resources } = await admin.describeAcls({
          principal: `User:${user}`,
          operation: ANY,
          permissionType: ANY,
          resourceType: ANY,
          resourcePatternType: ANY,
        });
        return resources.reduce((sum, { acls }) => sum + acls.length, 0);
      };
      while ((await seen()) < acl.length) await sleep(SEEN_POLL_MS);
    } finally {
      await admin.disconnect();
    }
    return { mechanism: 'plain', user, password: ROOT.password };
  }
}
