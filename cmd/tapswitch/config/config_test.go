package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/config"
)

// clean hides the environment's own settings.
func clean(t *testing.T) {
	t.Helper()
	for _, pair := range os.Environ() {
		if name, value, _ := strings.Cut(pair, "="); strings.HasPrefix(name, config.EnvPrefix) {
			t.Setenv(name, value) // put back afterwards
			_ = os.Unsetenv(name)
		}
	}
}

// file writes a configuration file and returns its path.
func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tapswitch.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func origin(t *testing.T, l *config.Loaded, key string) config.Value {
	t.Helper()
	for _, v := range l.Values() {
		if v.Key == key {
			return v
		}
	}
	t.Fatalf("no value %q", key)
	return config.Value{}
}

func TestDefaultsAreSound(t *testing.T) {
	clean(t)
	l, err := config.Load("", nil)
	if err != nil {
		t.Fatal(err)
	}
	if l.Store.Kind != "local" || l.Feed.Kind != "direct" || l.Warehouse.Kind != "local" ||
		l.Scheme.FutureMax != 5*time.Minute || !l.Scheme.AcceptTerminalFare ||
		!slices.Equal(l.Store.Redis.Addrs, []string{"127.0.0.1:6379"}) {
		t.Errorf("%+v", l.Config)
	}
	want := config.Default()
	if err := want.Check(); err != nil {
		t.Error(err)
	}
	values := l.Values()
	if len(values) < 40 || !slices.IsSortedFunc(values, func(a, b config.Value) int {
		return strings.Compare(a.Key, b.Key)
	}) {
		t.Errorf("%d values, or not in order", len(values))
	}
	for _, v := range values {
		if v.Origin != "default" {
			t.Errorf("%s comes from %q", v.Key, v.Origin)
		}
	}
}

