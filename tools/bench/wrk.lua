-- One request over and over, or one for each of many conversations in turn, and the figures as JSON.
--
-- Arguments: METHOD, then the file of the body, then how many conversations there are: above 1 the
-- body's @@@@@@@ is replaced by a number of as many digits.

local parts, count, turn = nil, 1, 0

function init(args)
  wrk.method = args[1]
  if args[2] then
    local file = assert(io.open(args[2], "rb"))
    wrk.body = file:read("*a")
    file:close()
    wrk.headers["Content-Type"] = "application/json"
  end
  count = tonumber(args[3] or "1")
  if count > 1 then
    local from, to = assert(wrk.body:find("@@@@@@@", 1, true))
    parts = { wrk.body:sub(1, from - 1), wrk.body:sub(to + 1) }
    wrk.request = nil
  end
end

if os.getenv("BENCH_CONVERSATIONS") then
  function request()
    turn = (turn + 1) % count
    return wrk.format(nil, nil, nil, parts[1] .. string.format("%07d", turn) .. parts[2])
  end
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\n@{"requests":%d,"seconds":%.6f,"p50":%.1f,"p99":%.1f,"failed":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
