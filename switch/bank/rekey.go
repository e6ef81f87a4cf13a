package bank

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tapswitch/tapswitch/switch/bank/audit"
	"github.com/tapswitch/tapswitch/switch/bank/keymail"
	"github.com/tapswitch/tapswitch/switch/bank/link"
	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/bank/rota"
	"github.com/tapswitch/tapswitch/switch/bank/secure"
)

// Changes of key: those that a bank or an acquirer makes, those that an acquirer asks for, and
// those that the switch orders, by the clock, after bad MACs or because somebody says so.

// codeNewKey is the network code of everything about keys.
const codeNewKey = "101"

// The tasks of a link.
const (
	taskKeys      = "keys"
	taskReconcile = "reconcile"
)

// openRota makes the tasks of the links.
func (s *Switch) openRota(ctx context.Context) (err error) {
	var tasks []rota.Task
	retry := func(tries int) time.Duration {
		return time.Duration(s.laterBy(uint16(min(tries-1, 16)))-s.o.Now()) * time.Millisecond
	}
	for _, l := range s.links {
		if len(l.changeable()) > 0 {
			tasks = append(tasks, rota.Task{Name: taskKeys + "/" + l.name, Do: l.orderKeys, Retry: retry,
				Next: rota.Every(l.cfg.Keys.ChangeEvery)})
		}
		if l.reconciles() {
			next := rota.Every(0)
			if at, _ := l.cfg.Reconcile.Time(); at >= 0 { // checked
				next = rota.Daily(at, s.zone)
			}
			tasks = append(tasks, rota.Task{Name: taskReconcile + "/" + l.name, Do: l.tellTotals,
				Retry: retry, Next: next})
		}
	}
	s.rota, err = rota.Open(ctx, rota.Options{Registry: s.o.Registry, Now: s.o.Now, Log: s.log,
		Tick: s.tick}, tasks)
	return err
}

// tasksOf returns where the tasks of a link stand.
func (s *Switch) tasksOf(l *outlet) map[string]rota.State {
	all := map[string]rota.State{}
	for _, name := range []string{taskKeys, taskReconcile} {
		if state, ok := s.rota.State(name + "/" + l.name); ok {
			all[name] = state
		}
	}
	return all
}

// changeable returns the kinds of key that the link has and that can change.
func (l *outlet) changeable() (kinds []secure.Kind) {
	if l.keys.Changeable(secure.MACKey) {
		kinds = append(kinds, secure.MACKey)
	}
	if l.keys.Changeable(secure.PINKey) && l.cfg.Keys.PINKey != "" {
		kinds = append(kinds, secure.PINKey)
	}
	return kinds
}

// ErrNoTask reports a link that there is not, or that cannot do what it is asked to.
var ErrNoTask = errors.New("there is no such link, or it lacks the keys (keys.zone) or fields " +
	"(spec) for this")

// now does a task of a link at once.
func (s *Switch) now(ctx context.Context, task, name string, by audit.Actor) (LinkStatus, error) {
	err := s.rota.Now(ctx, task+"/"+name, by)
	if errors.Is(err, rota.ErrUnknown) {
		return LinkStatus{}, fmt.Errorf("%s %s: %w", task, name, ErrNoTask)
	}
	return s.linkStatus(s.links[name]), err
}

// OrderKeys has a bank give the link new keys at once. It returns the link with the check values
// of the keys in force; after an error the old ones are, and the order is repeated by itself.
func (s *Switch) OrderKeys(ctx context.Context, name string, by audit.Actor) (LinkStatus, error) {
	return s.now(ctx, taskKeys, name, by)
}

// orderKeys orders a new key of every kind.
func (l *outlet) orderKeys(ctx context.Context, by audit.Actor) error {
	for _, k := range l.changeable() {
		ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
		err := l.desk.Order(ctx, k, l.askKey, by)
		cancel()
		if err != nil {
			l.sw.stats.KeyFaults.Add(1)
			return err
		}
		l.sw.stats.KeyChanges.Add(1)
	}
	l.badMACs.Store(0)
	return nil
}

