-- SPDX-License-Identifier: Apache-2.0
-- Sends DEPTH requests at once, and reports as one line of JSON.
function init(args)
    local depth = tonumber(args[1])
    local requests = {}
    for i = 1, depth do requests[i] = wrk.format("GET", "/") end
    batch = table.concat(requests)
end

function request() return batch end

function done(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format(
        '{"requests": %d, "microseconds": %d, "p50": %d, "p99": %d, "errors": %d}\n',
        summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
        errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
