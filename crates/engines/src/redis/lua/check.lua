-- Compares what a node knows of a room with the store. A log that was cut back or rewritten gets a new epoch.
-- KEYS: meta, stream
-- ARGV: draw, epoch, offset, id (empty texts if the node knows nothing)
local offset = tonumber(ARGV[3]) or 0
if redis.call('EXISTS', KEYS[1]) == 0 and offset == 0 then
  return { 'none' }
end
local m = open(KEYS[1], KEYS[2], ARGV[1], '86400000')
local status = 'same'
if ARGV[2] ~= '' and m.e ~= ARGV[2] then
  status = 'changed'
elseif offset > 0 then
  local id = offset <= m.o and id_at(KEYS[2], m, offset) or 'gone'
  if id == '' then
    status = 'trimmed'
  elseif id ~= ARGV[4] then
    redis.call('HSET', KEYS[1], 'e', ARGV[1])
    m.e = ARGV[1]
    status = 'changed'
  end
end
-- A room that somebody follows does not expire.
if redis.call('PTTL', KEYS[1]) > 0 then
  redis.call('PEXPIRE', KEYS[1], '86400000')
  redis.call('PEXPIRE', KEYS[2], '86400000')
end
return { status, m.e, m.o, m.i, m.q }
