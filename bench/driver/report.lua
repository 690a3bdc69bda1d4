-- wrk's figures as one line of JSON on standard error: microseconds, and every kind of failed request.
function done(summary, latency, _)
    local errors = summary.errors
    io.stderr:write(string.format(
        '{"requests": %d, "seconds": %.6f, "p50": %.1f, "p99": %.1f, "p999": %.1f, "errors": %d}\n',
        summary.requests, summary.duration / 1e6,
        latency:percentile(50), latency:percentile(99), latency:percentile(99.9),
        errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
