/** What an origin says in the topic `down`, checked: that it is the origin, and means this room. */
import { WmbError } from '../../core/errors.ts';
import type { FoundRecord } from '../../kafka/records.ts';
import type { SessionDown } from '../../proto/gen/wmb/v1/link.ts';
import type { Hello, Welcome } from '../link.ts';
import { welcomeFromWire } from '../wire.ts';
import { decodeDown } from './control.ts';
import { downTopic } from './topics.ts';

export interface Offer {
  /** Undefined where the origin refuses: then an error is among the messages. */
  readonly welcome: Welcome | undefined;
  readonly messages: readonly SessionDown[];
}

/** IDENTITY_REFUSED, PEER_GARBAGE, or INBOX_FOREIGN where the inbox is of other rooms. */
export function readOffer(
  { value }: FoundRecord,
  { hello, secret }: { readonly hello: Pick<Hello, 'from' | 'to'>; readonly secret: string },
): Offer {
  const { room, to, welcome, messages } = decodeDown(value, secret);
  if (room !== hello.to || to !== hello.from) {
    throw new WmbError(
      'INBOX_FOREIGN',
      `the topic ${downTopic(hello.to)} has what room ${room} says to room ${to}, and this is room ${hello.from}; give each of the two a Kafka of its own, or, where room ${to} takes nothing there any more, delete the topics wmb.inbox.${hello.to}.* and run \`wmb link init\``,
    );
  }
  if (welcome === undefined) return { welcome: undefined, messages };
  return { welcome: welcomeFromWire({ message: { $case: 'welcome', value: welcome } }).welcome, messages };
}
