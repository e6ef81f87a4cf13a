-- The list sequence of each meta key. KEYS: meta keys. ARGV: nonce.
local reply = { ARGV[1] }
for i = 1, #KEYS do reply[i + 1] = redis.call('HGET', KEYS[i], 'list') or '0' end
return reply
