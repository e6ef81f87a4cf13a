package szt

import (
	"context"
	"io"
)

// SortRuns is Sort with runs of another length.
func SortRuns(ctx context.Context, r io.Reader, dir string, rows int) (*Sorted, error) {
	s := &Sorted{runRows: rows}
	return s, s.sort(ctx, r, dir, nil)
}

// Limits for tests.
const (
	LineMax    = lineMax
	WindowRows = windowRows
)
