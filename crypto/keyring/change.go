package keyring

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

// call is a management call, for the audit trail.
type call struct {
	action string
	actor  Actor
	two    bool // needs two persons
	ref    Ref
	kcv    KCV
}

// change is what a management call does to the store: nothing until it is committed.
type change struct {
	ring    *Ring
	now     time.Time
	table   *table
	changed map[*version]*meta
	added   []*version
	wiped   []*version // to be wiped when it is durable
	vault   *vault     // a new one with a new master key
}

// manage does one management call: it checks the names, lets do prepare the change, tells the
// audit sink, writes the store, and only then lets operations see it.
func (r *Ring) manage(c *call, do func(*change) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.table.Load()
	if t == nil {
		return ErrClosed
	}
	if err := c.actor.check(c.two); err != nil {
		return r.refuse(c, err)
	}
	// Without the monotonic part, times come back from the file as they were.
	ch := &change{ring: r, now: r.now().UTC().Round(0), table: t, changed: map[*version]*meta{}}
	if err := do(ch); err != nil {
		return r.refuse(c, errors.Join(err, ch.abort()))
	}
	if err := r.tell(c); err != nil {
		return errors.Join(err, ch.abort())
	}
	generation, err := ch.commit()
	if generation == 0 {
		return r.failed(c, errors.Join(err, ch.abort()))
	}
	ch.apply(generation)
	if err != nil {
		return r.failed(c, err)
	}
	return r.done(c)
}

// find returns the version of a ref, the pending one of the highest number for version 0
// where pending is asked for, else the active one.
func (ch *change) find(ref Ref, pending bool) (*version, *meta, error) {
	if ref.Version == 0 && pending {
		for _, v := range ch.table.order {
			m := v.meta.Load()
			if m.Ref.slot() == ref.slot() && m.State == Pending {
				ref.Version = max(ref.Version, m.Ref.Version)
			}
		}
		if ref.Version == 0 {
			return nil, nil, cmp.Or(ref.check(), fmt.Errorf("%w: %v has no pending version", ErrUnknown,
				ref))
		}
	}
	v, err := ch.table.find(ref)
	if err != nil {
		return nil, nil, err
	}
	m := v.meta.Load()
	if m.State == Destroyed {
		return nil, nil, fmt.Errorf("%w: %v", ErrDestroyed, ref)
	}
	return v, m, nil
}

// edit returns a copy of what is known about v, which takes its place on commit.
func (ch *change) edit(v *version) *meta {
	m := *v.meta.Load()
	ch.changed[v] = &m
	return &m
}

// place returns the ref for a new key: the next version where it has none.
func (ch *change) place(ref Ref) (Ref, error) {
	if err := ref.check(); err != nil {
		return ref, err
	}
	if ch.table.byRef[ref] != nil {
		return ref, fmt.Errorf("%w: %v", ErrDuplicate, ref)
	}
	if len(ch.table.order) >= entriesMax {
		return ref, fmt.Errorf("%w: %d keys", ErrFull, entriesMax)
	}
	if ref.Version != 0 {
		return ref, nil
	}
	for _, v := range ch.table.order {
		if m := v.meta.Load(); m.Ref.slot() == ref.slot() {
			ref.Version = max(ref.Version, m.Ref.Version)
		}
	}
	if ref.Version++; ref.Version == 0 {
		return ref, fmt.Errorf("%w: no version number is left", ErrFull)
	}
	return ref, nil
}

// commit writes the store as it is to be, and returns its generation: 0 when nothing is done,
// another with an error when it is done and may not last.
func (ch *change) commit() (uint64, error) {
	r := ch.ring
	unlock, err := r.disk.Lock(r.lockPath())
	if err != nil {
		return 0, err
	}
	defer unlock()
	if err := ch.checkFile(); err != nil {
		return 0, err
	}
	m := &image{kind: r.kind(), generation: ch.table.generation + 1}
	for _, v := range slices.Concat(ch.table.order, ch.added) {
		e := record{v.meta.Load(), v.key}
		if next := ch.changed[v]; next != nil {
			e.meta = next
		}
		if e.meta.State == Destroyed {
			e.key = secret{}
		}
		m.records = append(m.records, e)
	}
	vault := cmp.Or(ch.vault, r.vault)
	if err := r.write(vault, m); err != nil {
		// The rename may have been done: what is on the disk decides.
		if !r.wrote(vault, m.generation) {
			return 0, err
		}
		return m.generation, fmt.Errorf("%w: %w", ErrDurable, err)
	}
	return m.generation, nil
}

