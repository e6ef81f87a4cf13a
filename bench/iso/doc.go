// Package iso loads switches of ISO 8583 messages and compares them: the ends that stand
// around one (a load generator and a bank that approves everything), no switch at all, and
// jPOS in between, which it installs nothing of but starts as a child process where
// deploy/interop/jpos_install.sh has been run. It also runs a bank and a terminal on jPOS,
// for tests of interoperation with programs that are not ours.
//
// A load is closed (so many requests in flight, the next one when an answer has come) or
// open (so many due a second, whatever the other side does); latencies of an open one count
// from when a request was due, so that a stall is charged for all that had to wait. One
// thread with one epoll drives all connections. A request is identified by trace number,
// transmission time and reference number, all different for each; an answer that fits none
// in flight on its connection is counted and spoils the load.
//
// Rates are per second, latencies nanoseconds, amounts minor units. Card numbers are made up
// by counting and begin with 622260. Everything listens on and connects to loopback; the
// generator runs on Linux alone. Exported functions may be called from any goroutine, but two
// loads at a time disturb each other.
//
// Messages have MACs where Load.MAC says so, with keys that are no secret: the load makes those
// of requests and checks those of answers, and the bank checks what has one and answers alike.
// Codecs are measured without sockets, moov-io/iso8583 among them.
//
// The package keeps no state on disk but scratch folders of child processes, retries nothing,
// and decides nothing about the product.
package iso
