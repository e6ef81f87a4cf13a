-- Closes a business date: appends its marker, which bears that date, and sets the next one.
-- KEYS: meta, out. ARGV: nonce, deadline, epoch, date that the marker closes, next date, marker.
local meta, out = KEYS[1], KEYS[2]
local m = redis.call('HMGET', meta, 'epoch', 'date')
if not m[1] or not m[2] then return { stamp, 'damaged', 'meta has no epoch or date' } end
if m[1] ~= ARGV[3] then return { stamp, 'fenced', m[1] } end
if tonumber(m[2]) >= tonumber(ARGV[5]) then return { stamp, 'ok' } end
if m[2] ~= ARGV[4] then return { stamp, 'changed' } end
if redis.call('EXISTS', out) == 0 then return { stamp, 'damaged', 'out is gone' } end
redis.call('XADD', out, m[1] .. '-*', 'd', m[2], 'r', ARGV[6])
redis.call('HSET', meta, 'date', ARGV[5])
return { stamp, 'ok' }
