-- Puts what was computed from the hypertable in the place of one tenant's counters, in one step.
--
-- KEYS  1  the queue
--       2  the mark of the rebuild
-- ARGV  1  JSON: what the mark must say
--          positions that must still be in the queue, for their events were left out
--          keys to remove
--          list of sketches: where each was prepared, where it belongs, when it expires
--          list of minutes: key, when it expires, list of event type and events
--          the key of the totals, list of event type and difference
--          the key of the newest events, after how many seconds it expires, list of them, the oldest first
-- Returns 1; 0 when an entry was settled meanwhile and all is to be computed again; -1 when the mark is gone.
local call = redis.call
local mark, open, gone, sketches, minutes, totals, newest = unpack(cjson.decode(ARGV[1]))
if call('GET', KEYS[2]) ~= mark then
    return -1
end
for _, position in ipairs(open) do
    if #call('XRANGE', KEYS[1], position, position) == 0 then
        return 0
    end
end
local AT_ONCE = 4000
for first = 1, #gone, AT_ONCE do
    call('UNLINK', unpack(gone, first, math.min(first + AT_ONCE - 1, #gone)))
end
for _, sketch in ipairs(sketches) do
    local prepared, key, expires = unpack(sketch)
    call('RENAME', prepared, key)
    call('EXPIREAT', key, expires)
end
for _, minute in ipairs(minutes) do
    local key, expires, counts = unpack(minute)
    for _, count in ipairs(counts) do
        call('HSET', key, count[1], count[2])
    end
    call('EXPIREAT', key, expires)
end
-- A difference and not a value: what was counted since the hypertable was looked at stays counted.
for _, difference in ipairs(totals[2]) do
    if call('HINCRBY', totals[1], difference[1], difference[2]) == 0 then
        call('HDEL', totals[1], difference[1])
    end
end
local newest_key, newest_seconds, events = unpack(newest)
for first = 1, #events, AT_ONCE do
    call('RPUSH', newest_key, unpack(events, first, math.min(first + AT_ONCE - 1, #events)))
end
if #events > 0 then
    call('EXPIRE', newest_key, newest_seconds)
end
return 1