// checkFile refuses to write over what another process wrote.
func (ch *change) checkFile() error {
	r := ch.ring
	file, err := r.disk.Read(r.path)
	if err != nil {
		return fmt.Errorf("cannot read key store: %w", err)
	}
	h, err := parseHeader(file)
	if err != nil {
		return err
	}
	if h.generation != ch.table.generation || h.salt != r.vault.salt {
		return fmt.Errorf("%w: generation %d, expected %d", ErrConflict, h.generation,
			ch.table.generation)
	}
	return r.vault.verify(file)
}

// wrote reports whether the store is on the disk as written in spite of an error.
func (r *Ring) wrote(v *vault, generation uint64) bool {
	file, err := r.disk.Read(r.path)
	if err != nil {
		return false
	}
	h, err := parseHeader(file)
	return err == nil && h.generation == generation && h.salt == v.salt && v.verify(file) == nil
}

// apply lets operations see what was written.
func (ch *change) apply(generation uint64) {
	r := ch.ring
	r.publish(generation, slices.Concat(ch.table.order, ch.added), ch.changed)
	for _, v := range ch.wiped {
		v.wipe()
	}
	if ch.vault != nil {
		r.vault.wipe()
		r.vault = ch.vault
	}
}

// publish lets operations see a new table. What becomes active is told before, the rest after,
// so that an operation with version 0 finds an active key in the old table or the new one.
func (r *Ring) publish(generation uint64, versions []*version, changed map[*version]*meta) {
	for v, m := range changed {
		if m.State == Active {
			v.meta.Store(m)
		}
	}
	r.table.Store(newTable(generation, versions, changed))
	for v, m := range changed {
		v.meta.Store(m)
	}
}

// abort zeroes what was prepared.
func (ch *change) abort() error {
	var err error
	for _, v := range ch.added {
		v.wipe()
		if v.device != nil {
			err = errors.Join(err, v.device.destroy(v.meta.Load().Ref))
		}
	}
	if ch.vault != nil {
		ch.vault.wipe()
	}
	return err
}

// event returns an event of a management call.
func (r *Ring) event(c *call, outcome string, err error) Event {
	e := Event{Time: r.now().UTC(), Action: c.action, Outcome: outcome, Actor: c.actor.Name,
		Second: c.actor.Second, KCV: c.kcv, Reason: reason(err), Generation: r.Generation()}
	if c.ref.Scheme != "" {
		e.Ref = c.ref.String()
	}
	return e
}

func (r *Ring) append(e Event) error {
	if r.sink == nil {
		return nil
	}
	if err := r.sink.Append(e); err != nil {
		r.dropped.Add(1)
		return err
	}
	return nil
}

// tell tells the sink before anything is changed; without its leave nothing is.
func (r *Ring) tell(c *call) error {
	if err := r.append(r.event(c, OutcomeBegin, nil)); err != nil {
		return fmt.Errorf("%w: nothing was done: %w", ErrAudit, err)
	}
	return nil
}

// done tells the sink that a call is done. An error means that it is done all the same.
func (r *Ring) done(c *call) error {
	if err := r.append(r.event(c, OutcomeDone, nil)); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrUnaudited, c.action, err)
	}
	return nil
}

// refuse tells the sink of a refusal and returns it.
func (r *Ring) refuse(c *call, err error) error {
	_ = r.append(r.event(c, OutcomeRefused, err)) // the refusal matters more
	return err
}

// failed tells the sink that a call could not be done, and returns why.
func (r *Ring) failed(c *call, err error) error {
	_ = r.append(r.event(c, OutcomeFailed, err)) // the failure matters more
	return err
}
