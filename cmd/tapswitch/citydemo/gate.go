package citydemo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/crypto/receipt"
	"github.com/tapswitch/tapswitch/switch/blacklist/list"
	"github.com/tapswitch/tapswitch/switch/sim"
)

// gate is a terminal with a key: on line it asks, off line it decides by the list that it
// holds and uploads later. It belongs to one goroutine.
type gate struct {
	t       *town
	spec    sim.TerminalSpec
	term    *sim.Terminal
	counter uint32
	list    *list.List
	kept    []record // served off line, not uploaded
}

// record is what a gate keeps of an off-line service.
type record struct {
	ID      string `json:"id"`
	Kind    string `json:"kind"`
	Card    string `json:"card"`
	Time    string `json:"service_time"`
	Line    string `json:"line,omitempty"`
	Counter uint32 `json:"offline_counter,omitempty"`
	Epoch   uint64 `json:"list_epoch,omitempty"`
	Amount  int64  `json:"amount,omitempty"`
	App     string `json:"app,omitempty"`
}

// verdict is what a card got at a terminal.
type verdict struct {
	Outcome string `json:"outcome"`
	Reason  string `json:"reason"`
	Code    string `json:"code"` // of a verification
	Charged int64  `json:"charged"`
	Balance int64  `json:"balance"`
	Record  string `json:"record"`
	Error   *sim.APIError
}

func (t *town) gate(ctx context.Context, spec sim.TerminalSpec) (*gate, error) {
	term, err := sim.Register(ctx, t.client, t.admin, spec)
	return &gate{t: t, spec: spec, term: term}, err
}

// service begins a record of a service now.
func (g *gate) service(kind string, card pan.Number) record {
	g.counter++
	return record{ID: fmt.Sprintf("%s-1-%d", g.spec.ID, g.counter), Kind: kind, Card: card.Digits(),
		Time: sim.FormatTime(g.t.clock.now())}
}

// ask sends a request to the switch.
func (g *gate) ask(ctx context.Context, path string, body any) (v verdict, err error) {
	text, err := json.Marshal(body)
	if err != nil {
		return v, err
	}
	r, err := g.t.client.Send(ctx, g.term, path, text)
	switch {
	case err != nil:
		return v, err
	case r.Refused != nil:
		return v, r.Refused
	}
	if err := json.Unmarshal(r.Body, &v); err != nil {
		return v, fmt.Errorf("%s: %w", path, err)
	}
	if v.Reason == "" && v.Outcome != "approved" {
		v.Reason = v.Code
	}
	return v, nil
}

// ride taps on line.
func (g *gate) ride(ctx context.Context, card pan.Number) (verdict, error) {
	r := g.service("bus_boarding", card)
	r.Line = g.spec.Line
	return g.ask(ctx, "/v1/taps", r)
}

// money loads or spends.
func (g *gate) money(ctx context.Context, path string, card pan.Number, fen int64) (verdict,
	error) {
	r := g.service("", card)
	return g.ask(ctx, path, map[string]any{"id": r.ID, "card": r.Card, "service_time": r.Time,
		"amount": fen})
}

// verify shows a card for an application that costs nothing.
func (g *gate) verify(ctx context.Context, card pan.Number, app string) (verdict, error) {
	r := g.service("", card)
	return g.ask(ctx, "/v1/verifications",
		map[string]any{"id": fmt.Sprintf("1-%d", g.counter), "card": r.Card, "app": app,
			"service_time": r.Time})
}

// rideOffline serves a card by the list that the gate holds. count is the card's own counter
// of off-line services.
func (g *gate) rideOffline(card pan.Number, token pan.Token, count uint32) (served bool) {
	if g.list != nil && g.list.Contains(token) {
		return false
	}
	r := g.service("bus_boarding", card)
	r.Line, r.Counter = g.spec.Line, count
	if g.list != nil {
		r.Epoch = uint64(g.list.Epoch())
	}
	g.kept = append(g.kept, r)
	return true
}

// upload sends what was served off line and returns the answers.
func (g *gate) upload(ctx context.Context) ([]verdict, error) {
	text, err := json.Marshal(map[string]any{"taps": g.kept})
	if err != nil {
		return nil, err
	}
	r, err := g.t.client.Send(ctx, g.term, "/v1/taps:batch", text)
	switch {
	case err != nil:
		return nil, err
	case r.Refused != nil:
		return nil, r.Refused
	}
	var a struct{ Results []verdict }
	if err := json.Unmarshal(r.Body, &a); err != nil {
		return nil, err
	}
	g.kept = nil
	return a.Results, nil
}

// errNoList reports that the gate has no list to take.
var errNoList = errors.New("no list")

// takeList takes the newest list and opens it with the agency's public key.
func (g *gate) takeList(ctx context.Context) error {
	keys, err := list.NewKeys(g.t.keys)
	if err != nil {
		return err
	}
	file, err := g.get(ctx, "/v1/lists/transit/full?format=exact", 0)
	if err != nil {
		return err
	}
	l, err := list.Open(file, keys)
	if err != nil {
		return err
	}
	g.list = l
	_, err = g.get(ctx, "/v1/lists/transit/current", uint64(l.Epoch())) // says what it holds now
	return err
}

// get makes a signed read, with the epoch that the gate holds.
func (g *gate) get(ctx context.Context, path string, epoch uint64) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+g.t.node.Gate+path, nil)
	if err != nil {
		return nil, err
	}
	g.term.Sign(req, nil, g.t.clock.now())
	if epoch != 0 {
		req.Header.Set(list.EpochHeader, strconv.FormatUint(epoch, 10))
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<22))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%w: %s answers %d: %.200s", errNoList, path, resp.StatusCode, body)
	}
	return body, err
}

// receiptOf verifies a receipt with the agency's public key.
func (t *town) receiptOf(envelope []byte) (*receipt.Freeze, error) {
	keys, err := receipt.NewKeys(t.keys)
	if err != nil {
		return nil, err
	}
	return keys.VerifyFreeze(envelope)
}

// at parses an instant of an answer, in local time; the zero time for none.
func at(text string) time.Time {
	v, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}
	}
	return v.In(zone())
}
