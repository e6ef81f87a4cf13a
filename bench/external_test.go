package bench

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestLoadOptions(t *testing.T) {
	fine := LoadOptions{URL: "http://127.0.0.1:8583", Token: "t", CardCount: 1, Connections: 1,
		Duration: time.Second}
	if addr, err := fine.check(); err != nil || addr != "127.0.0.1:8583" {
		t.Fatalf("%q, %v", addr, err)
	}
	for name, change := range map[string]func(*LoadOptions){
		"no scheme":            func(o *LoadOptions) { o.URL = "127.0.0.1:8583" },
		"https":                func(o *LoadOptions) { o.URL = "https://127.0.0.1:8583" },
		"no port":              func(o *LoadOptions) { o.URL = "http://127.0.0.1" },
		"another machine":      func(o *LoadOptions) { o.URL = "http://192.0.2.7:80" },
		"no credentials":       func(o *LoadOptions) { o.Token = "" },
		"both":                 func(o *LoadOptions) { o.Terminal = "GATE01" },
		"terminal without key": func(o *LoadOptions) { o.Token, o.Terminal, o.Cards = "", "G", "1" },
		"terminal alone":       func(o *LoadOptions) { o.Token, o.Terminal, o.Key = "", "G", "00" },
		"no cards":             func(o *LoadOptions) { o.CardCount = 0 },
		"negative rate":        func(o *LoadOptions) { o.Rate = -1 },
		"no time":              func(o *LoadOptions) { o.Duration = 0 },
		"no connections":       func(o *LoadOptions) { o.Connections = 0 },
		"too many taps":        func(o *LoadOptions) { o.Rate, o.Duration = 1e6, time.Minute },
	} {
		o := fine
		change(&o)
		if _, err := o.check(); !errors.Is(err, ErrLoadOptions) {
			t.Errorf("%s: %v, want ErrLoadOptions", name, err)
		}
	}
	remote := fine
	remote.URL, remote.Remote = "http://192.0.2.7:80", true
	if _, err := remote.check(); err != nil {
		t.Errorf("--remote: %v", err)
	}
	for host, want := range map[string]bool{"localhost": true, "127.0.0.9": true, "::1": true,
		"10.0.0.1": false, "example.org": false, "": false} {
		if loopback(host) != want {
			t.Errorf("loopback(%q) is %v", host, !want)
		}
	}
}

// A switch that somebody else runs is loaded with a token, and with a terminal's key.
func TestLoadARunningSwitch(t *testing.T) {
	b := tinyBench(t)
	b.o.Binary = needBinary(t)
	dir := filepath.Join(b.dir, "switch")
	c, err := b.startSwitch(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.stop(); err != nil {
			t.Error(err)
		}
	})
	secret, err := token(dir)
	if err != nil {
		t.Fatal(err)
	}
	o := LoadOptions{URL: "http://" + c.Addr, Token: secret, CardCount: 500, Connections: 4,
		Rate: 300, Duration: time.Second, Version: "test"}
	r, err := Load(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	s := r.Sections[0]
	if f := s.Figure("declined"); f == nil || f.Median != 0 {
		t.Errorf("declined: %+v; notes %v", f, s.Notes)
	}
	if f := s.Figure("answer, p99"); f == nil || f.Median <= 0 || len(s.Plots) != 2 {
		t.Errorf("%+v, %d plots", f, len(s.Plots))
	}

	d, err := openDesk(t.Context(), c.Addr, secret)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	body, err := d.call(http.MethodPut, "/v1/terminals/OWN1",
		[]byte(`{"operator":"M5","kinds":["bus_boarding"]}`))
	if err != nil {
		t.Fatal(err)
	}
	var answer struct{ Key string }
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatal(err)
	}
	o.Token, o.Terminal, o.Key, o.Rate = "", "OWN1", answer.Key, 0
	o.Cards = cardNumber(1) + "\n" + cardNumber(2) + "\n" + cardNumber(3) + "\n"
	for range 2 { // the second time the counter goes on where it stopped
		if r, err = Load(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		if f := r.Sections[0].Figure("failed"); f == nil || f.Median != 0 {
			t.Errorf("failed: %+v; %v", f, r.Sections[0].Notes)
		}
	}
	o.Key = strings.Repeat("00", 32)
	if _, err := Load(t.Context(), o); err == nil || !strings.Contains(err.Error(), "signature") {
		t.Errorf("a wrong key: %v", err)
	}
	o.Key = "no hex"
	if _, err := Load(t.Context(), o); !errors.Is(err, ErrLoadOptions) {
		t.Errorf("a key that is none: %v", err)
	}
	o.Key, o.Cards = hex.EncodeToString([]byte("k")), " \n"
	if _, err := Load(t.Context(), o); !errors.Is(err, ErrLoadOptions) {
		t.Errorf("no cards in the file: %v", err)
	}
}
