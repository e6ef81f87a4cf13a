-- Every script that writes begins with this. ARGV[1] is the nonce that the reply echoes,
-- ARGV[2] the last millisecond of this server's clock at which the call may still run: a
-- caller that gave up after its timeout must not find the call executed later.
local time = redis.call('TIME')
local stamp = ARGV[1] .. time[1] .. '.' .. time[2]
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if now > tonumber(ARGV[2]) then return { stamp, 'late' } end
