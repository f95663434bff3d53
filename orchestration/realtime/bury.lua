#!lua flags=allow-oom
-- Moves entries that can never be stored to the dead letters. An entry is moved by whoever settles it, so never twice;
-- one whose payload is gone, because its tenant was erased, is settled and leaves nothing.
-- It needs no more memory than it frees, and at the memory's limit it has to go on.
--
-- KEYS: the queue, the dead letters. ARGV: the group, the most dead letters, then for each entry its position, the
-- reason, and the tenant it names, or ''. Returns how many were buried, and how many were not for want of room.
local buried, left = 0, 0
local room = tonumber(ARGV[2]) - redis.call('XLEN', KEYS[2])
for i = 3, #ARGV, 3 do
    local entry = redis.call('XRANGE', KEYS[1], ARGV[i], ARGV[i])[1]
    if not entry then
        redis.call('XACK', KEYS[1], ARGV[1], ARGV[i])
    elseif buried >= room then
        left = left + 1
    elseif redis.call('XACK', KEYS[1], ARGV[1], ARGV[i]) == 1 then
        redis.call('XDEL', KEYS[1], ARGV[i])
        redis.call('XADD', KEYS[2], '*', 'position', ARGV[i], 'reason', ARGV[i + 1], 'tenant', ARGV[i + 2],
            unpack(entry[2]))
        buried = buried + 1
    end
end
return {buried, left}
