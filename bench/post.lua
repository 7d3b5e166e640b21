-- A chat request of 68 bytes, and one line of results for bench/rig.py.
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.body = '{"model":"m","messages":[{"role":"user","content":"hello, friend"}]}'

function done(summary, latency, requests)
  local failures = summary.errors.status + summary.errors.read + summary.errors.timeout + summary.errors.connect
  io.write(string.format("bench %f %f %d\n", summary.requests / (summary.duration / 1e6), latency:percentile(50), failures))
end
