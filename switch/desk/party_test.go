package desk

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/notice"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// links tells banks, who hear everything and answer when the test says so.
type links struct{}

func (links) NotifyLink(context.Context, string, notice.Message) error { return nil }

// withParties puts the real service of notices, on the same store, in the place of the fake.
func (r *rig) withParties(names ...string) *notice.Service {
	r.t.Helper()
	svc, err := notice.New(notice.Options{Cards: r.memory, Registry: r.memory, Key: bytes.Repeat([]byte{7}, 32),
		Now: r.now, Logger: slog.New(slog.DiscardHandler), Links: links{}, SweepEvery: time.Hour})
	if err != nil {
		r.t.Fatal(err)
	}
	if err := svc.Start(context.Background()); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = svc.Close(context.Background()) })
	for _, name := range names {
		if err := svc.Roster().Put(r.t.Context(), notice.Party{Name: name, Kind: "bank", Scopes: []string{"all"},
			Channel: "issuer_link", Link: name, Answer: "explicit", Clause: "contract 4.2"}); err != nil {
			r.t.Fatal(err)
		}
	}
	o := r.desk.o
	o.Notices = svc
	r.desk.Close()
	if r.desk, err = New(o); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(r.desk.Close)
	return svc
}

// told does what the parties' clocks have due, until each was told.
func (r *rig) told(svc *notice.Service) {
	r.t.Helper()
	var due []store.Due
	for b := range txn.Bucket(txn.BucketCount) {
		entries, err := r.memory.DueBefore(r.t.Context(), b, r.now(), store.Page{Max: 1000})
		if err != nil {
			r.t.Fatal(err)
		}
		for _, e := range entries {
			if e.Key[0] == engine.DueNotice {
				due = append(due, e)
			}
		}
	}
	svc.Due(r.t.Context(), due)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for limit := time.After(time.Minute); ; {
		if f := svc.Figures(); f.DuesWaiting == 0 && f.Waiting == 0 && f.Pending == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			r.t.Fatal("the parties were not told within a minute")
		}
	}
}

// rows are the rows of a notice by party.
func rows(t *testing.T, svc *notice.Service, id string) map[string]notice.Row {
	t.Helper()
	st, err := svc.Status(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]notice.Row{}
	for _, c := range st.Clocks {
		all[c.Row.Party] = c.Row
	}
	return all
}

// A party that never answers, answers twice, contradicts itself, or answers for another card,
// changes nothing but its own row: not the freeze, not the account, not what another party
// said. The one that is silent is late, and the card refused all the same.
func TestAPartyChangesNothingButItsOwnRow(t *testing.T) {
	r := newRig(t, "handan")
	svc := r.withParties("silent", "twice", "stray")
	token, other := r.open(1), r.open(2)
	r.must(token, "li.lei", lossReport)
	r.told(svc)
	ids, err := r.desk.NoticesOf(t.Context(), cardToken(1))
	if err != nil || len(ids) != 1 {
		t.Fatalf("%v, %v", ids, err)
	}
	id := ids[0]
	doc, before := r.account(token).Append(nil), rows(t, svc, id)
	if len(before) != 3 || before["silent"].SentFirst == 0 {
		t.Fatalf("%+v", before)
	}
	r.pass(minute)
	at := r.now()
	good := notice.Ack{Card: cardToken(1), Received: at, Effective: at, Proof: notice.ProofCallback, By: "system"}
	wrong := good
	wrong.Card = cardToken(2)
	later := good
	later.Received, later.Effective = at-second, at-second
	for _, c := range []struct {
		party string
		ack   notice.Ack
		want  notice.Refusal
	}{
		{"twice", good, notice.Accepted},
		{"twice", good, notice.Accepted},
		{"twice", later, notice.Contradiction},
		{"stray", wrong, notice.OtherCard},
		{"nobody", good, notice.UnknownParty},
	} {
		if got, err := svc.Acknowledge(t.Context(), id, c.party, c.ack); err != nil || got != c.want {
			t.Errorf("%s: %s, %v, want %s", c.party, got, err, c.want)
		}
	}
	if _, err := svc.Acknowledge(t.Context(), "no-such-notice", "stray", good); !errors.Is(err, notice.ErrNoNotice) {
		t.Errorf("%v", err)
	}
	after := rows(t, svc, id)
	if row := after["twice"]; row.Received != at || row.Effective != at || row.Contradictions != 1 {
		t.Errorf("twice: %+v", row)
	}
	if after["silent"] != before["silent"] {
		t.Errorf("silent: %+v, before %+v", after["silent"], before["silent"])
	}
	if row := after["stray"]; row.Received != 0 || row.Effective != 0 {
		t.Errorf("stray: %+v", row)
	}
	if !bytes.Equal(doc, r.account(token).Append(nil)) {
		t.Error("an answer changed the account")
	}
	r.pass(3 * hour)
	r.settle()
	r.told(svc)
	if row := rows(t, svc, id)["silent"]; !row.Late || row.Effective != 0 {
		t.Errorf("after the window: %+v", row)
	}
	r.wants(r.request(txn.Purchase, cardToken(1), 1), txn.CardFrozen)
	if got := r.listed(cardToken(2)); got != (txn.Mark{}) || r.account(other).Lost() {
		t.Errorf("the other card bears %+v", got)
	}
}
