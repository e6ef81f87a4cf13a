package bank

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/bank/audit"
	"github.com/tapswitch/tapswitch/switch/bank/link"
	"github.com/tapswitch/tapswitch/switch/bank/rota"
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// DeadLetter is a reversal or advice that its bank refused: a person must settle it with the
// bank, and then close it, or have the bank told again.
type DeadLetter struct {
	Request string     `json:"request"`
	Card    string     `json:"card"`
	Last4   string     `json:"last4"`
	Kind    string     `json:"kind"`
	Was     string     `json:"was"` // reversing or advising
	Amount  int64      `json:"amount"`
	Link    string     `json:"link"`
	STAN    uint32     `json:"stan"`
	RRN     string     `json:"rrn"`
	Code    string     `json:"code"` // the bank's field 39
	At      txn.Millis `json:"at"`
}

const deadPrefix = "bank/dead/"

// ErrNotDead reports a request id that is no dead letter.
var ErrNotDead = errors.New("no dead letter has this request id")

// keepDead notes a dead letter, before the transaction becomes one: a letter too many shows
// the state that its transaction has, one too few would be forgotten.
func (s *Switch) keepDead(ctx context.Context, e errand, b *card.BankTxn, last4 pan.Last4, code [2]byte) error {
	text, err := json.Marshal(DeadLetter{Request: b.ID.String(), Card: hex.EncodeToString(e.card[:]),
		Last4: last4.String(), Kind: b.Kind.String(), Was: b.Phase.String(), Amount: int64(b.Amount),
		Link: b.Link, STAN: b.STAN, RRN: trimmed(b.RRN[:]), Code: trimmed(code[:]), At: s.o.Now()})
	if err != nil {
		return err
	}
	return s.putDead(ctx, b.ID.String(), text)
}

func (s *Switch) putDead(ctx context.Context, request string, text []byte) error {
	key := deadPrefix + request
	_, version, err := s.o.Registry.Get(ctx, key)
	if err != nil {
		return err
	}
	return s.o.Registry.Put(ctx, key, text, version)
}

