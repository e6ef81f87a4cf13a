package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// checkAddresses says which addresses cannot be listened on or called. Names are not
// looked up: the machine that checks need not be the one that runs.
func (c *Config) checkAddresses(say func(key, format string, args ...any)) {
	listen := checkAddress("listen", c.Listen, say)
	admin := address{}
	if c.AdminListen != "" {
		admin = checkAddress("admin_listen", c.AdminListen, say)
	}
	if c.Has(RoleGate) && listen.collides(admin) {
		say("admin_listen", "%q takes the address of listen %q; give it another port",
			c.AdminListen, c.Listen)
	}
	if c.Store.Kind == "redis" {
		checkServers("store.redis.addrs", "server", c.Store.Redis.Addrs, say)
	}
	if c.Feed.Kind == "kafka" {
		checkServers("feed.brokers", "broker", c.Feed.Brokers, say)
	}
}

// checkAddress reads an address to listen on; one that is bad collides with nothing.
func checkAddress(key, text string, say func(key, format string, args ...any)) address {
	a, err := parseAddress(text)
	if err != nil {
		say(key, "%q: %v", text, err)
		return address{}
	}
	return a
}

// checkServers reads addresses to call, which need a host and a port of their own.
func checkServers(
	key, kind string, servers []string, say func(key, format string, args ...any),
) {
	if len(servers) == 0 {
		say(key, "must name a %s", kind)
	}
	for _, text := range servers {
		a, err := parseAddress(text)
		switch {
		case err != nil:
			say(key, "%q: %v", text, err)
		case a.host == "":
			say(key, "%q names no host", text)
		case a.port == 0:
			say(key, "%q: a %s has no port 0", text, kind)
		}
	}
}

// address is host:port, read. The zero address is none.
type address struct {
	host string // a name or an IP address, "" for every address of the machine
	port uint16 // 0 for any free one
}

var (
	errAddress = errors.New("want host:port, such as 127.0.0.1:8583 or [::1]:8583")
	errPort    = errors.New("the port must be a number from 0 to 65535")
	errHost    = errors.New("the host is neither an IP address nor a name")
)

func parseAddress(text string) (address, error) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return address{}, errAddress
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return address{}, fmt.Errorf("%w, not %q", errPort, port)
	}
	if host != "" && !isHost(host) {
		return address{}, fmt.Errorf("%w: %q", errHost, host)
	}
	return address{host: strings.ToLower(host), port: uint16(n)}, nil
}

// hostMax is the length of a name in DNS.
const hostMax = 253

// isHost reports whether host is an IP address or may be a name. Digits and dots alone are
// a mistyped IP address.
func isHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	const letters = "abcdefghijklmnopqrstuvwxyz-_"
	return len(host) <= hostMax && strings.ContainsAny(strings.ToLower(host), letters) &&
		strings.Trim(strings.ToLower(host), letters+"0123456789.") == "" &&
		!strings.HasPrefix(host, ".") && !strings.Contains(host, "..")
}

// collides reports whether the machine cannot listen on both addresses.
func (a address) collides(b address) bool {
	if a.port == 0 || a.port != b.port {
		return false
	}
	x, y := a.ip(), b.ip()
	if x.IsValid() && y.IsValid() {
		return x == y || x.IsUnspecified() || y.IsUnspecified()
	}
	return a.host == b.host || x.IsValid() && x.IsUnspecified() || y.IsValid() && y.IsUnspecified()
}

// ip returns the IP address, the unspecified one for no host; it is invalid for a name.
func (a address) ip() netip.Addr {
	switch a.host {
	case "":
		return netip.IPv6Unspecified()
	case "localhost":
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	ip, _ := netip.ParseAddr(a.host) // the zero Addr for a name
	return ip.Unmap()
}
