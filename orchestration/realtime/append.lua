#!lua
-- Accepts every payload or none: the limit is looked at and the entries are added in one step, so that however many
-- append at once, the queue does not grow beyond it. Without flags, Redis refuses the whole script when it is at its
-- memory's limit, before the first entry.
--
-- KEYS: the queue. ARGV: its limit, then the payloads. Returns their positions.
if redis.call('XLEN', KEYS[1]) + #ARGV - 1 > tonumber(ARGV[1]) then
    return redis.error_reply('QUEUEFULL the queue is at its limit')
end
local positions = {}
for i = 2, #ARGV do
    positions[i - 1] = redis.call('XADD', KEYS[1], '*', 'e', ARGV[i])
end
return positions
