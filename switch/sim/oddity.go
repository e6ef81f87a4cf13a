package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// unknownCard is a number that no plan enrols.
const unknownCard = "3104970000000000000"

// note is what the demo writes into freezes and releases.
const note = "demo"

// repeat sends s once more and compares the answer with the first, byte for byte. A late
// copy may be refused as too old instead.
func (w *worker) repeat(ctx context.Context, s *Step, body []byte, first Reply, late bool) error {
	w.out.Copies++
	r, err := w.d.Client.Send(ctx, w.d.Terminals[s.Terminal], pathOf(s.Kind), body)
	if err != nil {
		return err
	}
	w.measure(r, false)
	a, err := ParseAnswer(r.Body)
	tooOld := late && a.Reason == txn.IDTooOld.String() && !a.Approved()
	switch {
	case r.Refused != nil || err != nil || s.Want.Recorded && !a.Replay && !tooOld:
		w.out.mismatch("%s %s: the copy was not answered as one: %d %v", s.ID, s.Kind, r.Status,
			r.Refused)
	case !tooOld && !bytes.Equal(canonical(r.Body), canonical(first.Body)):
		w.out.mismatch("%s %s: the copy's answer %s differs from the first %s", s.ID, s.Kind,
			canonical(r.Body), canonical(first.Body))
	default:
		w.out.Absorbed++
	}
	return nil
}

// again sends an earlier step once more: it is absorbed while the card remembers it.
func (w *worker) again(ctx context.Context, a at, c *Card, s *Step) error {
	old := &c.Steps[s.Original]
	first, ok := w.first[at{a.card, s.Original}]
	if !ok {
		return nil // the first was not answered as expected, which is said already
	}
	return w.repeat(ctx, old, old.encode(c.Number.Digits(), w.d.Base), first, s.Late)
}

// desk makes an operator's call, without a body when body is nil, and reports whether it was
// granted.
func (w *worker) desk(
	ctx context.Context, token, path string, body any,
) (r Reply, granted bool, err error) {
	var text []byte
	if body != nil {
		if text, err = json.Marshal(body); err != nil {
			return r, false, fmt.Errorf("%s: %w", path, err)
		}
	}
	if r, err = w.d.Client.Operate(ctx, token, http.MethodPost, path, text); err != nil {
		return r, false, err
	}
	return r, r.Refused == nil, nil
}

func (w *worker) freeze(ctx context.Context, c *Card, s *Step) error {
	r, ok, err := w.desk(ctx, w.d.Desk, "/v1/freezes", struct {
		Card   string   `json:"card"`
		Reason string   `json:"reason"`
		Scope  []string `json:"scope"`
		Note   string   `json:"note"`
	}{c.Number.Digits(), s.Reason.String(), s.Scope.Names(), note})
	if err != nil {
		return err
	}
	if !ok {
		w.out.mismatch("freeze of %s: refused with %d %s", c.Number, r.Status, r.Refused)
		return nil
	}
	w.out.Figures.Add(w.d.Plan.Item(s))
	return nil
}

// releaseDone is what a confirmation is told that was sent again after a lost reply, or
// that a faulty network delivered twice. The ledger says whether it is true.
const releaseDone = "release_not_pending"

// release asks as one person and confirms as another. When the switch went away between
// the two, the release may be done already, which the second try is told.
func (w *worker) release(ctx context.Context, c *Card, s *Step) error {
	ask := func() (Reply, bool, error) {
		return w.desk(ctx, w.d.Desk, "/v1/releases", struct {
			Card string `json:"card"`
			Note string `json:"note"`
		}{c.Number.Digits(), note})
	}
	r, ok, err := ask()
	if err != nil || !ok {
		w.out.mismatch("release of %s: refused with %d %v", c.Number, r.Status, r.Refused)
		return err
	}
	var asked struct {
		Release string `json:"release"`
	}
	if err := json.Unmarshal(r.Body, &asked); err != nil || asked.Release == "" {
		return fmt.Errorf("%w: no release id", errAnswer)
	}
	path := "/v1/releases/" + asked.Release + "/confirm"
	r, ok, err = w.desk(ctx, w.d.Second, path, nil)
	if err != nil {
		return err
	}
	if !ok && r.Refused.Code != releaseDone {
		w.out.mismatch("release of %s: not confirmed: %d %s", c.Number, r.Status, r.Refused)
		return nil
	}
	w.out.Figures.Add(w.d.Plan.Item(s))
	return nil
}

// bad sends a request that is none and expects the refusal that the plan names.
func (w *worker) bad(ctx context.Context, c *Card, s *Step) error {
	w.out.BadTried++
	t, number := w.d.Terminals[s.Terminal], c.Number.Digits()
	step := *s
	switch s.Flaw {
	case FlawUnknownCard:
		number = unknownCard
	case FlawFuture:
		step.At = time.Since(w.d.Base) + time.Hour
	case FlawSignature:
		t = NewTerminal(t.ID, []byte("not the key of this terminal, 32"))
	}
	body := step.encode(number, w.d.Base)
	if s.Flaw == FlawUnknownField {
		body = []byte(strings.Replace(string(body), "{", `{"flavour":"mango",`, 1))
	}
	r, err := w.d.Client.Send(ctx, t, pathOf(s.Kind), body)
	if err != nil {
		return err
	}
	if s.Want.Code == "" {
		if a, ok := w.check(s, r); ok && !a.Approved() {
			w.out.BadRefused++
		}
		return nil
	}
	if r.Refused == nil || r.Refused.Code != s.Want.Code || r.Status != s.Want.Status {
		w.out.mismatch("%s: got %d %v, want %d %s", s.ID, r.Status, r.Refused, s.Want.Status,
			s.Want.Code)
		return nil
	}
	w.out.BadRefused++
	return nil
}
