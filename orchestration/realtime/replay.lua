#!lua flags=allow-oom
-- Puts dead letters back into the queue, each in one step with its removal, as long as the queue has room.
--
-- KEYS: the dead letters, the queue. ARGV: the queue's limit, then the letters. Returns how many were put back.
local replayed = 0
local room = tonumber(ARGV[1]) - redis.call('XLEN', KEYS[2])
for i = 2, #ARGV do
    local letter = redis.call('XRANGE', KEYS[1], ARGV[i], ARGV[i])[1]
    if letter then
        if replayed >= room then
            break
        end
        local fields = {}
        for f = 1, #letter[2], 2 do
            local name = letter[2][f]
            -- The first three say why it is dead; what follows is the entry as it was.
            if f > 6 then
                fields[#fields + 1] = name
                fields[#fields + 1] = letter[2][f + 1]
            end
        end
        redis.call('XADD', KEYS[2], '*', unpack(fields))
        redis.call('XDEL', KEYS[1], ARGV[i])
        replayed = replayed + 1
    end
end
return replayed