// askKey sends the order of a key.
func (l *outlet) askKey(ctx context.Context, control string) (m keymail.Message, done func(),
	err error) {
	stan, err := l.link.Number(ctx)
	if err != nil {
		return m, nil, err
	}
	sent := sentAt(l.sw.o.Now())
	w := l.writers.Get().(*message.Writer)
	defer l.writers.Put(w)
	w.CUPS = l.header
	w.Begin(nil, l.spec, message.NetworkRequest)
	w.Put(7, sent[:])
	w.PutNumber(11, int64(stan))
	l.putIf(w, 33, []byte(l.sw.o.Config.Forwarder))
	w.Put(53, []byte(control))
	w.Put(70, []byte(codeNewKey))
	// Without a MAC, like a sign-on: the key of before may be what is wrong.
	frame, err := w.Finish()
	if err != nil {
		return m, nil, err
	}
	reply, sum, raw, err := l.ask(ctx, frame, link.Key{Class: uint8(message.Network), STAN: stan,
		Time: sent}, false)
	if err != nil {
		return m, nil, err
	}
	return keymail.Message{Spec: l.spec, View: reply, Sum: &sum, Frame: raw},
		func() { l.views.Put(reply) }, nil
}

// ask sends a message of the switch's own and returns the answer, which goes back to l.views.
func (l *outlet) ask(ctx context.Context, frame []byte, key link.Key, repeat bool) (
	v *message.View, sum message.Summary, raw []byte, err error,
) {
	send := l.link.Exchange
	if repeat {
		send = l.link.Repeat
	}
	raw, sent, err := send(ctx, frame, key)
	if sent != link.Answered {
		return nil, sum, nil, err
	}
	v = l.views.Get().(*message.View)
	if err = v.Open(l.spec, raw); err == nil {
		sum, err = v.Summary()
	}
	if err != nil {
		l.views.Put(v)
	}
	return v, sum, raw, err
}

// countMAC counts the bad MACs in a row; tick orders new keys when there are too many.
func (l *outlet) countMAC(good bool) {
	most := int32(l.cfg.Keys.ChangeAfterBadMACs)
	switch {
	case most == 0:
	case good:
		if l.badMACs.Load() != 0 {
			l.badMACs.Store(0)
		}
	case l.badMACs.Add(1) == most:
		l.sw.log.Error("wrong MACs in a row: new keys are ordered", "link", l.name, "count", most)
	}
}

// tick is called a few times in a second.
func (s *Switch) tick() {
	s.teller.takeNotices()
	for _, l := range s.links {
		if most := int32(l.cfg.Keys.ChangeAfterBadMACs); most > 0 && l.badMACs.Load() >= most {
			s.rota.Soon(taskKeys+"/"+l.name, "bad MACs")
		}
	}
}

// takeKey takes a key that a bank or an acquirer sends, and returns the code of the answer.
func (s *Switch) takeKey(ctx context.Context, d *keymail.Desk, m keymail.Message) (code string) {
	err := d.Take(ctx, m, audit.Itself("by the other side"))
	code = keymail.Code(err)
	if err != nil {
		s.stats.KeyFaults.Add(1)
		s.log.Error("change of key refused", "link", d.Subject, "code", code, "error", err)
		return code
	}
	s.stats.KeyChanges.Add(1)
	s.log.Info("change of key", "link", d.Subject, "kind", keymail.KindOf(m.View).String())
	return code
}

// changeKey takes a key that an acquirer sends under the zone key, or gives it the one that it
// asks for.
func (o *order) changeKey(ctx context.Context) answer {
	switch {
	case o.in.desk == nil:
		return answer{code: codeInvalid}
	case keymail.Brings(&o.view):
		return answer{code: o.sw.takeKey(ctx, o.in.desk, keymail.Message{Spec: o.in.spec, View: &o.view,
			Sum: &o.sum, Frame: o.frame})}
	}
	kind := keymail.KindOf(&o.view)
	key, err := o.in.desk.Issue(ctx, kind, audit.Itself("asked by "+o.in.cfg.Name))
	if err != nil {
		o.sw.stats.KeyFaults.Add(1)
		o.sw.log.Error("no key given out", "listener", o.in.cfg.Name, "kind", kind.String(),
			"error", err)
		return answer{code: keymail.Code(err)}
	}
	o.sw.stats.KeyChanges.Add(1)
	a := answer{code: codeApproved}
	for _, f := range keymail.Fields(key) {
		a.fields = append(a.fields, field{f.Number, f.Value})
	}
	return a
}

// Audited returns the last lines of who changed what, the newest first.
func (s *Switch) Audited(ctx context.Context, most int) ([]audit.Line, error) {
	return s.trail.Lines(ctx, most)
}
