-- Acknowledges and deletes entries of the queue and counts their events. One script, so that no other command comes in
-- between, and in the append-only file one MULTI … EXEC, which is read whole or, when it is torn, not at all.
--
-- An entry is counted if it was open until now. Acknowledging is the first write, which makes the script run to its end
-- also when Redis is at its memory limit: settling is what makes room.
--
-- KEYS  1  the queue
-- ARGV  1  its consumer group
--       2  JSON list: fields of a tenant's totals from which on further types are counted as one; what those are
--          called; how many of the newest events are kept; seconds after which those expire when nothing comes
--       3  JSON list of series, each a list: the beginning of the tenant's keys, event type, whether this type always
--          has a field, minute, second (Unix time) at which keys of this minute expire
--       4  JSON list of three lists as long as each other: positions, in ascending order; for each the number of its
--          series from 1, 0 where it is only acknowledged; for each the user, '' where nobody is known
local call = redis.call
local queue, group = KEYS[1], ARGV[1]
local most_types, other, newest_length, newest_seconds = unpack(cjson.decode(ARGV[2]))
local series = cjson.decode(ARGV[3])
local positions, number_of, user_of = unpack(cjson.decode(ARGV[4]))

-- Lua passes at most some 8,000 arguments at once.
local AT_ONCE = 4000

local function in_chunks(list, command, key, group_of_key)
    local changed = 0
    for first = 1, #list, AT_ONCE do
        local last = math.min(first + AT_ONCE - 1, #list)
        if group_of_key then
            changed = changed + call(command, key, group_of_key, unpack(list, first, last))
        else
            changed = changed + call(command, key, unpack(list, first, last))
        end
    end
    return changed
end

local function after(position)
    local milliseconds, number = string.match(position, '^(%d+)-(%d+)$')
    return string.format('%s-%.0f', milliseconds, number + 1)
end

local settled = #positions
if in_chunks(positions, 'XACK', queue, group) == settled then
    -- All were open. What lies before the first that still is, or before the end of these, is done with: cutting it off
    -- is an eighth of the price of deleting one by one, which is left for what another processor has overtaken.
    local pending = call('XPENDING', queue, group)
    local done = pending[1] > 0 and pending[2] or after(positions[settled])
    if call('XTRIM', queue, 'MINID', done) < settled then
        in_chunks(positions, 'XDEL', queue)
    end
else
    -- Some were settled before, and those are gone: whatever settles an entry, here or as a dead letter, deletes it.
    settled = 0
    for place = 1, #positions do
        if call('XDEL', queue, positions[place]) == 1 then
            settled = settled + 1
        else
            number_of[place] = 0
        end
    end
end

local clock = call('TIME')
local now, stamp = tonumber(clock[1]), string.format('%s%03d ', clock[1], math.floor(clock[2] / 1000))

local newest, newest_of, type_of, events_of, users_of = {}, {}, {}, {}, {}
for number = 1, #series do
    local key = series[number][1] .. 'newest'
    newest[key] = newest[key] or {}
    newest_of[number] = newest[key]
    type_of[number] = ' ' .. series[number][2]
    events_of[number] = 0
    users_of[number] = {}
end
for place = 1, #positions do
    local number = number_of[place]
    if number > 0 then
        events_of[number] = events_of[number] + 1
        local user = user_of[place]
        if user ~= '' then
            local users = users_of[number]
            users[#users + 1] = user
        end
        local events = newest_of[number]
        events[#events + 1] = stamp .. user .. type_of[number]
    end
end

local function add_users(key, users, expires)
    -- Asked before, and not set each time: a key's expiry never changes, and reading is cheaper than writing.
    local is_new = call('EXISTS', key) == 0
    in_chunks(users, 'PFADD', key)
    if is_new then
        call('EXPIREAT', key, expires)
    end
end

local everybody, everybody_expires = {}, {}
for number = 1, #series do
    local events, users = events_of[number], users_of[number]
    if events > 0 then
        local tenant, counted_as, always, minute, expires = unpack(series[number])
        local totals = tenant .. 'totals'
        if not always and call('HEXISTS', totals, counted_as) == 0 and call('HLEN', totals) >= most_types then
            counted_as = other
        end
        call('HINCRBY', totals, counted_as, events)
        if now < expires then
            local counts = tenant .. 'minute:' .. minute
            -- The field holds as much as was added: it is new, and so may be the key.
            if call('HINCRBY', counts, counted_as, events) == events then
                call('EXPIREAT', counts, expires)
            end
            if #users > 0 then
                local key = tenant .. 'users:' .. minute
                add_users(key .. ':' .. counted_as, users, expires)
                local all = everybody[key]
                if all then
                    for _, user in ipairs(users) do
                        all[#all + 1] = user
                    end
                else
                    everybody[key] = users
                    everybody_expires[key] = expires
                end
            end
        end
    end
end
for key, users in pairs(everybody) do
    add_users(key, users, everybody_expires[key])
end
-- One command for a tenant's events of a batch: as entries of a stream they took more time than all that is counted.
for key, events in pairs(newest) do
    if #events > 0 then
        in_chunks(events, 'RPUSH', key)
        call('LTRIM', key, -newest_length, -1)
        call('EXPIRE', key, newest_seconds)
    end
end
return settled
