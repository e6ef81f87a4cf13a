// Package quiet makes connections that cost less to be read and written where the process is
// otherwise idle. The runtime watches system calls: the first one of an idle process wakes a
// thread that looks every 20 microseconds whether the call is over. With a request every
// millisecond this watch was a third of the processor time of a poll. A call on a socket that
// does not wait needs none.
//
// A connection of Listener reads and writes small buffers by calls that the runtime does not
// watch, and waits for the socket as every other does; large ones take the ordinary way, so that
// no call holds a processor for long. Deadlines, closing and errors are those of net.TCPConn.
// On systems other than Linux, and for what is not TCP, a connection is as it was. Safe for
// concurrent use as a net.Conn is. The package starts no goroutine and keeps nothing.
package quiet

import "net"

// SmallMax is the largest buffer that is read or written without watch: a call then takes some
// tens of microseconds at most.
const SmallMax = 64 << 10

// Listener returns ln with quiet connections.
func Listener(ln net.Listener) net.Listener { return listener{ln} }

type listener struct{ net.Listener }

// Accept waits for the next connection.
func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return quieten(c), nil
}
