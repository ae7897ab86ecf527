-- Spreads what is not kept, in order with what is.
-- KEYS: meta
-- ARGV: node, channel, now, fence, id, body
local clock = redis.call('TIME')
if tonumber(ARGV[4]) > 0 and clock[1] * 1000 + clock[2] / 1000 >= tonumber(ARGV[4]) then
  return { 'late' }
end
local time = math.max(tonumber(ARGV[3]), tonumber(redis.call('HGET', KEYS[1], 't') or 0))
redis.call('PUBLISH', ARGV[2],
  table.concat({ 'p1', ARGV[1], '-', '0', '0', digits(time), ARGV[5] }, ' ') .. '\n' .. ARGV[6])
return { 'passed', time }