// Defaults < file < environment < flags, and each value knows its origin.
func TestLayers(t *testing.T) {
	clean(t)
	path := file(t, "listen: file:1\nadmin_listen: file:2\nstore:\n  kind: redis\n  redis:\n"+
		"    timeout: 1s\n    addrs: [a:1, b:2]\nscheme: {future_max: 7m}\n")
	t.Setenv("TAPSWITCH_ADMIN_LISTEN", "env:2")
	t.Setenv("TAPSWITCH_STORE__REDIS__TIMEOUT", "2s")
	t.Setenv("TAPSWITCH_GATE__IN_FLIGHT_MAX", "17")
	l, err := config.Load(path, map[string]string{"store.redis.timeout": "3s",
		"scheme.accept_terminal_fare": "false"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ key, got, want, origin string }{
		{"data_dir", l.DataDir, "tapswitch-data", "default"},
		{"listen", l.Listen, "file:1", "file " + path},
		{"admin_listen", l.AdminListen, "env:2", "env TAPSWITCH_ADMIN_LISTEN"},
		{"store.redis.timeout", l.Store.Redis.Timeout.String(), "3s", "flag"},
	} {
		v := origin(t, l, tt.key)
		if tt.got != tt.want || v.Value != tt.want || v.Origin != tt.origin {
			t.Errorf("%s: %q, %+v; want %q from %s", tt.key, tt.got, v, tt.want, tt.origin)
		}
	}
	if l.Gate.InFlightMax != 17 || l.Scheme.AcceptTerminalFare || l.Scheme.FutureMax != 7*time.Minute ||
		!slices.Equal(l.Store.Redis.Addrs, []string{"a:1", "b:2"}) {
		t.Errorf("%+v", l.Config)
	}
	if v := origin(t, l, "gate.in_flight_max"); v.Origin != "env TAPSWITCH_GATE__IN_FLIGHT_MAX" {
		t.Errorf("%+v", v)
	}
}

func TestLists(t *testing.T) {
	clean(t)
	for _, text := range []string{"a:1,b:2", "a:1, b:2", " a:1 ,b:2,", "a:1,,b:2"} {
		t.Setenv("TAPSWITCH_STORE__REDIS__ADDRS", text)
		l, err := config.Load("", map[string]string{"feed.brokers": text})
		if err != nil {
			t.Fatal(err)
		}
		for _, got := range [][]string{l.Store.Redis.Addrs, l.Feed.Brokers} {
			if !slices.Equal(got, []string{"a:1", "b:2"}) {
				t.Errorf("%q: %q", text, got)
			}
		}
	}
	t.Setenv("TAPSWITCH_STORE__REDIS__ADDRS", "")
	if _, err := config.Load("", map[string]string{"store.kind": "redis"}); err == nil ||
		!strings.Contains(err.Error(), "store.redis.addrs: must name a server") {
		t.Errorf("an empty list: %v", err)
	}
}

func TestUnknownKeys(t *testing.T) {
	clean(t)
	for text, want := range map[string]string{
		"lisen: x\n":                      `"lisen" .*did you mean "listen"`,
		"store: {redis: {adrs: [a]}}\n":   `"store.redis.adrs" .*did you mean "store.redis.addrs"`,
		"scheme: {load_mx: 5}\n":          `"scheme.load_mx" .*did you mean "scheme.load_max"`,
		"store: redis\n":                  `"store" .*did you mean "store.kind"`,
		"store:\n":                        `"store"`,
		"store: {kind: {deep: x}}\n":      `"store.kind.deep"`,
		"Listen: x\n":                     `"Listen" .*did you mean "listen"`,
		"gate: {clock_skew_seconds: 5}\n": `did you mean "gate.clock_skew"`,
	} {
		_, err := config.Load(file(t, text), nil)
		if !errors.Is(err, config.ErrKey) || !matches(err, want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	_, err := config.Load("", map[string]string{"lisen": "x", "stor.kind": "local"})
	if !errors.Is(err, config.ErrKey) || !matches(err, `"lisen"`) || !matches(err, `"stor.kind"`) {
		t.Errorf("both unknown flags must be named: %v", err)
	}
	_, err = config.Load(file(t, "lisen: x\nlog: {levl: info}\n"), nil)
	if !matches(err, `"lisen"`) || !matches(err, `"log.levl"`) {
		t.Errorf("both unknown keys of a file must be named: %v", err)
	}
}

// matches reports whether err contains the parts of want, which ".*" separates, in order.
func matches(err error, want string) bool {
	if err == nil {
		return false
	}
	text := err.Error()
	for _, part := range strings.Split(want, ".*") {
		at := strings.Index(text, part)
		if at < 0 {
			return false
		}
		text = text[at:]
	}
	return true
}

// A value that makes no sense stops the start and is named by its key, never cut or
// rounded into one that does.
func TestBadValues(t *testing.T) {
	clean(t)
	for key, values := range map[string][]string{
		"store.kind":                   {"mysql", "", "Local"},
		"feed.kind":                    {"nats"},
		"warehouse.kind":               {"mysql"},
		"log.level":                    {"loud", ""},
		"scheme.zone":                  {"Mars/Olympus", "", "8"},
		"scheme.cut_off":               {"24h", "-1s", "5", "soon"},
		"scheme.future_max":            {"0s", "-5m", "5", "five minutes"},
		"scheme.pass_back_window":      {"-1s", "10"},
		"scheme.pass_back_station":     {"-1s", "10"},
		"scheme.pass_back_gate":        {"-1s", "10"},
		"scheme.pass_back_gate_digits": {"-1", "two"},
		"scheme.journey_lapse":         {"1h"},
		"gate.clock_skew":              {"59s", "301s"},
		"gate.in_flight_max":           {"0", "-1", "4.5", "many", "99999999999999999999"},
		"gate.connections_per_ip_max":  {"-1"},
		"gate.terminal_rate":           {"-0.5", "NaN"},
		"data_dir":                     {""},
		"scheme.load_max":              {"0", "-5"},
		"scheme.accept_terminal_fare":  {"maybe"},
		"store.redis.replicas":         {"-1"},
		"warehouse.dsn":                {"clickhouse://user:secret@host:9000/tapswitch"},
	} {
		for _, value := range values {
			_, err := config.Load("", map[string]string{key: value})
			if err == nil {
				t.Errorf("%s: %q was taken", key, value)
			} else if last := key[strings.LastIndexByte(key, '.')+1:]; !strings.Contains(
				err.Error(), last) {
				t.Errorf("%s: %q: the error does not name the key: %v", key, value, err)
			} else if strings.Contains(err.Error(), "secret") {
				t.Errorf("%s: the error shows the secret: %v", key, err)
			}
		}
	}
}

// A file's numbers are not text: an amount of time without a unit is refused, and a
// fraction where a whole number belongs.
func TestBadValuesOfAFile(t *testing.T) {
	clean(t)
	for _, text := range []string{
		"scheme: {future_max: 5}", "scheme: {future_max: 300000000000}", "scheme: {cut_off: 3}",
		"gate: {in_flight_max: 4.7}", "gate: {in_flight_max: [1]}", "listen: {host: x}",
		"store: {redis: {addrs: {a: 1}}}", "feed: {flush_rows: true}", "not yaml: [",
		"scheme: {load_max: 1.5}",
	} {
		if l, err := config.Load(file(t, text), nil); err == nil {
			t.Errorf("%s was taken: %+v", text, l.Config)
		}
	}
	if _, err := config.Load(filepath.Join(t.TempDir(), "missing.yaml"), nil); err == nil ||
		!errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

// Several bad values are told at once.
func TestEveryBadValueIsTold(t *testing.T) {
	c := config.Default()
	c.Store.Kind, c.Log.Level, c.Gate.Budget, c.DataDir = "x", "y", 0, ""
	err := c.Check()
	for _, key := range []string{"store.kind", "log.level", "gate.budget", "data_dir"} {
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s is not told: %v", key, err)
		}
	}
}

func TestEnvironment(t *testing.T) {
	clean(t)
	t.Setenv("TAPSWITCH_STORE_KIND", "redis") // one underscore: no setting
	t.Setenv("TAPSWITCH_REQUIRE_STACK", "1")
	t.Setenv("TAPSWITCH_STACK_DIR", "x")
	t.Setenv("TAPSWITCH_LOG__LEVEL", "debug")
	l, err := config.Load("", nil)
	if err != nil || l.Store.Kind != "local" || l.Log.Level != "debug" {
		t.Fatalf("%+v, %v", l, err)
	}
	found := config.EnvLookAlikes()
	if len(found) != 1 || !strings.Contains(found[0], "TAPSWITCH_STORE_KIND") ||
		!strings.Contains(found[0], "TAPSWITCH_STORE__KIND") {
		t.Errorf("look-alikes %q", found)
	}
	t.Setenv("TAPSWITCH_SCHEME__CUT_OFF", "3")
	if _, err := config.Load("", nil); err == nil {
		t.Error("an amount of time without a unit was taken")
	}
}

func TestZones(t *testing.T) {
	at := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	for zone, offset := range map[string]int{"+08:00": 8 * 3600, "-03:30": -(3*3600 + 1800),
		"Asia/Shanghai": 8 * 3600, "UTC": 0, "+00:00": 0} {
		s := config.Scheme{Zone: zone}
		loc, err := s.Location()
		if err != nil {
			t.Errorf("%s: %v", zone, err)
			continue
		}
		if _, got := at.In(loc).Zone(); got != offset {
			t.Errorf("%s: offset %d, want %d", zone, got, offset)
		}
	}
}

// Secrets stand in files: no key of the configuration holds one.
func TestNoKeyHoldsASecret(t *testing.T) {
	clean(t)
	l, err := config.Load("", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range l.Values() {
		for _, word := range []string{"password", "secret", "token", "master"} {
			if strings.Contains(v.Key, word) && !strings.HasSuffix(v.Key, "_file") {
				t.Errorf("%s", v.Key)
			}
		}
	}
}

func TestRoles(t *testing.T) {
	clean(t)
	l, err := config.Load("", map[string]string{"roles": "gate,sink"})
	if err != nil || !l.Has(config.RoleGate) || !l.Has(config.RoleSink) || l.Has(config.RoleRelay) {
		t.Errorf("%+v, %v", l, err)
	}
	for _, bad := range []string{"", "king", "gate,king"} {
		if _, err := config.Load("", map[string]string{"roles": bad}); !matches(err, "roles") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
