package agency

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/tapswitch/tapswitch/switch/bank/advice"
	"github.com/tapswitch/tapswitch/switch/notice"
)

// Adviser tells banks what became of a card; *bank.Switch is one.
type Adviser interface {
	// AdviseCard returns nil when the bank has answered; see bank.Switch.
	AdviseCard(ctx context.Context, link string, a advice.Card) error
}

// Links tells banks over the links of a bank edge, which starts after the agency. Its zero
// value has no edge yet: what is to be told then fails, and is tried again.
type Links struct{ edge atomic.Pointer[Adviser] }

var _ notice.LinkNotifier = (*Links)(nil)

// Use names the edge.
func (l *Links) Use(a Adviser) { l.edge.Store(&a) }

var errNoEdge = errors.New("the bank edge has not started")

// NotifyLink implements notice.LinkNotifier: one advice, with the same numbers in every try.
func (l *Links) NotifyLink(ctx context.Context, link string, m notice.Message) error {
	edge := l.edge.Load()
	if edge == nil {
		return errNoEdge
	}
	var body struct {
		Notice, Kind, Last4, Reason string
		Scope                       []string
		AcceptedAt                  string `json:"accepted_at"`
	}
	if err := json.Unmarshal(m.Body, &body); err != nil {
		return fmt.Errorf("notice %s: %w", m.ID, err)
	}
	return (*edge).AdviseCard(ctx, link, advice.Card{ID: strings.ReplaceAll(m.ID, "/", "."),
		Kind: body.Kind, Notice: body.Notice, Card: m.Card, Last4: body.Last4, Scope: body.Scope,
		Reason: body.Reason, AcceptedAt: body.AcceptedAt})
}
