//go:build !linux

package quiet

import "net"

// quieten returns c: there is no way around the watch.
func quieten(c net.Conn) net.Conn { return c }
