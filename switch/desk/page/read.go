package page

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/tapswitch/tapswitch/switch/desk/coverage"
)

// What the API tells, as far as the pages show it.

// gates says who holds an epoch. Published is meaningful for a freeze only.
type gates struct {
	coverage.Coverage
	Published bool       `json:"published"`
	FrozenAt  *time.Time `json:"frozen_at"`
	Share     float64    `json:"share"`
	Restored  int        `json:"restored"`
	Timeline  []struct {
		Minutes        float64
		Covered, Total int
	} `json:"timeline"`
	Approximate bool `json:"approximate"`
	Effective   []struct {
		Operator, Line string
		Covered, Total int
		First, Last    *time.Time
	} `json:"effective"`
}

// clock is a party's clock.
type clock struct {
	Party     string     `json:"party"`
	State     string     `json:"state"`
	Basis     string     `json:"basis"`
	Start     *time.Time `json:"start"`
	Sent      *time.Time `json:"sent"`
	Received  *time.Time `json:"received"`
	Effective *time.Time `json:"effective"`
	Deadline  *time.Time `json:"deadline"`
	Late      bool       `json:"late"`
	Overdue   bool       `json:"overdue"`
	Alarms    int        `json:"alarms"`
	Failure   string     `json:"failure"`
}

// isLate reports whether the party missed its deadline, whatever it did later.
func (c *clock) isLate() bool { return c.Late || c.Overdue }

// notice is a freeze or a release with the clocks of its parties.
type notice struct {
	ID       string     `json:"id"`
	Kind     string     `json:"kind"`
	Card     string     `json:"card"`
	Token    string     `json:"token"`
	Reason   string     `json:"reason"`
	Accepted *time.Time `json:"accepted_at"`
	Clause   string     `json:"clause"`
	Closed   bool       `json:"closed"`
	WindowMS int64      `json:"window_ms"`
	AlarmsMS []int64    `json:"alarms_ms"`
	Clocks   []clock    `json:"clocks"`

	Gates *gates `json:"-"`
}

// Late counts the parties that missed their deadline.
func (n *notice) Late() (late int) {
	for i := range n.Clocks {
		if n.Clocks[i].isLate() {
			late++
		}
	}
	return late
}

// urgency is when the next of its parties is late: the earliest is looked at first.
func (n *notice) urgency() time.Time {
	first := n.Accepted
	for i := range n.Clocks {
		c := &n.Clocks[i]
		if c.Effective == nil && c.Deadline != nil && (first == n.Accepted || c.Deadline.Before(*first)) {
			first = c.Deadline
		}
	}
	if first == nil {
		return time.Time{}
	}
	return *first
}

// lateParty is a party that missed the deadline of a notice.
type lateParty struct {
	Notice, Kind, Party, State string
	Start, Deadline, Effective *time.Time
}

// cityView is one reading of the city.
type cityView struct {
	At      time.Time
	Lists   bool // lists for gates are published here
	Gates   gates
	Notify  bool // parties are notified from here
	Notices []*notice
	More    bool // there are more open notices than are shown
	Late    []lateParty
	MoreLag bool // there are more late parties than are shown
	// Sources are the lists of other cities, Drills the runbooks that were not drilled in time.
	Sources []source
	Drills  []runbook
}

// source is another city's list.
type source struct {
	Source struct {
		Name, City        string
		Epoch             uint64
		Cards             int
		Stale, Unfinished bool
	}
	ExpiresAt *time.Time `json:"expires_at"`
}

// Bad reports whether a person has to look at it.
func (s *source) Bad() bool { return s.Source.Stale || s.Source.Unfinished }

// State is the word for where it stands.
func (s *source) State() string {
	switch {
	case s.Source.Unfinished:
		return "foreign.unfinished"
	case s.Source.Stale:
		return "foreign.stale"
	case s.Source.Epoch == 0:
		return "foreign.none"
	default:
		return "foreign.good"
	}
}

// runbook is one with a drill.
type runbook struct {
	Runbook, Title string
	LastPassed     *time.Time `json:"last_passed"`
	Overdue        bool
}

// cityNow returns a reading that is not older than freshFor. Who comes while one is made
// waits for it.
func (s *server) cityNow(ctx context.Context) (*cityView, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.o.Now(); s.read.IsZero() || now.Sub(s.read) >= freshFor || now.Before(s.read) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readMax)
		defer cancel()
		s.city, s.err = s.readCity(ctx)
		s.read = s.o.Now()
	}
	return s.city, s.err
}

