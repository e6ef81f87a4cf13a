-- The list sequence and the changes after one, of one moment. KEYS: freezes, meta.
-- ARGV: nonce, first id, most changes.
return { ARGV[1], redis.call('HGET', KEYS[2], 'list') or '0',
  redis.call('XRANGE', KEYS[1], ARGV[2], '+', 'COUNT', ARGV[3]) }
