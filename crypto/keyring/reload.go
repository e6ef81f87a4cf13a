package keyring

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
)

// Reload reads the store again if another process changed it, and reports whether it did.
// Operations go on meanwhile; keys that did not change keep their counters. With another
// master key it is ErrMaster: open the store anew. On an error the ring stays as it was.
func (r *Ring) Reload() (changed bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.table.Load()
	if t == nil {
		return false, ErrClosed
	}
	m, err := r.reread()
	c := call{action: "reload_store"}
	if err != nil {
		return false, r.refuse(&c, fmt.Errorf("cannot read key store %s again: %w", r.path, err))
	}
	if m.generation == t.generation {
		m.wipe()
		return false, nil
	}
	if err := t.precedes(m); err != nil {
		m.wipe()
		return false, r.refuse(&c, fmt.Errorf("cannot read key store %s again: %w", r.path, err))
	}
	r.adopt(t, m)
	return true, r.done(&c)
}

// reread reads the file under the keys that the ring has.
func (r *Ring) reread() (*image, error) {
	file, err := r.disk.Read(r.path)
	if err != nil {
		return nil, err
	}
	h, err := parseHeader(file)
	if err != nil {
		return nil, err
	}
	if h.salt != r.vault.salt || h.kcv != r.vault.kcv {
		return nil, ErrMaster
	}
	m, err := r.vault.open(file, h)
	if err != nil {
		return nil, err
	}
	if err := m.check(r.table.Load().generation); err != nil {
		m.wipe()
		return nil, err
	}
	return m, nil
}

// precedes refuses an image in which a key of t is missing or has other material.
func (t *table) precedes(m *image) error {
	next := make(map[Ref]record, len(m.records))
	for _, e := range m.records {
		next[e.meta.Ref] = e
	}
	for _, v := range t.order {
		old := v.meta.Load()
		e, ok := next[old.Ref]
		same := ok && e.meta.KCV == old.KCV && e.meta.Algorithm == old.Algorithm
		if same && e.meta.State != Destroyed && v.device == nil {
			v.mu.RLock()
			same = subtle.ConstantTimeCompare(e.key.open(), v.key.open()) == 1
			v.mu.RUnlock()
		}
		if !same {
			return fmt.Errorf("%w: %v is gone, or another key", ErrTampered, old.Ref)
		}
	}
	return nil
}

// adopt makes the image the ring's table.
func (r *Ring) adopt(t *table, m *image) {
	versions := make([]*version, 0, len(m.records))
	changed := map[*version]*meta{}
	for _, e := range m.records {
		v := t.byRef[e.meta.Ref]
		if v == nil {
			v = newVersion(e.meta, e.key, r.device)
		} else {
			e.key.wipe()
			changed[v] = e.meta
		}
		versions = append(versions, v)
	}
	r.publish(m.generation, versions, changed)
	for v, m := range changed {
		if m.State == Destroyed {
			v.wipe()
		}
	}
}

// Report is what Verify found.
type Report struct {
	Generation uint64 `json:"generation"`
	MasterKCV  KCV    `json:"master_kcv"`
	// Keys is the number of keys, destroyed ones included; Checked that of the keys whose
	// check value was made anew and is right.
	Keys    int `json:"keys"`
	Checked int `json:"checked"`
	// Problems has a line for everything that is not as it should be. It names no secret.
	Problems []string `json:"problems"`
}

// Verify reads the store again, checks its seals, and makes the check value of each key anew,
// in the device where there is one. What it finds is in the report; an error says that the
// store cannot be read at all.
func (r *Ring) Verify() (Report, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.table.Load()
	if t == nil {
		return Report{}, ErrClosed
	}
	m, err := r.reread()
	if err != nil {
		return Report{}, fmt.Errorf("key store %s: %w", r.path, err)
	}
	defer m.wipe()
	p := Report{Generation: m.generation, MasterKCV: KCV(fmt.Sprintf("%X", r.vault.kcv)),
		Keys: len(m.records)}
	if m.generation != t.generation {
		p.Problems = append(p.Problems, fmt.Sprintf("the file has generation %d, the ring %d: reload",
			m.generation, t.generation))
	}
	for _, e := range m.records {
		if e.meta.State == Destroyed {
			continue
		}
		if err := r.verifyRecord(e); err != nil {
			p.Problems = append(p.Problems, fmt.Sprintf("%v: %v", e.meta.Ref, err))
			continue
		}
		p.Checked++
	}
	if r.device != nil {
		p.Problems = append(p.Problems, r.strayLabels(t)...)
	}
	return p, nil
}

func (r *Ring) verifyRecord(e record) error {
	kcv, err := KCV(""), error(nil)
	if r.device != nil {
		kcv, err = r.device.kcv(e.meta.Ref, e.meta.Algorithm)
	} else {
		kcv, err = kcvOf(e.meta.Algorithm, e.key.open())
		err = errors.Join(err, check(e.meta.Algorithm, e.key.open()))
	}
	if err == nil && kcv != e.meta.KCV {
		err = fmt.Errorf("%w: the store says %s, the key %s", ErrKCV, e.meta.KCV, kcv)
	}
	return err
}

// strayLabels returns a line for each key of the device that the store does not know.
func (r *Ring) strayLabels(t *table) []string {
	labels, err := r.device.orphans(t)
	if err != nil {
		return []string{err.Error()}
	}
	lines := slices.Clone(labels)
	for i, label := range lines {
		lines[i] = fmt.Sprintf("the device has a key %q that the store does not know", label)
	}
	return lines
}
