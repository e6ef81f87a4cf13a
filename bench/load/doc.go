// Package load sends prepared requests over many connections and measures the answers.
//
// There are two ways. With a rate the loop is open: request i is due at start + i/rate
// whatever the server does, and its latency counts from that instant, so that a server
// that stalls is charged for every request that had to wait (no coordinated omission).
// Without a rate each connection sends its next request when it has the last answer: that
// finds the capacity at a number of connections, and its latencies are those of a full
// server.
//
// Requests are bytes that were built and signed before the clock starts. One thread with
// one epoll drives all connections, because generator and server share the machine; what
// it cost is in Result.CPU. Durations are nanoseconds in HDR histograms of three digits.
// Drive is that loop by itself, for loads that know other protocols (Player).
//
// A Requests is read only while Run uses it. Run owns its connections and closes them.
// The package retries nothing, follows no redirect, speaks neither TLS nor HTTP/2, and
// runs on Linux alone; Conn, for setup calls, runs everywhere.
package load
