-- Records of a kind in the order of their keys' bytes; what has expired is left out, however much that is.
-- KEYS: values, names
-- ARGV: prefix, after, limit, now
local prefix, after, limit, now = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local from = '[' .. prefix
if after ~= '' and after >= prefix then
  from = '(' .. after
end
local found = {}
while #found < limit do
  local keys = redis.call('ZRANGEBYLEX', KEYS[2], from, '(' .. prefix .. '\255', 'LIMIT', 0, limit - #found)
  if #keys == 0 then
    break
  end
  for _, key in ipairs(keys) do
    local kept = redis.call('HGET', KEYS[1], key)
    local expires = kept and string.match(kept, '^%d+ (%d*)')
    if kept and (expires == '' or tonumber(expires) > now) then
      found[#found + 1] = { key, kept }
    end
    from = '(' .. key
  end
end
return found
