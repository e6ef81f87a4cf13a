-- The numbering of a bucket. KEYS: meta, out, frozen, due. ARGV: nonce.
local m = redis.call('HMGET', KEYS[1], 'epoch', 'date', 'list', 'confirmed')
local last = false
local info = redis.call('XINFO', 'STREAM', KEYS[2])
for i = 1, #info, 2 do
  if info[i] == 'last-generated-id' then last = info[i + 1] end
end
return { ARGV[1], m[1] or '', m[2] or '', m[3] or '0', m[4] or '0-0', last,
  redis.call('XLEN', KEYS[2]), redis.call('HLEN', KEYS[3]), redis.call('ZCARD', KEYS[4]) }
