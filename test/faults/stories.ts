/** A fault, told as what happens while messages are submitted. */
import type { Arena, ArenaOptions } from './arena.ts';

export interface Story extends ArenaOptions {
  readonly name: string;
  happens(arena: Arena): Promise<void>;
}
