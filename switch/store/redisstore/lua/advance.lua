-- Opens the next epoch of a bucket, if the epoch and the last entry are still those that its
-- marker names. KEYS: meta, out. ARGV: nonce, deadline, epoch, last id, next epoch, marker.
local meta, out = KEYS[1], KEYS[2]
local m = redis.call('HMGET', meta, 'epoch', 'date')
if not m[1] or not m[2] then return { stamp, 'damaged', 'meta has no epoch or date' } end
local last = redis.call('XINFO', 'STREAM', out)
for i = 1, #last, 2 do
  if last[i] == 'last-generated-id' then last = last[i + 1] break end
end
if m[1] ~= ARGV[3] or last ~= ARGV[4] then return { stamp, 'changed' } end
redis.call('XADD', out, ARGV[5] .. '-0', 'd', m[2], 'r', ARGV[6])
redis.call('HSET', meta, 'epoch', ARGV[5])
return { stamp, 'ok' }