// Dead returns the dead letters, in order of their ids.
func (s *Switch) Dead(ctx context.Context) ([]DeadLetter, error) {
	keys, err := s.o.Registry.Keys(ctx, deadPrefix)
	if err != nil {
		return nil, err
	}
	all := make([]DeadLetter, 0, len(keys))
	for _, key := range keys {
		d, _, err := s.dead(ctx, key)
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}

func (s *Switch) dead(ctx context.Context, key string) (d DeadLetter, version uint64, err error) {
	value, version, err := s.o.Registry.Get(ctx, key)
	if err != nil {
		return d, 0, err
	}
	if version == 0 || len(value) == 0 {
		return d, 0, ErrNotDead
	}
	if err := json.Unmarshal(value, &d); err != nil {
		return d, 0, fmt.Errorf("%w: %s: %w", store.ErrDamaged, key, err)
	}
	return d, version, nil
}

// Resolve ends a dead letter: retry has the bank told again, else it is closed as settled
// with the bank by hand. Who did it stands in the audit trail.
func (s *Switch) Resolve(ctx context.Context, request string, retry bool, by audit.Actor) (
	t Transaction, err error,
) {
	action := "close"
	if retry {
		action = "retry"
	}
	if _, _, err := s.dead(ctx, deadPrefix+request); err != nil {
		return t, err
	}
	line, err := s.trail.Begin(ctx, audit.Line{Actor: by, Action: action, Subject: request})
	if err != nil {
		return t, err
	}
	t, err = s.resolve(ctx, request, retry)
	outcome := t.Phase.String()
	if err != nil {
		outcome = "not done: " + err.Error()
	}
	return t, errors.Join(err, line.End(context.WithoutCancel(ctx), outcome, ""))
}

func (s *Switch) resolve(ctx context.Context, request string, retry bool) (Transaction, error) {
	d, version, err := s.dead(ctx, deadPrefix+request)
	if err != nil {
		return Transaction{}, err
	}
	if d.Kind == deadNotice {
		return s.resolveNotice(ctx, request, version, retry)
	}
	var e errand
	raw, err := hex.DecodeString(d.Card)
	if err != nil || copy(e.card[:], raw) != len(e.card) {
		return Transaction{}, fmt.Errorf("%w: %s", store.ErrDamaged, request)
	}
	if e.id, err = txn.ParseRequestID(request); err != nil {
		return Transaction{}, err
	}
	w := txn.BankWork{Step: txn.BankClose}
	if retry {
		w.Step, w.Due = txn.BankRetry, s.o.Now()
	}
	a := s.step(ctx, s.errandRequest(e, w))
	if a.Err != nil {
		return Transaction{}, a.Err
	}
	if a.Bank == nil {
		return Transaction{}, ErrNotDead
	}
	if a.Bank.Phase != card.Dead {
		err = s.o.Registry.Put(ctx, deadPrefix+request, nil, version)
	}
	if retry && a.Bank.Phase.Open() {
		s.teller.add(e)
	}
	s.log.Info("dead letter resolved", "request", request, "retry", retry,
		"phase", a.Bank.Phase.String())
	return Transaction{e.card, *a.Bank}, err
}

// Status is the bank edge as people see it.
type Status struct {
	Listeners []ListenerStatus `json:"listeners"`
	Links     []LinkStatus     `json:"links"`
	// Queued is how many reversals and advices wait in memory to be told, Due how many
	// entries the due queue has in all, journeys included.
	Queued int `json:"queued"`
	Due    int `json:"due"`
	// Signatures is how many signatures of card holders are kept.
	Signatures int `json:"signatures"`
}

// ListenerStatus describes a listener.
type ListenerStatus struct {
	Name        string `json:"name"`
	Address     string `json:"address"`
	Connections int    `json:"connections"`
	Terminals   int    `json:"terminals"`
	// Refused counts connections that were not taken: of addresses that may not, above the
	// limit, and with TLS that failed (no certificate, or a foreign one).
	RefusedAddress uint64 `json:"refused_address"`
	RefusedFull    uint64 `json:"refused_full"`
	TLSFailed      uint64 `json:"tls_failed"`
}

// LinkStatus describes a link.
type LinkStatus struct {
	Name     string `json:"name"`
	Up       bool   `json:"up"`
	InFlight int    `json:"in_flight"`
	Telling  int64  `json:"telling"`
	Notices  int    `json:"notices"` // that wait to be forwarded
	// Tasks are keys and reconcile where the link has them: when they are due, and what went
	// wrong the last time.
	Tasks       map[string]rota.State `json:"tasks,omitempty"`
	MACKey      string                `json:"mac_kcv,omitempty"`
	PINKey      string                `json:"pin_kcv,omitempty"`
	Connections []ConnectionStatus    `json:"connections"`
	Figures     link.Figures          `json:"figures"`
}

// ConnectionStatus describes one connection of a link.
type ConnectionStatus struct {
	Address string    `json:"address"`
	State   string    `json:"state"`
	Since   time.Time `json:"since"`
	Cause   string    `json:"cause,omitempty"`
}

// Status returns what is connected.
func (s *Switch) Status(ctx context.Context) (Status, error) {
	var out Status
	buckets, err := s.o.Clock.Buckets(ctx)
	if err != nil {
		return out, err
	}
	for _, b := range buckets {
		out.Due += b.Due
	}
	out.Listeners = s.Listeners()
	out.Links = s.Links()
	signatures, err := s.o.Registry.Keys(ctx, signaturePrefix)
	if err != nil {
		return out, err
	}
	out.Signatures = len(signatures)
	s.teller.mu.Lock()
	out.Queued = len(s.teller.queued)
	s.teller.mu.Unlock()
	return out, nil
}

// Listeners returns what there is to say of each listener.
func (s *Switch) Listeners() (all []ListenerStatus) {
	for _, l := range s.listeners {
		all = append(all, l.status())
	}
	return all
}

func (l *listener) status() ListenerStatus {
	c := l.server.Counters().Snapshot()
	st := ListenerStatus{Name: l.cfg.Name, Address: l.bound,
		Connections: len(l.server.Connections()), RefusedAddress: c.RefusedUnknown,
		RefusedFull: c.RefusedFull, TLSFailed: c.TLSBad}
	if l.terminals != nil {
		st.Terminals = l.terminals.Len()
	}
	return st
}

// Links returns what there is to say of each link.
func (s *Switch) Links() (all []LinkStatus) {
	for i := range s.o.Config.Links {
		all = append(all, s.linkStatus(s.links[s.o.Config.Links[i].Name]))
	}
	return all
}

func (s *Switch) linkStatus(l *outlet) LinkStatus {
	st := LinkStatus{Name: l.name, Up: l.link.IsUp(), InFlight: l.link.InFlight(),
		Telling: l.waiting.Load(), Figures: l.link.Counters().Snapshot()}
	auth, pin := l.keys.KCVs()
	st.MACKey, st.PINKey = string(auth), string(pin)
	st.Notices, st.Tasks = s.letters.Waiting(l.name), s.tasksOf(l)
	for _, c := range l.link.Status() {
		st.Connections = append(st.Connections, ConnectionStatus{Address: c.Address,
			State: c.State.String(), Since: c.Since, Cause: c.Cause})
	}
	return st
}

// Addresses returns where each listener listens, by its name.
func (s *Switch) Addresses() map[string]string {
	all := map[string]string{}
	for _, l := range s.listeners {
		all[l.cfg.Name] = l.bound
	}
	return all
}
