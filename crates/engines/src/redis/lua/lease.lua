-- Says that a node lives, and takes back what one has said that no longer does: by whoever comes first, once.
-- KEYS: nodes by the time until which they live
-- ARGV: node, for how long, what the key of what a node has said begins with
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local new = redis.call('ZADD', KEYS[1], digits(now + tonumber(ARGV[2])), ARGV[1])
local dead = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. digits(now), 'LIMIT', 0, 1)[1]
if not dead then
  return { new, 0 }
end
local said = ARGV[3] .. dead
local some = redis.call('HSCAN', said, '0', 'COUNT', 500)[2]
for i = 1, #some, 2 do
  local place = cmsgpack.unpack(some[i + 1])
  redis.call('HDEL', said, some[i])
  if redis.call('HDEL', place[1], place[2]) == 1 then
    redis.call('PUBLISH', place[3], 'q1 ' .. dead .. ' -\n' .. some[i])
  end
end
if redis.call('EXISTS', said) == 0 then
  redis.call('ZREM', KEYS[1], dead)
end
return { new, 1 }
