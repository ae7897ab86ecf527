-- What the other scripts share: a room's head as the store has it, and what its log no longer keeps.

local function digits(number)
  return string.format('%.0f', number)
end

-- A room's entry, made with the caller's draw if there is none: the first message keeps the epoch that was told before.
local function open(meta, stream, draw, expire)
  local m = redis.call('HMGET', meta, 'e', 'o', 'i', 'q', 't', 'f', 'g', 'w')
  if m[1] then
    return { e = m[1], o = tonumber(m[2]), i = m[3], q = tonumber(m[4]), t = tonumber(m[5]),
             f = tonumber(m[6]), g = m[7], w = tonumber(m[8]), new = false }
  end
  local none = string.rep('0', 32)
  redis.call('DEL', stream)
  redis.call('HSET', meta, 'e', draw, 'o', 0, 'i', none, 'q', 0, 't', 0, 'f', 1, 'g', none, 'w', 0)
  redis.call('PEXPIRE', meta, expire)
  return { e = draw, o = 0, i = none, q = 0, t = 0, f = 1, g = none, w = 0, new = true }
end

-- Drops what is too much, too large or too old, at most 500 messages in one go.
local function trim(meta, stream, m, messages, bytes, age, now)
  if messages == '' and bytes == '' and age == '' then
    return
  end
  local first = m.f
  for _ = 1, 500 do
    if m.f > m.o then
      break
    end
    local over = (messages ~= '' and m.o - m.f + 1 > tonumber(messages))
      or (bytes ~= '' and m.w > tonumber(bytes))
    if not over and age == '' then
      break
    end
    local oldest = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
    if not oldest then
      break
    end
    local fields = oldest[2]
    if not over and tonumber(fields[6]) + tonumber(age) >= now then
      break
    end
    redis.call('XDEL', stream, oldest[1])
    m.f = m.f + 1
    m.g = fields[2]
    m.w = m.w - tonumber(fields[8])
  end
  if m.f ~= first then
    redis.call('HSET', meta, 'f', digits(m.f), 'g', m.g, 'w', digits(m.w))
  end
end

-- The id of the message at an offset; an empty text if it is no longer held.
local function id_at(stream, m, offset)
  if offset == m.o then
    return m.i
  end
  if offset + 1 == m.f then
    return m.g
  end
  if offset < m.f or offset > m.o then
    return ''
  end
  local id = digits(offset) .. '-0'
  local found = redis.call('XRANGE', stream, id, id)[1]
  return found and found[2][2] or ''
end
