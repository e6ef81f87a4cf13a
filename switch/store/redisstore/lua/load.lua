-- A card's state and its blacklist entry at one moment. KEYS: card, frozen. ARGV: nonce, token.
return { ARGV[1], redis.call('GET', KEYS[1]), redis.call('HGET', KEYS[2], ARGV[2]) }
