-- Sets or removes a registry value when its version is still the one that was read. A value is
-- stored behind its version in 8 bytes. KEYS: registry. ARGV: nonce, deadline, key, version
-- (8 bytes, none for absent), value behind its next version, none to remove.
local old = redis.call('HGET', KEYS[1], ARGV[3])
if string.sub(old or '', 1, 8) ~= ARGV[4] then return { stamp, 'changed' } end
if ARGV[5] == '' then
  redis.call('HDEL', KEYS[1], ARGV[3])
else
  redis.call('HSET', KEYS[1], ARGV[3], ARGV[5])
end
return { stamp, 'ok' }