func (s *server) readCity(ctx context.Context) (*cityView, error) {
	c := &cityView{At: s.o.Now()}
	var err error
	if c.Lists, err = s.optional(ctx, "/v1/desk/coverage", &c.Gates); err != nil {
		return nil, err
	}
	if err := s.readOffice(ctx, c); err != nil {
		return nil, err
	}
	var open struct {
		Notices []*notice
		Next    string
	}
	if c.Notify, err = s.optional(ctx, "/v1/desk/notices", &open); err != nil || !c.Notify {
		return c, err
	}
	slices.SortStableFunc(open.Notices, func(a, b *notice) int {
		return cmp.Or(cmp.Compare(b.Late(), a.Late()), a.urgency().Compare(b.urgency()))
	})
	c.More = open.Next != "" || len(open.Notices) > NoticesMax
	c.Notices = open.Notices[:min(len(open.Notices), NoticesMax)]
	for _, n := range c.Notices[:min(len(c.Notices), gatesMax)] {
		if err := s.readGates(ctx, n); err != nil {
			return nil, err
		}
	}
	return c, s.readLate(ctx, c)
}

// readOffice adds other cities' lists and the drills that are overdue.
func (s *server) readOffice(ctx context.Context, c *cityView) error {
	var lists struct{ Sources []source }
	if _, err := s.optional(ctx, "/v1/desk/foreign", &lists); err != nil {
		return err
	}
	var drills struct{ Runbooks []runbook }
	if _, err := s.optional(ctx, "/v1/desk/drills", &drills); err != nil {
		return err
	}
	c.Sources = lists.Sources
	c.Drills = slices.DeleteFunc(drills.Runbooks, func(b runbook) bool { return !b.Overdue })
	return nil
}

// readGates adds where a freeze is effective.
func (s *server) readGates(ctx context.Context, n *notice) error {
	if n.Kind != "freeze" {
		return nil
	}
	var status struct{ Gates *gates }
	_, err := s.optional(ctx, "/v1/desk/cards/"+url.PathEscape(n.Token)+"/status", &status)
	n.Gates = status.Gates
	return err
}

// readLate adds the parties that were late in the last days, the last first.
func (s *server) readLate(ctx context.Context, c *cityView) error {
	var late struct {
		Late []lateParty
		Next string
	}
	if err := s.get(ctx, fmt.Sprintf("/v1/desk/notices?late=%d", lateDays), &late); err != nil {
		return err
	}
	slices.SortStableFunc(late.Late, func(a, b lateParty) int { return compareTimes(b.Deadline, a.Deadline) })
	c.MoreLag = late.Next != "" || len(late.Late) > lateMax
	c.Late = late.Late[:min(len(late.Late), lateMax)]
	return nil
}

func compareTimes(a, b *time.Time) int {
	if a == nil || b == nil {
		return 0
	}
	return a.Compare(*b)
}

// bearing is a transaction of a lost card with who bears it.
type bearing struct {
	Record, Kind   string
	Operator, Line string
	ServiceAt      *time.Time `json:"service_at"`
	Boundary       *time.Time
	Amount         int64
	ServedBy       string `json:"served_by"`
	Bears, Party   string
	Why, Clause    string
	Finding        bool
	Offline        bool
	Case           uint32
	Booked         map[string]int64
	ReceivedAt     *time.Time `json:"received_at"`
	Request        string
}

// cardView is one reading of a card.
type cardView struct {
	At     time.Time `json:"-"`
	Token  string
	Frozen bool
	Entry  *struct {
		Reason, Actor, Note string
		Scope               []string
		Since               *time.Time
		ForEver             bool `json:"for_ever"`
	}
	Account  string
	Notices  []*notice
	Gates    *gates
	Bearings []bearing `json:"-"`
}

func (s *server) readCard(ctx context.Context, token string) (*cardView, error) {
	c := &cardView{At: s.o.Now()}
	if err := s.get(ctx, "/v1/desk/cards/"+url.PathEscape(token)+"/status", c); err != nil {
		return nil, err
	}
	slices.Reverse(c.Notices) // the latest first
	if c.Account == "" {
		return c, nil
	}
	var l struct{ Transactions []bearing }
	err := s.get(ctx, "/v1/desk/accounts/"+url.PathEscape(c.Account)+"/liability", &l)
	c.Bearings = l.Transactions
	return c, err
}
