package storetest

import (
	"maps"
	"slices"
)

// Backup returns a store of its own that holds what this one holds now, as a copy of its disk
// does. It has no writer until OpenEpoch.
func (m *Memory) Backup() *Memory {
	m.data.mu.Lock()
	defer m.data.mu.Unlock()
	d := &memoryData{registry: maps.Clone(m.data.registry), appended: make(chan struct{})}
	for i := range d.buckets {
		b := m.data.buckets[i]
		b.cards, b.entries, b.due = maps.Clone(b.cards), maps.Clone(b.entries), maps.Clone(b.due)
		b.log, b.outbox = slices.Clone(b.log), slices.Clone(b.outbox)
		d.buckets[i] = b
	}
	o := m.o
	o.Fault = nil
	return (&Memory{data: d, o: o}).Handle()
}
