/**
 * What runs inside Redis. The rules of convergence do not: a function compares what is stored with what was read before and writes what it is told, all or
 * nothing. The one exception is the hottest case, a `set` or `del` of a key that is absent, a plain string or a tombstone: whose version is greater is
 * decided there, without a reading before. Where such a write meets anything else, nothing is changed and the answer names it.
 *
 * Versions are compared as numbers, in parts that a double holds exactly: Lua compares strings as the server's locale does, which is not always by bytes.
 *
 * `commit` answers `A` and outcomes; `G`: another revision than was left; `M`, a place and a mark: another one than expected; `S` and places of
 * cells that are not as they were read; `C` and places of hot writes that need the rules.
 */
import { hash } from 'node:crypto';

const SOURCE = `
local function isKnown(revision, known)
  if revision == known[3] and known[2] == '0' then return true end
  local nonce, count = string.match(revision, '^(.+)-(%d+)$')
  -- A call that was held up on a connection that is gone comes too late.
  return nonce == known[1] and tonumber(count) >= tonumber(known[2]) and tonumber(count) < tonumber(known[4])
end

-- What a floor rests on: other writers' revisions, each with the least that it may have come to.
local function lacks(known)
  for i = 6, #known, 3 do
    local nonce, count = string.match(redis.call('HGET', 'wmb:room', known[i]) or '', '^(.+)-(%d+)$')
    if nonce ~= known[i + 1] or tonumber(count) < tonumber(known[i + 2]) then return true end
  end
  return false
end

local function order(stored, new)
  local unpack = struct.unpack
  local a, b = unpack('>I6', stored, 2), unpack('>I6', new, 2)
  if a < b then return -1 end
  if a > b then return 1 end
  local c, d = unpack('>I4I4', stored, 8)
  local e, f = unpack('>I4I4', new, 8)
  if c ~= e then return c < e and -1 or 1 end
  if d ~= f then return d < f and -1 or 1 end
  return 0
end

local SIZES = { [115] = 15, [101] = 21, [100] = 15 }

local function decide(stored, new, isDelete)
  local kind = string.byte(stored)
  if SIZES[kind] ~= #stored then return 'c' end
  local by = order(stored, new)
  if by < 0 then return 'a' end
  if by > 0 then return 's' end
  if kind == 100 then return isDelete and 'd' or 's' end
  return isDelete and 'a' or 'd'
end

local function refusedMark(moves)
  for i = 1, #moves, 4 do
    local stored = redis.call('HGET', 'wmb:marks', moves[i])
    local prefix, seq = moves[i + 1], '-1'
    if stored and string.sub(stored, 1, #prefix) == prefix then seq = string.sub(stored, #prefix + 1) end
    if seq ~= moves[i + 2] then return { 'M', (i - 1) / 4, stored or '' } end
  end
end

local function staleCells(cells)
  local call, stale = redis.call, {}
  for i = 1, #cells do
    local cell = cells[i]
    local same = (call('HGET', cell[1], cell[2]) or '') == cell[3]
    if same and cell[4] ~= '' then
      local type = call('TYPE', cell[5]).ok
      same = type == cell[4] or type == 'none'
    end
    if not same then stale[#stale + 1] = i - 1 end
  end
  return stale
end

local function decideMixed(mixed, outcomes, from, complex)
  local now = {}
  for i = 1, #mixed do
    local write = mixed[i]
    local stored = now[write[3]] or redis.call('HGET', write[2], write[3])
    local outcome = stored and decide(stored, write[4], write[1] == 'd') or 'a'
    if outcome == 'c' then complex[#complex + 1] = from + i - 1 end
    if outcome == 'a' then now[write[3]] = write[4] end
    outcomes[from + i] = outcome
  end
end

local function writeMixed(mixed, outcomes, from)
  local call = redis.call
  for i = 1, #mixed do
    if outcomes[from + i] == 'a' then
      local write = mixed[i]
      call('HSET', write[2], write[3], write[4])
      if write[1] == 'd' then call('UNLINK', write[3])
      elseif write[6] == '' then call('SET', write[3], write[5])
      else call('SET', write[3], write[5], 'PXAT', write[6]) end
    end
  end
end

local function writePlain(values, buckets, heads, outcomes)
  local call, all = redis.call, true
  for i = 1, #buckets do
    if outcomes[i] == 'a' then call('HSET', buckets[i], values[2 * i - 1], heads[i]) else all = false end
  end
  local kept = all and values or {}
  for i = 1, all and 0 or #buckets do
    if outcomes[i] == 'a' then
      kept[#kept + 1] = values[2 * i - 1]
      kept[#kept + 1] = values[2 * i]
    end
  end
  for from = 1, #kept, 4000 do call('MSET', unpack(kept, from, math.min(from + 3999, #kept))) end
end

local function writeCells(cells)
  local call = redis.call
  for i = 1, #cells do
    local cell = cells[i]
    if cell[6] == '' then call('HDEL', cell[1], cell[2])
    elseif cell[6] ~= '=' then call('HSET', cell[1], cell[2], cell[6]) end
    local commands = cell[7]
    for j = 1, #commands do call(unpack(commands[j])) end
  end
end

local function commit(argument)
  local call = redis.call
  local known, moves, settled, dirty, clean, values, buckets, heads, mixed, cells = unpack(cmsgpack.unpack(argument))
  if not isKnown(call('HGET', 'wmb:room', known[5]) or '', known) or lacks(known) then return { 'G' } end
  local refused = refusedMark(moves)
  if refused then return refused end
  local stale = staleCells(cells)
  if #stale > 0 then return { 'S', stale } end
  local outcomes, complex = {}, {}
  for i = 1, #buckets do
    local stored = call('HGET', buckets[i], values[2 * i - 1])
    local outcome = stored and decide(stored, heads[i], false) or 'a'
    if outcome == 'c' then complex[#complex + 1] = i - 1 end
    outcomes[i] = outcome
  end
  decideMixed(mixed, outcomes, #buckets, complex)
  if #complex > 0 then return { 'C', complex } end
  call('HSET', 'wmb:room', known[5], known[1] .. '-' .. known[4])
  writePlain(values, buckets, heads, outcomes)
  writeMixed(mixed, outcomes, #buckets)
  writeCells(cells)
  if settled ~= '' then call('HSET', 'wmb:room', 'settled', settled) end
  for i = 1, #dirty do call('SETBIT', 'wmb:dirty', dirty[i], 1) end
  for i = 1, #clean do call('SETBIT', 'wmb:dirty', clean[i], 0) end
  for i = 1, #moves, 4 do
    if moves[i + 3] ~= '' then call('HSET', 'wmb:marks', moves[i], moves[i + 1] .. moves[i + 3]) end
  end
  return { 'A', table.concat(outcomes) }
end

local function look()
  local call = redis.call
  return { call('HGETALL', 'wmb:room'), call('HGETALL', 'wmb:marks') }
end

local function adopt(argument)
  local call = redis.call
  local field, found, revision, room, schema, dirty = unpack(cmsgpack.unpack(argument))
  if (call('HGET', 'wmb:room', field) or '') ~= found then return 0 end
  call('HSET', 'wmb:room', field, revision)
  call('HSETNX', 'wmb:room', 'id', room)
  call('HSETNX', 'wmb:room', 'schema', schema)
  if dirty ~= '' then call('SET', 'wmb:dirty', dirty) end
  return 1
end

local TYPES = { [104] = 'hash', [109] = 'set', [122] = 'zset' }

local function dataOf(key)
  return string.sub(key, 1, 4) == 'wmb:' and 'wmb:=' .. key or key
end

local function whole(key, head)
  local call = redis.call
  local data = dataOf(key)
  local type, value = call('TYPE', data).ok, false
  if type == 'string' then value = call('GET', data)
  elseif type == 'hash' then value = call('HGETALL', data)
  elseif type == 'set' then value = call('SMEMBERS', data)
  elseif type == 'zset' then value = call('ZRANGE', data, 0, -1, 'WITHSCORES') end
  local expiry = type == 'none' and -2 or call('PEXPIRETIME', data)
  local elements = false
  if head and SIZES[string.byte(head)] ~= #head then elements = call('HGETALL', 'wmb:e:' .. key) end
  return { 'w', head or '', type, value, expiry, elements }
end

local function some(key, head, names, fields)
  local call = redis.call
  local data = dataOf(key)
  local kind = head and string.byte(head)
  local type = call('TYPE', data).ok
  if kind == nil or kind == 100 then return type == 'none' and { 'p', head or '', {}, {} } or whole(key, head) end
  if TYPES[kind] == nil or (type ~= 'none' and type ~= TYPES[kind]) then return whole(key, head) end
  local read = kind == 104 and 'HMGET' or kind == 109 and 'SMISMEMBER' or 'ZMSCORE'
  return { 'p', head, call('HMGET', 'wmb:e:' .. key, unpack(fields)), call(read, data, unpack(names)) }
end

local function load(argument)
  local wanted, answers = cmsgpack.unpack(argument), {}
  for i = 1, #wanted do
    local bucket, key, names, fields = unpack(wanted[i])
    local head = redis.call('HGET', bucket, key)
    answers[i] = #names > 0 and some(key, head, names, fields) or whole(key, head)
  end
  return answers
end

local function buckets(argument)
  local numbers, all = cmsgpack.unpack(argument), {}
  for i = 1, #numbers do
    local found = {}
    for _, prefix in ipairs({ 'wmb:b:', 'wmb:l:' }) do
      local heads = redis.call('HGETALL', prefix .. numbers[i])
      for j = 1, #heads, 2 do
        found[#found + 1] = heads[j]
        found[#found + 1] = whole(heads[j], heads[j + 1])
      end
    end
    if #found > 0 then
      all[#all + 1] = i - 1
      all[#all + 1] = found
    end
  end
  return all
end

local function heads(argument)
  local numbers, found = cmsgpack.unpack(argument), {}
  for i = 1, #numbers do
    for _, prefix in ipairs({ 'wmb:b:', 'wmb:l:' }) do
      local of = redis.call('HGETALL', prefix .. numbers[i])
      for j = 1, #of do found[#found + 1] = of[j] end
    end
  end
  return found
end

local function strays(argument)
  local names, found = cmsgpack.unpack(argument), {}
  for i = 1, #names, 2 do
    if redis.call('HEXISTS', names[i], names[i + 1]) == 0 then found[#found + 1] = names[i + 1] end
  end
  return found
end

-- Of these commands, those that the user may not give.
local function denied(argument)
  local commands, found = cmsgpack.unpack(argument), {}
  for i = 1, #commands do
    if not redis.acl_check_cmd(unpack(commands[i])) then found[#found + 1] = commands[i][1] end
  end
  return found
end
`;

