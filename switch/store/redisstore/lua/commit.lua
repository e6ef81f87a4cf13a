-- A list of commits, grouped by bucket. Each is checked whole before its first write, since
-- a script is never rolled back, and is answered on its own.
--
-- ARGV: nonce, list deadline, outbox high-water mark, changes kept, terminal reasons, touch,
--   number of groups, then for each group: epoch, number of commits, and for each commit
--   head (bytes: any version, reserve, list change, due changes; then 8 bytes of nonce),
--   version (8 bytes, or none for absent), mark (4 bytes), deadline (ms, 0 for none),
--   token, state with its version before it (or none), record (or none),
--   the list entry if the head tells of one, and time and key of each due change.
-- KEYS: for each group: meta, out, frozen, freezes, due, and one card for each commit.
-- Reply: stamp, then for each commit its head, a letter, and what goes with it.
local call, pcall = redis.call, redis.pcall
local byte, sub, find = string.byte, string.sub, string.find
local outboxMax, kept = tonumber(ARGV[3]), tonumber(ARGV[4])
local terminal, touch = ARGV[5], ARGV[6] == '1'
local reply, a, k = { stamp }, 8, 1

-- Of the bucket at hand.
local epoch, meta, out, frozen, freezes, due
local date, list, pending, wrote

-- The last entry of the log must be the one that meta counts: else one of them was lost.
local function listDamage()
  local last = pcall('XREVRANGE', freezes, '+', '-', 'COUNT', 1)
  if last.err then return 'Dfreezes: ' .. last.err end
  local id = last[1] and last[1][1] or '0-0'
  if id ~= '0-' .. list then return 'Dfreezes: last ' .. id .. ', meta says ' .. list end
end

local function dueDamage()
  local size = pcall('ZCARD', due)
  if type(size) == 'table' then return 'Ddue: ' .. size.err end
end

local function changeList(token, entry, change)
  local args = { 'XADD', freezes, '0-*', 'c', token .. sub(entry, 1, 4) }
  if tonumber(list) >= kept then
    local oldest = string.format('0-%.0f', tonumber(list) + 2 - kept)
    args = { 'XADD', freezes, 'MINID', '=', oldest, '0-*', 'c', token .. sub(entry, 1, 4) }
  end
  list = sub(call(unpack(args)), 3)
  call('HSET', meta, 'list', list)
  if change == 2 then
    call('HDEL', frozen, token)
  else
    call('HSET', frozen, token, entry)
  end
end

local function one(card, i, any, reserve, change, dues)
  local version, mark, token = ARGV[i + 1], ARGV[i + 2], ARGV[i + 4]
  local state, record = ARGV[i + 5], ARGV[i + 6]
  local deadline = tonumber(ARGV[i + 3])
  if deadline ~= 0 and now > deadline then return 'P' end

  local entry = pcall('HGET', frozen, token)
  if type(entry) == 'table' then return 'Dfrozen: ' .. entry.err end
  local seen = entry and sub(entry, 1, 4) or '\0\0\0\0'
  local have = ''
  if any == 0 then
    have = pcall('GETRANGE', card, 0, 7)
    if type(have) == 'table' then return 'Dcard: ' .. have.err end
  end
  if have ~= version or seen ~= mark then
    local value = pcall('GET', card)
    if type(value) == 'table' then return 'Dcard: ' .. value.err end
    return (have ~= version and 'V' or 'M') .. seen .. (value or '')
  end
  if change > 0 then
    if change ~= 3 and find(terminal, sub(seen, 2, 2), 1, true) then return 'T' end
    local damage = listDamage()
    if damage then return damage end
  end
  if dues > 0 then
    local damage = dueDamage()
    if damage then return damage end
  end
  if record ~= '' and reserve == 0 and pending >= outboxMax then return 'O' end

  -- The outbox is the first write: of all of them it alone can still be refused, when the
  -- stream is ahead of the epoch in meta.
  local id = '-'
  if record ~= '' then
    id = pcall('XADD', out, epoch .. '-*', 'd', date, 'r', record)
    if type(id) == 'table' then return 'Dout: ' .. id.err end
    pending = pending + 1
  end
  if state ~= '' then call('SET', card, state) end
  local first = i + 7
  if change > 0 then
    changeList(token, ARGV[first], change)
    first = first + 1
  end
  for d = first, first + 2 * dues - 1, 2 do
    if ARGV[d] == '' then
      call('ZREM', due, ARGV[d + 1])
    else
      call('ZADD', due, ARGV[d], ARGV[d + 1])
    end
  end
  wrote = wrote or record ~= '' or state ~= '' or change > 0
  return 'C' .. date .. ' ' .. id .. ' ' .. (change > 0 and list or '0')
end

for g = 1, tonumber(ARGV[7]) do
  local count = tonumber(ARGV[a + 1])
  epoch, wrote = ARGV[a], false
  meta, out, frozen, freezes, due = KEYS[k], KEYS[k + 1], KEYS[k + 2], KEYS[k + 3], KEYS[k + 4]
  a, k = a + 2, k + 5

  local bad
  local m = pcall('HMGET', meta, 'epoch', 'date', 'list')
  pending = pcall('XLEN', out)
  if m.err then
    bad = 'Dmeta: ' .. m.err
  elseif type(pending) == 'table' then
    bad = 'Dout: ' .. pending.err
  elseif not m[1] or not m[2] then
    bad = 'Dmeta: no epoch or date'
  elseif m[1] ~= epoch then
    bad = 'F' .. m[1]
  elseif pending == 0 and call('EXISTS', out) == 0 then
    bad = 'Dout: the stream is gone'
  end
  date, list = m[2], m[3] or '0'

  for c = 1, count do
    local head = ARGV[a]
    local any, reserve, change, dues = byte(head, 1, 4)
    reply[#reply + 1] = head .. (bad or one(KEYS[k], a, any, reserve, change, dues))
    a, k = a + 7 + (change > 0 and 1 or 0) + 2 * dues, k + 1
  end
  -- WAIT counts replicas up to the last write of its connection. A group that wrote nothing
  -- writes this, so that its answer too rests on what the replicas hold.
  if touch and not bad and not wrote then call('HSET', meta, 'touched', time[1]) end
end
return reply
