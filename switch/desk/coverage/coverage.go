// Package coverage is what the desk's API tells of a list for gates: which gates hold it. The
// pages of the desk and the console read the same answer, GET /v1/desk/coverage, into it. It
// decides nothing, keeps no state and holds no number of a card.
package coverage

import "time"

// Coverage is which gates hold an epoch of the list.
type Coverage struct {
	Epoch uint64 `json:"epoch"`
	// PublishedAt is when the list was signed, ConfirmedAt when the last gate asked.
	PublishedAt *time.Time `json:"published_at"`
	ConfirmedAt *time.Time `json:"confirmed_at"`
	Covered     int        `json:"covered"`
	Total       int        `json:"total"`
	Operators   []Part     `json:"operators"`
	Lines       []Part     `json:"lines"`
	// Behind are gates that do not hold it, at most as many as the API names; More are others.
	Behind []Behind `json:"behind"`
	More   int      `json:"more_behind"`
}

// Missing is how many gates are behind.
func (c *Coverage) Missing() int { return c.Total - c.Covered }

// Part is a part of the gates: an operator's or a line's.
type Part struct {
	Name           string
	Covered, Total int
}

// Behind is a gate that does not hold the list. Epoch is what it holds, 0 nothing.
type Behind struct {
	Device struct {
		Terminal, Operator, Line, Station string
	} `json:"device"`
	Epoch uint64     `json:"epoch"`
	Seen  *time.Time `json:"seen"`
}
