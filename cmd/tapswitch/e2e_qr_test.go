package main

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/qr"
	"github.com/tapswitch/tapswitch/deploy/stack"
	"github.com/tapswitch/tapswitch/switch/gate"
	"github.com/tapswitch/tapswitch/switch/qrtap"
)

// TestE2EQR and TestE2EQRRedis: codes at a running switch, whichever store it has: each pays once,
// also shown at many gates at once and after a kill, and a freeze closes the card of the code.
func TestE2EQR(t *testing.T) {
	t.Parallel()
	e2eQR(t)
}

func TestE2EQRRedis(t *testing.T) {
	t.Parallel()
	stack.Require(t, stack.Redis)
	server, err := stack.StartRedis(context.Background(),
		stack.RedisOptions{Dir: filepath.Join(t.TempDir(), "redis")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	e2eQR(t, "--store", "redis", "--set", "store.redis.addrs="+server.Addr())
}

// e2eQRAnswer is what the gate is told.
type e2eQRAnswer struct {
	Outcome, Reason string
	ValidatorCode   int `json:"validator_code"`
	Balance         int64
	Replay          bool
	status          int
}

// e2eShow has the gate show a code with an id of its own; more are further fields.
func (u *e2eUpload) e2eShow(number int, code []byte, more string) (a e2eQRAnswer) {
	body := fmt.Sprintf(`{"id":"%s-1-%d","kind":"bus_boarding","code":"%s","service_time":"%s"%s}`, e2eUploadGate,
		number, base64.StdEncoding.EncodeToString(code), u.now().UTC().Format(time.RFC3339), more)
	status, text, err := u.send(u.t.Context(), qrtap.Prefix, "application/json", []byte(body))
	if status == http.StatusUnauthorized { // the switch was restarted and names the counter to go on from
		status, text, err = u.send(u.t.Context(), qrtap.Prefix, "application/json", []byte(body))
	}
	if err != nil {
		u.t.Error(err)
	}
	if err := json.Unmarshal(text, &a); err != nil {
		u.t.Errorf("%d %s: %v", status, text, err)
	}
	a.status = status
	return a
}

// e2eQRKit makes a scheme and its trust file.
func e2eQRKit(t *testing.T, dir string) (*qr.Kit, string) {
	t.Helper()
	kit, err := qr.NewKit(qr.Profile{Skew: time.Hour}, qr.NewSeedReader([]byte(t.Name())), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "trust.json")
	for name, text := range map[string]string{path: `{"profile":{"skew":"1h"},"cas":["ca"]}`,
		filepath.Join(dir, "ca"): hex.EncodeToString(kit.CAFile)} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return kit, path
}

func e2eQR(t *testing.T, flags ...string) {
	dir := t.TempDir()
	kit, trust := e2eQRKit(t, dir)
	u := &e2eUpload{t: t, name: e2eUploadGate, clock: filepath.Join(dir, "clock")}
	u.node = newE2ENode(t, filepath.Join(dir, "switch"), append([]string{"--listen", "127.0.0.1:0",
		"--set", "qr.file=" + trust}, flags...)...)
	u.shift(0)
	if err := u.node.start(); err != nil {
		t.Fatal(err)
	}
	var made struct{ Key string }
	u.operate("PUT", "/v1/terminals/"+e2eUploadGate, `{"operator":"BUS1","kinds":["bus_boarding","load"],"acquirer":"ACQ1"}`, &made)
	secret, err := hex.DecodeString(made.Key)
	if err != nil {
		t.Fatal(err)
	}
	u.signer = gate.NewSigner(e2eUploadGate, secret)
	card := strings.TrimPrefix(kit.Spec(1).CardAccount, "0")
	u.operate("POST", "/v1/cards", `{"card":"`+card+`","apps":["transit","purse"],"rider":"ordinary"}`, nil)
	load := fmt.Sprintf(`{"id":"%s-1-1","card":"%s","amount":5000,"service_time":"%s"}`, e2eUploadGate, card,
		u.now().UTC().Format(time.RFC3339))
	if status, text, err := u.send(t.Context(), "/v1/loads", "application/json", []byte(load)); err != nil || status != http.StatusOK {
		t.Fatalf("%d %s %v", status, text, err)
	}
	phone, err := kit.Issue(kit.Spec(1))
	if err != nil {
		t.Fatal(err)
	}
	code := func(seconds int) []byte {
		b, err := phone.Code(u.now().Add(-time.Duration(seconds) * time.Second))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	first := code(10)
	taken := u.e2eFlash(first)
	for _, step := range []struct {
		number int
		code   []byte
		more   string
		want   string
		shown  int
	}{
		{100, first, "", "qr_code_used", 0}, {101, code(20), "", "", 0},
		{102, append([]byte{0}, first[1:]...), "", "qr_code_malformed", 0},
		{103, e2eQRForged(t, kit, qr.IssuerSignatureWrong), "", "qr_code_issuer_signature", -103},
		{104, e2eQRForged(t, kit, qr.UnknownCA), "", "qr_code_no_ca", -101},
	} {
		if a := u.e2eShow(step.number, step.code, step.more); a.status != 200 || a.Reason != step.want || a.ValidatorCode != step.shown {
			t.Errorf("%d: %+v, want %q", step.number, a, step.want)
		}
	}
	u.node.kill()
	if err := u.node.start(); err != nil {
		t.Fatal(err)
	}
	if a := u.e2eShow(105, first, ""); a.Reason != "qr_code_used" || a.Balance != 5000-taken.Balance-taken.Balance {
		t.Errorf("after a kill: %+v, a tap costs %d", a, taken.Balance)
	}
	u.operate("POST", "/v1/freezes", `{"card":"`+card+`","reason":"lost","note":"LOST-1"}`, nil)
	if a := u.e2eShow(106, code(30), ""); a.Reason != "card_frozen" {
		t.Errorf("frozen: %+v", a)
	}
}

// e2eFlash shows one code at many gates at once: one is opened. Balance is what it cost.
func (u *e2eUpload) e2eFlash(code []byte) (cost e2eQRAnswer) {
	var group sync.WaitGroup
	answers := make([]e2eQRAnswer, 12)
	for i := range answers {
		group.Go(func() { answers[i] = u.e2eShow(10+i, code, "") })
	}
	group.Wait()
	opened := 0
	for _, a := range answers {
		switch {
		case a.Outcome == "approved":
			opened++
			cost.Balance = 5000 - a.Balance
		case a.Reason != "qr_code_used":
			u.t.Errorf("%+v", a)
		}
	}
	if opened != 1 || cost.Balance <= 0 {
		u.t.Errorf("%d of %d gates opened: %+v", opened, len(answers), answers)
	}
	return cost
}

func e2eQRForged(t *testing.T, kit *qr.Kit, why qr.Refusal) []byte {
	t.Helper()
	b, _, err := kit.Refused(why, 1)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
