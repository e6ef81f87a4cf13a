-- One read command on one key, with the nonce echoed, so that a reply that belongs to another
-- call is refused and not believed. KEYS: the key. ARGV: nonce, command, its other arguments.
return { ARGV[1], redis.call(ARGV[2], KEYS[1], unpack(ARGV, 3)) }
