-- An account is in a room on a node, or no longer.
-- KEYS: who is in the room, what the node has said
-- ARGV: node, `+` or `-`, account, room and account and name as bytes, channel
local field = ARGV[1] .. ARGV[3]
if ARGV[2] == '+' then
  redis.call('HSET', KEYS[1], field, ARGV[4])
  redis.call('HSET', KEYS[2], ARGV[4], cmsgpack.pack({ KEYS[1], field, ARGV[5] }))
else
  redis.call('HDEL', KEYS[1], field)
  redis.call('HDEL', KEYS[2], ARGV[4])
end
redis.call('PUBLISH', ARGV[5], 'q1 ' .. ARGV[1] .. ' ' .. ARGV[2] .. '\n' .. ARGV[4])
return {}
