-- The counters of one tenant at one moment. A script and not a transaction, which Redis refuses at its memory limit,
-- reads included.
--
-- KEYS  1  totals; then the counts of each minute of the window; then as many sketches of users
-- ARGV  1  minutes of the window
--       2  event type; none given: all
-- Returns events ever, users of the last minute, users of the window, then events of each minute.
local call = redis.call
local minutes, event_type = tonumber(ARGV[1]), ARGV[2]

local function events(key)
    if event_type then
        return tonumber(call('HGET', key, event_type)) or 0
    end
    local sum = 0
    for _, count in ipairs(call('HVALS', key)) do
        sum = sum + tonumber(count)
    end
    return sum
end

local sketches = {unpack(KEYS, 2 + minutes)}
local answer = {events(KEYS[1]), call('PFCOUNT', sketches[minutes]), call('PFCOUNT', unpack(sketches))}
for minute = 1, minutes do
    answer[3 + minute] = events(KEYS[1 + minute])
end
return answer
