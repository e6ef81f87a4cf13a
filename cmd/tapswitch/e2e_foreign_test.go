package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/desk/api"
	"github.com/tapswitch/tapswitch/switch/sim"
)

// luoyang is another city's institution, which signs its lists.
type luoyang struct {
	*deskCity
	key   ed25519.PrivateKey
	epoch int
}

// give hands the city's whole list in, valid for a while, and returns what the switch says.
func (l *luoyang) give(key ed25519.PrivateKey, valid time.Duration, cards ...string) (int, string) {
	l.t.Helper()
	l.epoch++
	now := time.Now().UTC()
	body := fmt.Appendf(nil, "source,luoyang\nepoch,%d\nmade,%s\nexpires,%s\ncards,%d\n", l.epoch,
		now.Format(time.RFC3339), now.Add(valid).Format(time.RFC3339), len(cards))
	for _, card := range cards {
		body = append(body, card+"\n"...)
	}
	r, err := http.NewRequestWithContext(l.t.Context(), http.MethodPost,
		"http://"+l.node.gate()+"/v1/desk/foreign/luoyang/lists", bytes.NewReader(body))
	if err != nil {
		l.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+l.admin)
	r.Header.Set("Content-Type", "application/json") // as the gate takes bodies of any kind
	r.Header.Set(api.ListProofHeader, hex.EncodeToString(ed25519.Sign(key, body)))
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		l.t.Fatal(err)
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	return a.StatusCode, string(text)
}

// ride taps a card and returns the reason, "" where it rides.
func (l *luoyang) ride(card string) string {
	l.t.Helper()
	a := l.tap(0, card, 0)
	if a.Outcome == "approved" {
		return ""
	}
	return a.Reason
}

// TestE2EForeignList: another city's signed list refuses its card on line at a running gate and
// stands in the gates' list; ended it holds on, and a list without the card opens it again. The
// freeze outlives a kill of the switch, and a list that is not the city's changes nothing.
func TestE2EForeignList(t *testing.T) {
	t.Parallel()
	l := &luoyang{deskCity: newDeskCity(t), key: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{5}, 32))}
	const card, other = "3104800000000027", "3104800000000035"
	public, ok := l.key.Public().(ed25519.PublicKey)
	if !ok {
		t.Fatal("no public key")
	}
	l.put("/v1/desk/foreign/luoyang", fmt.Sprintf(`{"institution":"LUOYANG","city":"Luoyang","algorithm":"ed25519",
	 "public_key":%q}`, hex.EncodeToString(public)))
	loader, err := sim.Register(t.Context(), l.client, l.admin, sim.TerminalSpec{ID: "LOADER1", Operator: "bus",
		Kinds: []string{"load"}})
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range []string{card, other} {
		r, err := l.client.Operate(t.Context(), l.admin, http.MethodPost, "/v1/cards", fmt.Appendf(nil,
			`{"card":%q,"apps":["transit","purse"],"rider":"ordinary","issuer":"LUOYANG"}`, c))
		if err != nil || r.Status != http.StatusCreated {
			t.Fatalf("%d %s %v", r.Status, r.Body, err)
		}
		r, err = l.client.Send(t.Context(), loader, "/v1/loads", fmt.Appendf(nil,
			`{"id":"LOADER1-1-%d","card":%q,"service_time":%q,"amount":5000}`, i+1, c, e2eNow()))
		if err != nil || r.Status != http.StatusOK || !strings.Contains(string(r.Body), "approved") {
			t.Fatalf("%d %s %v", r.Status, r.Body, err)
		}
	}
	rides := func(when, want string) {
		t.Helper()
		if got := l.ride(card); got != want {
			t.Errorf("%s the card gets %q, want %q", when, got, want)
		}
		if got := l.ride(other); got != "" {
			t.Errorf("%s another card of the city gets %q", when, got)
		}
	}
	rides("before", "")
	thief := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{6}, 32))
	if status, text := l.give(thief, time.Hour, card); status != http.StatusConflict {
		t.Errorf("a list by another key: %d %s", status, text)
	}
	rides("after a list by another key", "")
	if status, text := l.give(l.key, 5*time.Second, card); status != http.StatusOK {
		t.Fatalf("%d %s", status, text)
	}
	ended := time.Now().Add(6 * time.Second)
	rides("frozen by its city", lostReason)
	l.node.kill()
	l.restart()
	rides("after a kill", lostReason)

	l.until("the list to have ended", func() (bool, error) {
		var all struct {
			Sources []struct{ Source struct{ Stale bool } }
		}
		l.call(http.MethodGet, "/v1/desk/foreign", "", &all)
		return time.Now().After(ended) && len(all.Sources) == 1 && all.Sources[0].Source.Stale, nil
	})
	rides("of a list that has ended", lostReason)
	if page := l.page("/freezes?lang=en"); !strings.Contains(page, "has ended, stays in force") {
		t.Error("the page does not say that the list has ended")
	}
	release, err := json.Marshal(map[string]any{"card": card, "id": "LUOYANG-1-1", "why": "found"})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := l.client.Operate(t.Context(), l.admin, http.MethodPost, "/v1/releases", release); err != nil ||
		r.Status == http.StatusOK && l.ride(card) == "" {
		t.Errorf("we opened another city's freeze: %d %s %v", r.Status, r.Body, err)
	}
	if status, text := l.give(l.key, time.Hour); status != http.StatusOK || !strings.Contains(text, `"released":1`) {
		t.Fatalf("%d %s", status, text)
	}
	rides("lifted by its city", "")
}
