-- Joins the bucket's current epoch, or opens epoch 1 of a new bucket with its marker.
-- KEYS: meta, out, frozen, freezes, due. ARGV: nonce, deadline, date, marker record.
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if epoch then
  if redis.call('EXISTS', KEYS[2]) == 0 then return { stamp, 'damaged', 'out is gone' } end
  return { stamp, 'ok', epoch, 'joined' }
end
for i = 1, #KEYS do
  if redis.call('EXISTS', KEYS[i]) == 1 then
    return { stamp, 'damaged', 'meta has no epoch, yet ' .. KEYS[i] .. ' exists' }
  end
end
redis.call('XADD', KEYS[2], '1-0', 'd', ARGV[3], 'r', ARGV[4])
redis.call('HSET', KEYS[1], 'epoch', '1', 'date', ARGV[3], 'list', '0', 'confirmed', '0-0')
return { stamp, 'ok', '1', 'created' }
