package card

import (
	"encoding/binary"
	"slices"
)

// CodesKeep is how many used QR codes a card remembers: some weeks of a phone that rides, and
// many times what it can show while one code is valid.
const CodesKeep = 32

// CodeWindow knows which QR codes of a card were used, by the second in which each was
// generated. It is a value: Mark never changes it in place.
type CodeWindow struct {
	// Floor is the latest generation time that has left Used, Unix seconds; a code of that time
	// or before can no longer be told from a repeat.
	Floor int64
	// Used are generation times, Unix seconds, each greater than the one before.
	Used []int64
}

// CodeVerdict says whether a QR code may be used.
type CodeVerdict uint8

// The verdicts.
const (
	CodeNew CodeVerdict = iota
	CodeUsed
	CodeTooOld // at or below the floor: cannot be told from a repeat
)

// Check tells whether the code generated at an instant, Unix seconds, was used.
func (w CodeWindow) Check(at int64) CodeVerdict {
	if _, found := slices.BinarySearch(w.Used, at); found {
		return CodeUsed
	}
	if at <= w.Floor {
		return CodeTooOld
	}
	return CodeNew
}

// Mark returns the window with a code used. It is for codes that Check calls new.
func (w CodeWindow) Mark(at int64) CodeWindow {
	i, found := slices.BinarySearch(w.Used, at)
	if found {
		return w
	}
	used := make([]int64, 0, len(w.Used)+1)
	used = append(append(append(used, w.Used[:i]...), at), w.Used[i:]...)
	if len(used) > CodesKeep {
		w.Floor, used = max(w.Floor, used[0]), used[1:]
	}
	w.Used = used
	return w
}

func (w *CodeWindow) empty() bool { return w.Floor == 0 && len(w.Used) == 0 }

// append appends the floor and the times, each as its distance from the one before.
func (w *CodeWindow) append(dst []byte) []byte {
	dst = binary.AppendVarint(dst, w.Floor)
	dst = append(dst, byte(len(w.Used)))
	last := w.Floor
	for _, at := range w.Used {
		dst = binary.AppendVarint(dst, at-last)
		last = at
	}
	return dst
}

// codes reads a window into the memory of used.
func (d *reader) codes(used []int64) CodeWindow {
	w := CodeWindow{Floor: d.varint(), Used: used}
	n := d.byte()
	last := w.Floor
	for ; n > 0 && !d.bad; n-- {
		at := last + d.varint()
		d.bad = d.bad || len(w.Used) > 0 && at <= last
		w.Used, last = append(w.Used, at), at
	}
	d.bad = d.bad || len(w.Used) == 0 || len(w.Used) > CodesKeep
	return w
}
