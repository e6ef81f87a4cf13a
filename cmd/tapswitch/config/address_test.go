package config_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/config"
)

func TestAddresses(t *testing.T) {
	clean(t)
	for _, key := range []string{"listen", "admin_listen"} {
		for _, good := range []string{"127.0.0.1:1", "127.0.0.1:0", ":65535", "[::1]:9", "[::]:9",
			"[fe80::1%eth0]:9", "gate.example:9", "gate_1:9", "localhost:9"} {
			if _, err := config.Load("", map[string]string{key: good}); err != nil {
				t.Errorf("%s %q: %v", key, good, err)
			}
		}
		for _, bad := range []string{"127.0.0.1:99999", "127.0.0.1:65536", "127.0.0.1:-1", "nonsense",
			"127.0.0.1", "127.0.0.1:", ":", "127.0.0.1:http", "127.0.0.1:0x50", "::1:9", "[::1:9",
			"300.0.0.1:9", "1.2.3:9", "a b:9", "http://a:9", ".a:9", "a..b:9", " 127.0.0.1:9",
			strings.Repeat("a", 254) + ":9"} {
			_, err := config.Load("", map[string]string{key: bad})
			if !matches(err, key+`: `+fmt.Sprintf("%q", bad)+`.*(flag)`) {
				t.Errorf("%s %q: %v", key, bad, err)
			}
		}
	}
	if _, err := config.Load("", map[string]string{"listen": ""}); !matches(err, `listen: ""`) {
		t.Errorf("no address: %v", err)
	}
	if _, err := config.Load("", map[string]string{"admin_listen": ""}); err != nil {
		t.Errorf("no admin server: %v", err)
	}
}

// One port cannot serve both the gate and the admin pages.
func TestEqualAddresses(t *testing.T) {
	clean(t)
	for _, tt := range []struct {
		listen, admin string
		ok            bool
	}{
		{"127.0.0.1:9", "127.0.0.1:9", false}, {"127.0.0.1:9", "localhost:9", false},
		{":9", "127.0.0.1:9", false}, {"10.0.0.1:9", "0.0.0.0:9", false}, {"[::]:9", ":9", false},
		{"gate:9", "GATE:9", false}, {"gate:9", ":9", false}, {":9", "gate:9", false},
		{"[::1]:9", "[0::1]:9", false}, {"127.0.0.1:9", "[::ffff:127.0.0.1]:9", false},
		{"127.0.0.1:0", "127.0.0.1:0", true}, {":0", ":0", true}, {"127.0.0.1:9", "127.0.0.1:10", true},
		{"127.0.0.1:9", "127.0.0.2:9", true}, {"gate:9", "admin:9", true},
	} {
		path := file(t, fmt.Sprintf("listen: %q\n", tt.listen))
		_, err := config.Load(path, map[string]string{"admin_listen": tt.admin})
		if (err == nil) != tt.ok {
			t.Errorf("%+v: %v", tt, err)
		}
		want := fmt.Sprintf("admin_listen: %q.*listen %q.*(flag)", tt.admin, tt.listen)
		if err != nil && !matches(err, want) {
			t.Errorf("%+v: %v", tt, err)
		}
	}
	both := map[string]string{"listen": ":9", "admin_listen": ":9", "roles": "relay"}
	if _, err := config.Load("", both); err != nil {
		t.Errorf("a process without gate listens once: %v", err)
	}
}

// Addresses of servers are looked at when the servers are used.
func TestServerAddresses(t *testing.T) {
	clean(t)
	for _, tt := range []struct{ kindKey, kind, key string }{
		{"store.kind", "redis", "store.redis.addrs"}, {"feed.kind", "kafka", "feed.brokers"},
	} {
		for _, bad := range []string{"host", ":6379", "host:0", "host:70000"} {
			values := map[string]string{tt.key: "good:1," + bad, tt.kindKey: tt.kind}
			want := fmt.Sprintf("%s: %q.*(flag)", tt.key, bad)
			if _, err := config.Load("", values); !matches(err, want) {
				t.Errorf("%s %q: %v", tt.key, bad, err)
			}
			delete(values, tt.kindKey)
			if _, err := config.Load("", values); err != nil {
				t.Errorf("%s %q, which is not used: %v", tt.key, bad, err)
			}
		}
	}
}

// A bad value is told with its key, itself and the file or variable that it stands in.
func TestBadValuesTellTheirOrigin(t *testing.T) {
	clean(t)
	for _, tt := range []struct{ text, want string }{
		{"scheme: {load_max: abc}", `scheme.load_max: "abc" (file PATH) is no whole number`},
		{"scheme: {load_max: ''}", `scheme.load_max: "" (file PATH)`},
		{"scheme: {load_max: -5}", `scheme.load_max: -5.*(file PATH)`},
		{"scheme: {age_max: soon}", `scheme.age_max: "soon" (file PATH) is no amount of time`},
		{"scheme: {accept_terminal_fare: maybe}", `"maybe" (file PATH) is no true or false`},
		{"gate: {terminal_rate: fast}", `gate.terminal_rate: "fast" (file PATH) is no number`},
		{"gate: {drain_delay: -1s}", `gate.drain_delay.*(file PATH)`},
		{"listen: nonsense", `listen: "nonsense".*(file PATH)`},
		{"log: {level: loud}", `log.level: "loud".*(file PATH)`},
		{"feed: {brokers: [{a: 1}]}", `feed.brokers.*(file PATH) is no list`},
		{"scheme: {zone: '+08:60'}", `scheme.zone: "+08:60".*(file PATH)`},
		{"scheme: {journey_max: 5h, journey_lapse: 4h}", `scheme.journey_lapse.*(file PATH)`},
		{"warehouse: {dsn: 'http://u:secret@h:1/db'}", `warehouse.dsn.*(file PATH)`},
	} {
		path := file(t, tt.text+"\n")
		_, err := config.Load(path, nil)
		if !matches(err, strings.ReplaceAll(tt.want, "PATH", path)) {
			t.Errorf("%s: %v", tt.text, err)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("the error shows the secret: %v", err)
		}
	}
	t.Setenv("TAPSWITCH_SCHEME__LOAD_MAX", "abc")
	if _, err := config.Load("", nil); !matches(err, `"abc" (env TAPSWITCH_SCHEME__LOAD_MAX)`) {
		t.Errorf("of the environment: %v", err)
	}
}

func TestZoneOffsets(t *testing.T) {
	clean(t)
	for _, bad := range []string{"+08:60", "+24:00", "+14:01", "-15:00", "+08", "+08:00x", "08:00"} {
		if _, err := config.Load("", map[string]string{"scheme.zone": bad}); !matches(err,
			fmt.Sprintf("scheme.zone: %q.*(flag)", bad)) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for good, offset := range map[string]int{"+14:00": 14 * 3600, "-12:00": -12 * 3600,
		"+05:45": 5*3600 + 45*60, "-00:30": -1800} {
		s := config.Scheme{Zone: good}
		loc, err := s.Location()
		if err != nil {
			t.Errorf("%q: %v", good, err)
			continue
		}
		if _, got := time.Unix(0, 0).In(loc).Zone(); got != offset {
			t.Errorf("%q: offset %d", good, got)
		}
	}
}
