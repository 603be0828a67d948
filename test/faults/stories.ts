/** A fault, told as what happens while messages are submitted. */
import type { Arena, ArenaOptions } from './arena.ts';

export interface Story extends ArenaOptions {
  readonly name: string;
  happens(arena: Arena): Promise<void>;
  /** What is wrong in the end, and how the proof has to say it: shows that a story can fail. Without it everything has to hold. */
  readonly noticed?: RegExp;
}
