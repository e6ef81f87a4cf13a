package qrdesk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/crypto/qr"
	"github.com/tapswitch/tapswitch/switch/qrtap"
)

// run runs a command and returns what it prints.
func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	c := Command()
	c.SetArgs(args)
	c.SetOut(&out)
	c.SetErr(&out)
	c.SetIn(strings.NewReader(""))
	c.SilenceErrors, c.SilenceUsage = true, true
	err := c.ExecuteContext(t.Context())
	return out.String(), err
}

// kit writes a trust file.
func kit(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "new")
	if out, err := run(t, "kit", dir); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	return filepath.Join(dir, "trust.json")
}

func TestMakeAndShow(t *testing.T) {
	trust := kit(t)
	code, err := run(t, "make", "--card", "7", "--limit", "990")
	if err != nil {
		t.Fatal(err)
	}
	out, err := run(t, "show", "--trust", trust, strings.TrimSpace(code))
	var got shown
	if jsonErr := json.Unmarshal([]byte(out), &got); err != nil || jsonErr != nil {
		t.Fatalf("%v %s", err, out)
	}
	if got.Card != "****0007" || got.LimitFen != 990 || got.Verdict != "accepted" || got.ValiditySeconds != 300 ||
		got.Institution != "01010000" || got.Certificate != "01010000-000001" || got.CA != 2 {
		t.Errorf("%+v", got)
	}
	if out, err := run(t, "show", strings.TrimSpace(code)); err != nil || strings.Contains(out, "verdict") {
		t.Errorf("without trust: %v %s", err, out)
	}
	later := time.Now().Add(time.Hour).Format(time.RFC3339)
	out, err = run(t, "show", "--trust", trust, "--at", later, strings.TrimSpace(code))
	if cli.Code(err) != cli.ExitFailed || !strings.Contains(out, `"validator_code": -105`) {
		t.Errorf("an hour later: %v %s", err, out)
	}
	other, err := run(t, "make", "--seed", "other")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := run(t, "show", "--trust", trust, strings.TrimSpace(other)); !errors.Is(err, qr.CertificateWrong) {
		t.Errorf("of another scheme: %v %s", err, out)
	}
	for _, args := range [][]string{{"show", "?"}, {"show", "--at", "noon", code}, {"make", "--at", "noon"},
		{"show", "--trust", "nowhere", code}, {"make", "--limit", "-1"}} {
		if out, err := run(t, args...); cli.Code(err) != cli.ExitUsage && cli.Code(err) != cli.ExitFailed {
			t.Errorf("%v: %v %s", args[:2], err, out)
		}
	}
}

func TestFilesThatSayNothing(t *testing.T) {
	path := kit(t)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"no CA":           {`"ca.hex"`, ``},
		"a lost CA":       {`"ca.hex"`, `"lost.hex"`},
		"no CA file":      {`"ca.hex"`, `"trust.json"`},
		"an unknown word": {`"cas"`, `"trusted"`},
		"revoked":         {`"revoked": []`, `"revoked": ["0101-2"]`},
		"order":           {`"order": ""`, `"order": "none"`},
		"skew":            {`"30s"`, `"30"`},
		"too much skew":   {`"30s"`, `"300h"`},
		"versions":        {`"versions": ""`, `"versions": "8"`},
		"types":           {`"account_types": ""`, `"account_types": "x"`},
		"alias":           {`"aliases": []`, `"aliases": [{"certificate":"01"}]`},
	} {
		bad := strings.Replace(string(text), change[0], change[1], 1)
		if bad == string(text) {
			t.Fatalf("%s changes nothing", name)
		}
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path, nil); !errors.Is(err, ErrFile) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A change counts without a restart; one that cannot be read changes nothing.
func TestReload(t *testing.T) {
	path := kit(t)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	code, err := run(t, "make", "--at", "2026-11-21T08:00:00+08:00")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 21, 0, 0, 1, 0, time.UTC)
	raw := qrtap.Decode(strings.TrimSpace(code))
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		trust, err := Open(path, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go func() { _ = trust.Run(ctx) }() // ends with the bubble
		verdict := func() error {
			<-time.After(2 * reloadEvery) // by the bubble's own clock
			synctest.Wait()
			_, err := trust.Verifier().Verify(raw, qr.Tap{Now: at})
			return err
		}
		revoked := strings.Replace(string(good), `"revoked": []`, `"revoked": ["01010000-000001"]`, 1)
		for _, step := range []struct {
			text string
			want error
		}{{string(good), nil}, {revoked, qr.CertificateRevoked}, {"{", qr.CertificateRevoked}, {string(good), nil}} {
			if err := os.WriteFile(path, []byte(step.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := verdict(); !errors.Is(err, step.want) || (err == nil) != (step.want == nil) {
				t.Errorf("%.40s: %v, want %v", step.text, err, step.want)
			}
		}
		stop()
		synctest.Wait()
		if n := strings.Count(log.String(), "stays as it was"); n != 1 {
			t.Errorf("told %d times: %s", n, log.String())
		}
	})
}
