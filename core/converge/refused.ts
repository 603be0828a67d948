/** What cannot converge: the commands and options that WMB refuses, why, and what to use instead. */

const DEPENDS = 'its result depends on what this room happens to hold';

/** Command → reason and remedy, as one sentence after the command's name. */
export const REFUSED_COMMANDS: Readonly<Record<string, string>> = {
  APPEND: `${DEPENDS}; SET the whole value`,
  SETRANGE: `${DEPENDS}; SET the whole value`,
  SETBIT: `${DEPENDS}; keep one set member per bit (SADD, SREM) or SET the whole value`,
  BITFIELD: `${DEPENDS}; keep one hash field per number (HSET, HINCRBY)`,
  BITOP: `${DEPENDS}; SET the result`,
  GETSET: 'a write request gives nothing back; read first, then SET',
  GETDEL: 'a write request gives nothing back; read first, then DEL',
  GETEX: 'a write request gives nothing back; read, and submit PEXPIREAT',
  SETNX: 'two rooms would both find the key absent; SET it, the greater stamp wins in every room',
  MSETNX: 'two rooms would both find the keys absent; MSET them, the greater stamp wins in every room',
  HSETNX: 'two rooms would both find the field absent; HSET it, the greater stamp wins in every room',
  SETEX: 'it is deprecated; use SET key value EX seconds',
  PSETEX: 'it is deprecated; use SET key value PX milliseconds',
  INCRBYFLOAT: 'sums of floats differ with the order of the additions; count in the smallest unit with INCRBY, or use ZINCRBY',
  HINCRBYFLOAT: 'sums of floats differ with the order of the additions; count in the smallest unit with HINCRBY, or use ZINCRBY',
  RENAME: `${DEPENDS}; submit the new key whole and DEL the old one`,
  RENAMENX: `${DEPENDS}; submit the new key whole and DEL the old one`,
  COPY: `${DEPENDS}; submit the new key whole`,
  MOVE: 'there is one keyspace; submit the new key whole and DEL the old one',
  RESTORE: 'a dump differs with the server’s version; submit the value with SET, HSET, SADD or ZADD',
  SORT: `${DEPENDS}; submit the result`,
  SPOP: 'rooms would remove different members; choose the member and SREM it',
  SMOVE: `${DEPENDS}; SREM it here and SADD it there`,
  ZPOPMIN: 'rooms would remove different members; choose the member and ZREM it',
  ZPOPMAX: 'rooms would remove different members; choose the member and ZREM it',
  ZREMRANGEBYRANK: `${DEPENDS}; use WMB.TIMELINE for a capped list, or ZREM the members`,
  ZREMRANGEBYSCORE: `${DEPENDS}; ZREM the members`,
  ZREMRANGEBYLEX: `${DEPENDS}; ZREM the members`,
  SINTERSTORE: `${DEPENDS}; submit the result with SADD`,
  SUNIONSTORE: `${DEPENDS}; submit the result with SADD`,
  SDIFFSTORE: `${DEPENDS}; submit the result with SADD`,
  ZINTERSTORE: `${DEPENDS}; submit the result with ZADD`,
  ZUNIONSTORE: `${DEPENDS}; submit the result with ZADD`,
  ZRANGESTORE: `${DEPENDS}; submit the result with ZADD`,
  HEXPIRE: 'a field has no expiry of its own; use a key of its own, or HDEL',
  HPEXPIRE: 'a field has no expiry of its own; use a key of its own, or HDEL',
  PFADD: 'a sketch has no elements to compare; use SADD, or count in the application',
  PFMERGE: 'a sketch has no elements to compare; use SADD, or count in the application',
  GEOADD: 'it is a sorted set under another spelling; use ZADD with the geohash as score',
  XADD: 'a stream’s ids are given by the room; use WMB.TIMELINE key cap member',
  EVAL: 'a script sees only this room; write a processor, a pure function of the write request',
  EVALSHA: 'a script sees only this room; write a processor, a pure function of the write request',
  FCALL: 'a function sees only this room; write a processor, a pure function of the write request',
  MULTI: 'the commands of one write request belong together already; leave it out',
  EXEC: 'the commands of one write request belong together already; leave it out',
  PUBLISH: 'it is a message and no state; use a message broker',
  FLUSHALL: 'it would delete what is on its way from other rooms; DEL the keys',
  FLUSHDB: 'it would delete what is on its way from other rooms; DEL the keys',
};

const LISTS = 'no system makes list operations exact in several rooms; use WMB.TIMELINE key cap member, or ZADD and ZREM';
const LIST_COMMANDS = [
  'LPUSH',
  'RPUSH',
  'LPUSHX',
  'RPUSHX',
  'LPOP',
  'RPOP',
  'BLPOP',
  'BRPOP',
  'LMOVE',
  'BLMOVE',
  'LMPOP',
  'RPOPLPUSH',
  'BRPOPLPUSH',
  'LSET',
  'LINSERT',
  'LREM',
  'LTRIM',
];

const READS = new Set([
  'GET',
  'MGET',
  'STRLEN',
  'GETRANGE',
  'EXISTS',
  'TYPE',
  'TTL',
  'PTTL',
  'KEYS',
  'SCAN',
  'HGET',
  'HMGET',
  'HGETALL',
  'HKEYS',
  'HVALS',
  'HLEN',
  'HEXISTS',
  'SMEMBERS',
  'SISMEMBER',
  'SCARD',
  'ZRANGE',
  'ZREVRANGE',
  'ZSCORE',
  'ZCARD',
  'ZRANK',
  'LRANGE',
  'LLEN',
]);

/** Why the command is not taken and what to do instead. */
export function whyRefused(command: string): string {
  const reason = Object.hasOwn(REFUSED_COMMANDS, command) ? REFUSED_COMMANDS[command] : undefined;
  if (reason !== undefined) return reason;
  if (LIST_COMMANDS.includes(command)) return LISTS;
  if (READS.has(command)) return 'it changes nothing; read the cache with a Redis client';
  return 'no such cache command; the commands taken are SET, MSET, DEL, EXPIRE, PERSIST, HSET, HDEL, SADD, SREM, ZADD, ZREM, INCR, HINCRBY, ZINCRBY, WMB.TIMELINE and their variants';
}

/** `COMMAND OPTION` → reason and remedy. */
export const REFUSED_OPTIONS: Readonly<Record<string, string>> = {
  NX: 'two rooms would both find it absent; leave it out, the greater stamp wins in every room',
  XX: `${DEPENDS}; leave it out`,
  GT: `${DEPENDS}; leave it out, the greater stamp wins in every room`,
  LT: `${DEPENDS}; leave it out, the greater stamp wins in every room`,
  GET: 'a write request gives nothing back; read first, then SET',
  KEEPTTL: `${DEPENDS}; give the expiry with PXAT`,
  CH: 'a write request gives nothing back; leave it out',
  INCR: 'use ZINCRBY',
};
