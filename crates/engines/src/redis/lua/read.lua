-- Head, first offset and one page of a room's log, from one moment.
-- KEYS: meta, stream, store
-- ARGV: draw, expire, messages, bytes, age, now, what, number, limit, page bytes, most, life of the store
--   what: `head`; `after` or `before` an offset; `since` an offset, or the `last` so many, if that is not too much
-- A cursor is compared with what the node believes the store to be: under another name nothing is read.
if string.sub(redis.call('GET', KEYS[3]) or '', 1, 16) ~= ARGV[12] then
  return { 'renamed' }
end
local m = open(KEYS[1], KEYS[2], ARGV[1], ARGV[2] == '' and '86400000' or ARGV[2])
trim(KEYS[1], KEYS[2], m, ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6]))
local what, number, limit = ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9])
local at, found = '', {}
local command, from, to
if what == 'since' then
  at = id_at(KEYS[2], m, number)
  if number + 1 >= m.f and number <= m.o and m.o - number <= tonumber(ARGV[11]) then
    command, from, to = 'XRANGE', number + 1, m.o
  end
elseif what == 'last' then
  command, from, to = 'XRANGE', math.max(m.o - number + 1, m.f), m.o
elseif what == 'after' then
  command, from, to = 'XRANGE', math.max(number + 1, m.f), m.o
elseif what == 'before' then
  command, from, to = 'XREVRANGE', m.f, math.min(number - 1, m.o)
end
local bytes = 0
local reverse = command == 'XREVRANGE'
while command and from <= to and #found < limit do
  local range = reverse and { digits(to), digits(from) } or { digits(from), digits(to) }
  local some = redis.call(command, KEYS[2], range[1], range[2], 'COUNT', math.min(16, limit - #found))
  if #some == 0 then
    break
  end
  for _, entry in ipairs(some) do
    bytes = bytes + tonumber(entry[2][8])
    if bytes > tonumber(ARGV[10]) and #found > 0 then
      command = nil
      break
    end
    found[#found + 1] = { entry[1], entry[2][2], entry[2][4], entry[2][6], entry[2][10] }
  end
  if reverse then to = to - #some else from = from + #some end
end
return { m.e, m.o, m.i, m.q, m.f, at, found }
