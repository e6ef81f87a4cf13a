// Package faultproxy is a TCP proxy that breaks connections on purpose. Tests, the demo
// and drills put it between a client and a server and tell it which fault to make.
//
// The proxy knows no protocol. It counts exchanges: one begins with the first bytes that
// a client sends after the server's last reply, and ends with the first bytes of the
// next reply. That is exact for HTTP/1.1 without pipelining and for any client that
// waits for its answer; pipelined clients see one exchange for what they sent together.
//
// A Proxy is safe for concurrent use. Faults may be injected and cleared at any time and
// hold from the next exchange on. Close ends every connection and waits for all
// goroutines. The proxy keeps nothing, delays nothing unless told, and refuses more than
// LinksMax connections at once.
package faultproxy
