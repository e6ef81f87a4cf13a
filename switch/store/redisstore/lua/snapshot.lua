-- A page of the blacklist, packed: 16 bytes of token and 4 of mark for each card.
-- KEYS: frozen. ARGV: nonce, cursor, about how many.
local page = redis.call('HSCAN', KEYS[1], ARGV[2], 'COUNT', ARGV[3])
local packed = {}
for i = 1, #page[2], 2 do
  local token, entry = page[2][i], page[2][i + 1]
  if #token ~= 16 or #entry < 14 then return { ARGV[1], 'damaged' } end
  packed[#packed + 1] = token
  packed[#packed + 1] = string.sub(entry, 1, 4)
end
return { ARGV[1], page[1], table.concat(packed) }
