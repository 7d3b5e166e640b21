-- Limits on Redis: enforcement/meters.py in Lua, whole numbers below 2^53 alone. One call decides, or settles, for every
-- key of one hash tag. A rate or a budget is a string, {backlog, since, unit, time, units, time, units ...} in msgpack;
-- leases are a sorted set by the microsecond in which they end; an exchange that is under way has a marker, {time,
-- taken, taken ...}, which says that it can be settled. A key that holds anything else counts as empty and is replaced.
--
-- Every write comes after every decision, so where Redis refuses to write nothing is taken.

local MOST, AGAIN = 9007199254740991, 1000000

local function up(number, by)
  local rest = math.fmod(number, by)
  return (number - rest) / by + (rest > 0 and 1 or 0)
end

local function whole(number)
  return string.format('%.0f', number)
end

-- The numbers that a key holds, or nil if it holds anything else.
local function unpacked(raw, least)
  if not raw then return nil end
  local ok, held = pcall(cmsgpack.unpack, raw)
  if not ok or type(held) ~= 'table' or #held < least then return nil end
  for i = 1, #held do
    if type(held[i]) ~= 'number' then return nil end
  end
  return held
end

-- Times are cut at `now`, for a clock that went back.
local function meter(raw, now)
  local held = unpacked(raw, 3)
  if not held or #held % 2 == 0 or held[3] < 1 then return {0, 0, 1} end
  if held[2] > now then held[2] = now end
  for i = #held - 1, 4, -2 do
    if held[i] <= now then break end
    held[i] = now
  end
  return held
end

local function slot(charge, at)
  return at - math.fmod(at, charge.width)
end

local function leaves(charge, at)
  return slot(charge, at) + charge.width + charge.span
end

local function rescaled(charge, held)
  if held[3] == charge.unit then return held[1] end
  return math.min(up(held[1], held[3]) * charge.unit, MOST)
end

local function queued(charge, held, first, last)
  local level, at, drain, unit = rescaled(charge, held), held[2], charge.drain, charge.unit
  for i = first, last, 2 do
    local later = held[i] - at
    if later > 0 then
      level, at = level - later * drain, held[i]
      if level < 0 then level = 0 end
    end
    level = level + held[i + 1] * unit
    if level > MOST then level = MOST end
  end
  return level, at
end

