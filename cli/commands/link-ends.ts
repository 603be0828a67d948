/** The two rooms that a command about a link names. */
import type { Config } from '../../core/config/types.ts';
import type { RoomId } from '../../core/words.ts';
import { roomOf } from '../context.ts';

/** ROOM_UNKNOWN. */
export function endsOf(config: Config, originName: string, peerName: string): { readonly origin: RoomId; readonly peer: RoomId } {
  return { origin: roomOf(config, originName), peer: roomOf(config, peerName) };
}
