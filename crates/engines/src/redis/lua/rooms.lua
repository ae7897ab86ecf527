-- The rooms with a log, in the order of their names' bytes. Those whose log has expired are forgotten on the way.
-- KEYS: rooms
-- ARGV: what a meta key begins with, prefix, after, limit
local prefix, after, limit = ARGV[2], ARGV[3], tonumber(ARGV[4])
local from = '[' .. prefix
if after ~= '' and after >= prefix then
  from = '(' .. after
end
local found = {}
while #found < limit do
  local names = redis.call('ZRANGEBYLEX', KEYS[1], from, '(' .. prefix .. '\255', 'LIMIT', 0, limit - #found)
  if #names == 0 then
    break
  end
  for _, name in ipairs(names) do
    local m = redis.call('HMGET', ARGV[1] .. name, 'e', 'o', 'i', 'q')
    if m[1] and tonumber(m[2]) > 0 then
      found[#found + 1] = { name, m[1], tonumber(m[2]), m[3], tonumber(m[4]) }
    else
      redis.call('ZREM', KEYS[1], name)
    end
    from = '(' .. name
  end
end
return found