local function read_rate(charge, held, now, need)
  local level, at = queued(charge, held, 4, #held - 1)
  level = math.max(0, level - (now - at) * charge.drain)
  return level + need * charge.unit <= charge.most * charge.unit, level, 0, 0
end

local function read_budget(charge, held, now, need)
  local level, empty, room, first = 0, 0, 0, #held + 1
  local oldest = slot(charge, now - charge.span)
  while first > 5 and held[first - 2] >= oldest do
    first = first - 2
    level = level + held[first + 1]
  end
  if level > 0 then empty = leaves(charge, held[#held - 1]) - now end
  if need > charge.most then
    room = charge.span
  elseif level + need > charge.most then
    local left = level
    for i = first, #held - 1, 2 do
      left = left - held[i + 1]
      if left + need <= charge.most then
        room = leaves(charge, held[i]) - now
        break
      end
    end
  end
  return level + need <= charge.most, level, empty, room
end

local function fold(charge, held, now)
  local first, rate = 4, charge.shape == 'rate'
  local oldest = rate and now - charge.keep + 1 or slot(charge, now - charge.span)
  while first < #held and held[first] < oldest do first = first + 2 end
  if rate then
    held[1], held[2] = queued(charge, held, 4, first - 1)
    held[3] = charge.unit
  end
  if first == 4 then return held end
  local kept = {held[1], held[2], held[3]}
  for i = first, #held do kept[#kept + 1] = held[i] end
  return kept
end

local function take(charge, held, now)
  held = fold(charge, held, now)
  if charge.cost > 0 then
    local last = #held - 1
    if last >= 4 and slot(charge, held[last]) == slot(charge, now) then
      held[last], held[last + 1] = now, held[last + 1] + charge.cost
    else
      held[#held + 1], held[#held + 2] = now, charge.cost
    end
  end
  return held
end

local function correct(charge, held, at, more)
  for i = 4, #held, 2 do
    if slot(charge, held[i]) == slot(charge, at) then
      held[i + 1] = held[i + 1] + more
      if held[i + 1] <= 0 then
        table.remove(held, i)
        table.remove(held, i)
      end
      return
    end
    if held[i] > at then
      if more > 0 then
        table.insert(held, i, more)
        table.insert(held, i, at)
      end
      return
    end
  end
  if more > 0 then held[#held + 1], held[#held + 2] = at, more end
end

-- How long a rate or a budget matters, in milliseconds, when `units` more are counted.
local function life(charge, units)
  if charge.shape == 'rate' then
    return whole(math.ceil((2 * charge.span + units * charge.unit / charge.drain) / 1000) + 1000)
  end
  return whole(math.ceil((charge.span + 2 * charge.width) / 1000) + 1000)
end

local function charges_of()
  local charges = {}
  for i, field in ipairs(cmsgpack.unpack(ARGV[5])) do
    charges[i] = {
      key = KEYS[i + 1], shape = field[1], enforced = field[2], place = field[3], cost = field[4], most = field[5],
      unit = field[6], drain = field[7], width = field[8], span = field[9], keep = 64 * field[8],
    }
  end
  return charges
end

local function lease(charge, id, now)
  local key, ends = charge.key, whole(now + charge.span)
  if type(redis.pcall('ZREMRANGEBYSCORE', key, '-inf', whole(now))) == 'table' then redis.call('DEL', key) end
  redis.call('ZADD', key, ends, id .. ':' .. whole(charge.place))
  redis.call('PEXPIRE', key, whole(math.ceil(charge.span / 1000) + 1000))
end

local now = tonumber(ARGV[2])
if not now then
  local clock = redis.call('TIME')
  now = clock[1] * 1000000 + clock[2]
end

local function admit(id, keep)
  local raw = redis.call('MGET', unpack(KEYS))
  local charges, marker = charges_of(), unpacked(raw[1], 1)
  local held, asked, answers, refused = {}, {}, {}, false
  for i, charge in ipairs(charges) do
    local key, answer = charge.key, nil
    local before = asked[key] or 0
    if charge.shape == 'concurrent' then
      local out = redis.pcall('ZCOUNT', key, '(' .. whole(now), '+inf')
      local ends
      if type(out) == 'table' then out = 0 else ends = redis.call('ZSCORE', key, id .. ':' .. whole(charge.place)) end
      local mine = ends and tonumber(ends) > now
      local ok = mine or out + before < charge.most
      charge.units = (mine or charge.cost == 0) and 0 or 1
      answer = {ok, out + before, out + before > 0 and charge.span or 0, ok and 0 or AGAIN}
    else
      held[key] = held[key] or meter(raw[i + 1], now)
      local need = before + math.max(1, charge.cost)
      charge.units = charge.cost
      answer = {(charge.shape == 'rate' and read_rate or read_budget)(charge, held[key], now, need)}
    end
    if marker then answer[1] = marker[i + 1] == 1 end
    asked[key] = before + charge.units
    if charge.enforced and not answer[1] then refused = true end
    answers[i] = answer
  end
  local taken, reply = {now}, {now}
  for i, charge in ipairs(charges) do
    local answer, units = answers[i], 0
    if answer[1] and not refused and not marker then
      units = charge.units
      if charge.shape ~= 'concurrent' then
        held[charge.key] = take(charge, held[charge.key], now)
        local waiting = charge.shape == 'rate' and answer[2] / charge.unit or 0
        redis.call('SET', charge.key, cmsgpack.pack(held[charge.key]), 'PX', life(charge, waiting + units))
      elseif charge.cost > 0 then
        lease(charge, id, now)
      end
    end
    taken[i + 1] = answer[1] and 1 or 0
    reply[#reply + 1], reply[#reply + 2] = answer[1] and 1 or 0, answer[2]
    reply[#reply + 1], reply[#reply + 2], reply[#reply + 3] = answer[3], answer[4], units
  end
  if not refused and not marker then redis.call('SET', KEYS[1], cmsgpack.pack(taken), 'PX', keep) end
  return cmsgpack.pack(reply)
end

-- What was used stands in the place of `most`. Everything is worked out before the first write.
local function settle(id)
  local raw = redis.call('MGET', unpack(KEYS))
  local marker, held, lives = unpacked(raw[1], 1), {}, {}
  for i, charge in ipairs(charges_of()) do
    local key, more = charge.key, charge.most - charge.cost
    if charge.shape == 'concurrent' then
      if type(redis.pcall('ZREM', key, id .. ':' .. whole(charge.place))) == 'table' then redis.call('DEL', key) end
    elseif marker and marker[i + 1] == 1 and more ~= 0 then
      held[key] = held[key] or meter(raw[i + 1], now)
      correct(charge, held[key], marker[1], more)
      lives[key] = math.max(lives[key] or redis.call('PTTL', key), tonumber(life(charge, math.max(0, more))))
    end
  end
  for key, rate in pairs(held) do redis.call('SET', key, cmsgpack.pack(rate), 'PX', whole(lives[key])) end
  return marker and redis.call('DEL', KEYS[1]) or 0
end

local function renew(id, keep)
  local marker = unpacked(redis.pcall('GET', KEYS[1]), 1)
  for i, charge in ipairs(charges_of()) do
    if charge.shape == 'concurrent' and charge.cost > 0 and not (marker and marker[i + 1] ~= 1) then
      lease(charge, id, now)
    end
  end
  if marker then redis.call('PEXPIRE', KEYS[1], keep) end
  return 1
end

local steps = {admit = admit, settle = settle, renew = renew}
return steps[ARGV[1]](ARGV[3], ARGV[4])
