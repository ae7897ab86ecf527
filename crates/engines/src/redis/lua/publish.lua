-- Gives a publication its place, keeps it and spreads it: all of it or nothing.
-- KEYS: meta, stream, seq, rooms, direct, store, key (only if the publication has one)
-- ARGV: node, channel, room, now, fence, draw, id, body, weight, messages, bytes, age, expire,
--       direct channel, hash of the body, when the key was made, window, name of the store
local a = {}
for i, name in ipairs({ 'node', 'channel', 'room', 'now', 'fence', 'draw', 'id', 'body', 'weight', 'messages',
                        'bytes', 'age', 'expire', 'direct', 'hash', 'made', 'window', 'store' }) do
  a[name] = ARGV[i]
end
local now = tonumber(a.now)
local clock = redis.call('TIME')
if tonumber(a.fence) > 0 and clock[1] * 1000 + clock[2] / 1000 >= tonumber(a.fence) then
  return { 'late' }
end

-- The marks of keys are made with the store's name: under another one the same key would be stored twice.
if redis.call('GET', KEYS[6]) ~= a.store then
  return { 'renamed' }
end

if KEYS[7] then
  local seen = redis.call('HMGET', KEYS[7], 'e', 'o', 'i', 'h', 't')
  if seen[1] and now - tonumber(seen[5]) <= tonumber(a.window) then
    if seen[4] ~= a.hash then
      return { 'reused' }
    end
    return { 'again', seen[1], tonumber(seen[2]), seen[3] }
  end
  if a.made ~= '' and tonumber(a.made) <= now - tonumber(a.window) then
    return { 'expired' }
  end
end

local m = open(KEYS[1], KEYS[2], a.draw, a.expire == '' and '86400000' or a.expire)
-- Later than any number that was given out before, also before the store was emptied or an older copy was put back.
local seq = math.max(tonumber(redis.call('GET', KEYS[3]) or '0') + 1, clock[1] * 1000000 + clock[2])
redis.call('SET', KEYS[3], digits(seq))
local time = math.max(now, m.t)
m.o = m.o + 1
m.w = m.w + tonumber(a.weight)
redis.call('XADD', KEYS[2], digits(m.o) .. '-0', 'i', a.id, 'q', digits(seq), 't', digits(time), 'w', a.weight,
  'b', a.body)
redis.call('HSET', KEYS[1], 'o', digits(m.o), 'i', a.id, 'q', digits(seq), 't', digits(time), 'w', digits(m.w))
if a.expire ~= '' then
  redis.call('PEXPIRE', KEYS[1], a.expire)
  redis.call('PEXPIRE', KEYS[2], a.expire)
elseif m.o == 1 then
  redis.call('PERSIST', KEYS[1])
end
if m.o == 1 and string.sub(a.room, 1, 1) ~= '$' then
  redis.call('ZADD', KEYS[4], 0, a.room)
end
trim(KEYS[1], KEYS[2], m, a.messages, a.bytes, a.age, now)
if KEYS[7] then
  redis.call('HSET', KEYS[7], 'e', m.e, 'o', digits(m.o), 'i', a.id, 'h', a.hash, 't', digits(time))
  redis.call('PEXPIRE', KEYS[7], tonumber(a.window) + 60000)
end

local spread = table.concat({ 'p1', a.node, m.e, digits(m.o), digits(seq), digits(time), a.id }, ' ')
  .. '\n' .. a.body
if a.direct ~= '' then
  redis.call('XADD', KEYS[5], 'MAXLEN', '~', 10000, digits(seq) .. '-0', 'b', spread)
  redis.call('PUBLISH', a.direct, spread)
else
  redis.call('PUBLISH', a.channel, spread)
end
return { 'stored', m.e, m.o, a.id, seq, time }
