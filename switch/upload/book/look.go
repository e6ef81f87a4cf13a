package book

import (
	"context"
	"encoding/hex"

	"github.com/tapswitch/tapswitch/switch/txn"
	"github.com/tapswitch/tapswitch/switch/upload"
)

// Gate returns what has come of a terminal.
func (s *Service) Gate(ctx context.Context, id txn.TerminalID) (*upload.Gate, error) {
	g, _, err := s.readGate(ctx, id)
	return g, err
}

// Module returns the line of a security module's numbers.
func (s *Service) Module(ctx context.Context, psam string) (upload.Sequence, error) {
	var q upload.Sequence
	b, err := hex.DecodeString(psam)
	if err != nil || len(b) != 6 {
		return q, ErrUnknown
	}
	_, err = s.readDocument(ctx, s.moduleToken([6]byte(b)), &q)
	return q, err
}

// CardLine is what is to be said about a card.
type CardLine struct {
	Card   string       `json:"card"` // token
	Last4  string       `json:"last4"`
	Gaps   []upload.Gap `json:"gaps,omitempty"`
	Delta  txn.Minor    `json:"balance_off"`
	Broken txn.Minor    `json:"chain_broken"`
	Breaks uint32       `json:"breaks"`
	At     txn.Millis   `json:"at,omitempty"`
	Torn   bool         `json:"torn,omitempty"`
}

// Cards lists the cards about which something is to be said; suspicious are those alone whose
// balances do not follow. At most HeldMax.
func (s *Service) Cards(ctx context.Context, suspicious bool) ([]CardLine, error) {
	list := []CardLine{}
	err := s.lines.all(ctx, func(l *upload.Line) bool {
		if !suspicious || l.Breaks > 0 {
			list = append(list, CardLine{Card: l.Card.String(), Last4: l.Last4.String(), Gaps: l.Seq.Gaps,
				Delta: l.Delta, Broken: l.Broken, Breaks: l.Breaks, At: l.At, Torn: l.Grey != nil})
		}
		return len(list) < HeldMax
	})
	return list, err
}
