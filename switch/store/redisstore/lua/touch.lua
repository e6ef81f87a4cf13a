-- Writes something, so that the WAIT behind it counts replicas that hold all before it.
-- KEYS: meta.
redis.call('HSET', KEYS[1], 'touched', time[1])
return { stamp, 'ok' }
