-- Notes how far the warehouse holds the outbox and trims up to there, by id and exactly. It may
-- run when memory is full, since it is the way out. The stream keeps its last id when it is
-- emptied, so numbers never come again.
-- KEYS: meta, out. ARGV: nonce, deadline, epoch, seq, id after the confirmed one.
local meta, out = KEYS[1], KEYS[2]
local function parts(id)
  local epoch, seq = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(epoch), tonumber(seq)
end
local function after(e1, s1, e2, s2) return e1 > e2 or e1 == e2 and s1 > s2 end

local epoch, seq = tonumber(ARGV[3]), tonumber(ARGV[4])
local info = redis.call('XINFO', 'STREAM', out)
local last
for i = 1, #info, 2 do
  if info[i] == 'last-generated-id' then last = info[i + 1] end
end
if after(epoch, seq, parts(last)) then return { stamp, 'beyond', last } end
local old = redis.call('HGET', meta, 'confirmed') or '0-0'
if not after(epoch, seq, parts(old)) then return { stamp, 'ok' } end
redis.call('HSET', meta, 'confirmed', ARGV[3] .. '-' .. ARGV[4])
redis.call('XTRIM', out, 'MINID', '=', ARGV[5])
return { stamp, 'ok' }