export const FUNCTION_NAMES = ['commit', 'look', 'adopt', 'load', 'buckets', 'heads', 'strays', 'denied'] as const;
export type FunctionName = (typeof FUNCTION_NAMES)[number];

const READS: ReadonlySet<FunctionName> = new Set(['look', 'load', 'buckets', 'heads', 'strays', 'denied']);

/** Every command that a function gives, with as many arguments as it takes behind the key. */
export const NEEDED: readonly (readonly [command: string, ...rest: string[]])[] = [
  ...(['TYPE', 'GET', 'HGETALL', 'SMEMBERS', 'PEXPIRETIME', 'UNLINK', 'PERSIST'] as const).map((command) => [command] as const),
  ...(['HGET', 'HMGET', 'HEXISTS', 'SMISMEMBER', 'ZMSCORE', 'SET', 'MSET', 'HDEL', 'SADD', 'SREM', 'ZREM', 'PEXPIREAT'] as const).map(
    (command) => [command, '1'] as const,
  ),
  ...(['HSET', 'HSETNX', 'ZADD', 'SETBIT', 'ZRANGE'] as const).map((command) => [command, '1', '1'] as const),
];

/** Changes with the source, so that daemons of two versions on one server keep each their own. */
const VERSION = hash('sha1', SOURCE, 'hex').slice(0, 8);

/** As a function is called. */
export function functionName(name: FunctionName): string {
  return `wmb_${VERSION}_${name}`;
}

/** For FUNCTION LOAD. */
export const LIBRARY = `#!lua name=wmb_${VERSION}
${SOURCE}
${FUNCTION_NAMES.map((name) => {
  const flags = READS.has(name) ? `, flags = { 'no-writes' }` : '';
  return `redis.register_function{ function_name = '${functionName(name)}', callback = function(keys, args) return ${name}(args[1]) end${flags} }`;
}).join('\n')}
`;

/** The same as one script, where functions may not be loaded: its first argument says which. */
export const SCRIPT = `${SOURCE}
local functions = { ${FUNCTION_NAMES.map((name) => `${name} = ${name}`).join(', ')} }
return functions[ARGV[1]](ARGV[2])
`;
