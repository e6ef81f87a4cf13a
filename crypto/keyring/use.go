package keyring

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// reportEvery is how often a class of failures of one key goes to the audit sink.
const reportEvery = time.Minute

// begin finds the key for an operation, and refuses it unless purpose and state allow it.
// What it returns goes through good, bad or fail. It allocates nothing.
func (r *Ring) begin(ref Ref, o Operation) (*version, error) {
	for {
		t := r.table.Load()
		if t == nil {
			return nil, r.stray(ref, o, ErrClosed)
		}
		v := t.byRef[ref]
		if ref.Version == 0 {
			v = t.active[ref.slot()]
		}
		if v == nil {
			_, err := t.find(ref)
			return nil, r.stray(ref, o, err)
		}
		err := v.allows(o, r.now)
		if err == nil {
			return v, nil
		}
		if ref.Version != 0 || r.table.Load() == t {
			return nil, r.fail(v, o, err)
		}
		// The key was turned over since the table was looked at: look again.
	}
}

// allows refuses what the key's purpose, key block or state does not allow. The clock is asked
// for retiring keys only.
func (v *version) allows(o Operation, now func() time.Time) error {
	m := v.meta.Load()
	if !m.Ref.Purpose.Allows(o) || !m.modeAllows(operations[o].makes) {
		return fmt.Errorf("%w: %v with %v", ErrPurpose, o, m.Ref)
	}
	switch {
	case m.State == Active:
		return nil
	case m.State == Destroyed:
		return fmt.Errorf("%w: %v", ErrDestroyed, m.Ref)
	case m.State == Retiring && !now().Before(m.Until):
		return fmt.Errorf("%w: %v", ErrExpired, m.Ref)
	case m.State == Retiring && !operations[o].makes:
		return nil
	default:
		return fmt.Errorf("%w: %v is %v", ErrNotActive, m.Ref, m.State)
	}
}

// modeAllows reports whether the mode of use of the key block that the key came in allows to
// make something new (E encrypt, G generate) or to verify or decipher (D, V).
func (m *meta) modeAllows(makes bool) bool {
	switch m.Mode {
	case "E", "G":
		return makes
	case "D", "V":
		return !makes
	default:
		return true
	}
}

// good counts an operation that was done.
func (r *Ring) good(v *version, o Operation) {
	v.uses[o].ok.Add(1)
	if !v.used.Load() && v.used.CompareAndSwap(false, true) {
		m := v.meta.Load()
		_ = r.append(Event{Time: r.now().UTC(), Action: "first_use", Outcome: OutcomeDone,
			Ref: m.Ref.String(), KCV: m.KCV, Reason: o.String(), Generation: r.Generation()})
	}
}

// fail counts an operation that was refused or failed, and returns err.
func (r *Ring) fail(v *version, o Operation, err error) error {
	v.uses[o].failed.Add(1)
	class := classOf(err)
	r.report(&v.fails[class], v.meta.Load().Ref, o, class)
	return err
}

// verdict counts a check that came out true or false.
func (r *Ring) verdict(v *version, o Operation, ok bool) bool {
	if ok {
		r.good(v, o)
	} else {
		_ = r.fail(v, o, errMismatch)
	}
	return ok
}

// stray counts a failure that has no key, and returns err.
func (r *Ring) stray(ref Ref, o Operation, err error) error {
	class := classOf(err)
	r.report(&r.strays[class], ref, o, class)
	return err
}

// report counts a failure and tells the sink, at most once in reportEvery.
func (r *Ring) report(w *watch, ref Ref, o Operation, class int) {
	count := w.count.Add(1)
	if r.sink == nil {
		return
	}
	now := r.now()
	last := w.reported.Load()
	due := last == 0 || now.UnixNano()-last >= int64(reportEvery)
	if !due || !w.reported.CompareAndSwap(last, now.UnixNano()) {
		return
	}
	name := ""
	if ref.check() == nil {
		name = ref.String()
	}
	_ = r.append(Event{Time: now.UTC(), Action: o.String(), Outcome: OutcomeRefused, Ref: name,
		Reason: wordOf(class), Count: count, Generation: r.Generation()})
}

// Uses returns the counts of every operation of every key that was tried since the ring was
// opened, by purpose, scheme, version and operation.
func (r *Ring) Uses() []Use {
	t := r.table.Load()
	if t == nil {
		return nil
	}
	var all []Use
	for _, v := range t.order {
		for o := range operationEnd {
			u := Use{Ref: v.meta.Load().Ref, Operation: o, OK: v.uses[o].ok.Load(),
				Failed: v.uses[o].failed.Load()}
			if u.OK+u.Failed > 0 {
				all = append(all, u)
			}
		}
	}
	slices.SortFunc(all, func(a, b Use) int {
		return cmp.Or(cmp.Compare(a.Ref.Purpose, b.Ref.Purpose), cmp.Compare(a.Ref.Scheme, b.Ref.Scheme),
			cmp.Compare(a.Ref.Version, b.Ref.Version), cmp.Compare(a.Operation, b.Operation))
	})
	return all
}

// AuditLost returns how many events the sink did not take since the ring was opened.
func (r *Ring) AuditLost() uint64 { return r.dropped.Load() }
