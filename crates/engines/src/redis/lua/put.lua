-- Writes or deletes a record if what is there is as expected.
-- KEYS: values, names, expiries, version
-- ARGV: key, `set` or `delete`, value, expires, `any`, `absent` or `version`, version, now, where versions start
local now = tonumber(ARGV[7])
for _, key in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', ARGV[7], 'LIMIT', 0, 20)) do
  redis.call('HDEL', KEYS[1], key)
  redis.call('ZREM', KEYS[2], key)
  redis.call('ZREM', KEYS[3], key)
end
local version = ''
local kept = redis.call('HGET', KEYS[1], ARGV[1])
if kept then
  local line = string.sub(kept, 1, string.find(kept, '\n', 1, true) - 1)
  local number, expires = string.match(line, '^(%d+) (%d*)$')
  if expires == '' or tonumber(expires) > now then
    version = number
  end
end
if (ARGV[5] == 'absent' and version ~= '') or (ARGV[5] == 'version' and version ~= ARGV[6]) then
  return { 'other' }
end
redis.call('ZREM', KEYS[3], ARGV[1])
if ARGV[2] == 'delete' then
  redis.call('HDEL', KEYS[1], ARGV[1])
  redis.call('ZREM', KEYS[2], ARGV[1])
  return { 'written', 0 }
end
if redis.call('EXISTS', KEYS[4]) == 0 then
  redis.call('SET', KEYS[4], ARGV[8])
end
local next = redis.call('INCR', KEYS[4])
redis.call('HSET', KEYS[1], ARGV[1], digits(next) .. ' ' .. ARGV[4] .. '\n' .. ARGV[3])
redis.call('ZADD', KEYS[2], 0, ARGV[1])
if ARGV[4] ~= '' then
  redis.call('ZADD', KEYS[3], ARGV[4], ARGV[1])
end
return { 'written', next }
