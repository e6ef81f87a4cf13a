// Package bench measures tapswitch and holds it against the numbers of its design.
//
// A scenario is small and named. Each runs its comparison interleaved with our own in the
// same run, ours and theirs in turns over several rounds, and reports least, median and
// greatest of the rounds and the ratio of each pair: machines differ and so does every
// minute of one machine, ratios much less. Servers are child processes of the same binary,
// so that neither side shares a scheduler or a collector with the load generator, which
// itself is one thread (package load).
//
// Card numbers are made up by counting and begin with 3104. Scratch data goes below
// Options.Dir, which should be on a real disk, and is removed afterwards. Rates are per
// second, sizes are bytes, latencies nanoseconds until a report names another unit.
//
// The package decides nothing about the product and is imported by the command alone. It
// sends load to servers that it started itself; only Load goes elsewhere, when it is told.
package bench
