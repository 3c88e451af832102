-- Requests that differ by numbers, and the figures as JSON.
--
-- Arguments: FILE CONVERSATIONS START CONNECTION. FILE holds the request as bytes. In it stand ten @ for
-- the number of the conversation and ten # for that of the message, which begins behind START. There are
-- CONVERSATIONS in turn, or with 0 a new one with each message. CONNECTION is after how many messages a
-- connection ends on average, 0 is never. A request without numbers is made once.

local closing = "Connection: close\r\n\r\n"

-- Return the pieces of a request, and which of them are numbers: "@" or "#" by their place.
local function split(whole)
  local pieces, numbers, at = {}, {}, 1
  while true do
    local from, to = whole:find("[@#]+", at)
    while from and to - from ~= 9 do from, to = whole:find("[@#]+", to + 1) end
    pieces[#pieces + 1] = whole:sub(at, (from or 0) - 1)
    if not from then return pieces, numbers end
    pieces[#pieces + 1] = ""
    numbers[#pieces] = whole:sub(from, from)
    at = to + 1
  end
end

local function draw(whole, conversations, start, connection)
  local pieces, numbers = split(whole)
  local last, ending = split((whole:gsub("\r\n\r\n", "\r\n" .. closing, 1)))
  local number, format, concat = start, string.format, table.concat

  return function()
    number = number + 1
    local conversation = conversations > 0 and number % conversations or number
    local of = { ["@"] = format("%010d", conversation), ["#"] = format("%010d", number) }
    local into, kinds = pieces, numbers
    if connection > 0 and number % connection == 0 then into, kinds = last, ending end
    for place, kind in pairs(kinds) do into[place] = of[kind] end
    return concat(into)
  end
end

function init(args)
  local file = assert(io.open(args[1], "rb"))
  local whole = file:read("*a")
  file:close()
  local conversations, start, connection = tonumber(args[2]), tonumber(args[3]), tonumber(args[4])
  local _, numbers = split(whole)
  if next(numbers) or connection > 0 then
    request = draw(whole, conversations, start, connection)
  else
    wrk.format = function() return whole end
  end
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\n@{"requests":%d,"seconds":%.6f,"p50":%.1f,"p99":%.1f,"failed":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
