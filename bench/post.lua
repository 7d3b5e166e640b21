-- Requests for wrk: `-- DIRECT FILE…` are the bodies, sent in turn. One line of results for bench/rig.py.
local requests, at = {}, 0

function init(arguments)
  wrk.headers["content-type"] = "application/json"
  if arguments[1] == "1" then wrk.headers["x-direct"] = "1" end
  for number = 2, #arguments do
    local file = io.open(arguments[number], "rb")
    requests[#requests + 1] = wrk.format("POST", nil, nil, file:read("*a"))
    file:close()
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency, requests)
  local errors = summary.errors
  local failures = errors.status + errors.read + errors.timeout + errors.connect
  io.write(string.format("bench %d %f %d\n", summary.requests, summary.requests / (summary.duration / 1e6), failures))
end
