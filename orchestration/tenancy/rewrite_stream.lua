-- Writes a stream anew without what was deleted from it: Redis only marks an entry deleted, and keeps its bytes as long
-- as its neighbours live. Streams with consumer groups are left, which -1 says: their entries go when they are stored.
if #redis.call('XINFO', 'GROUPS', KEYS[1]) > 0 then
    return -1
end
local entries = redis.call('XRANGE', KEYS[1], '-', '+')
if #entries == 0 then
    return redis.call('DEL', KEYS[1])
end
local anew = KEYS[1] .. ':rewritten'
redis.call('DEL', anew)
for _, entry in ipairs(entries) do
    redis.call('XADD', anew, entry[1], unpack(entry[2]))
end
redis.call('RENAME', anew, KEYS[1])
return #entries
