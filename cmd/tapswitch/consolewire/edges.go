package consolewire

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/tapswitch/tapswitch/ledger/console"
	"github.com/tapswitch/tapswitch/ledger/console/session"
	"github.com/tapswitch/tapswitch/switch/store"
)

// Operators reads the gate's directory of persons, where each stands under the SHA-256 of the
// token (see gate.CreateOperator).
type Operators struct{ Registry store.Registry }

var _ console.Operators = Operators{}

// Find implements console.Operators.
func (o Operators) Find(ctx context.Context, token session.Sum) (p session.Person, ok bool, err error) {
	value, _, err := o.Registry.Get(ctx, "operator/"+hex.EncodeToString(token[:]))
	if err != nil {
		return p, false, fmt.Errorf("recognizing an operator: %w", err)
	}
	var kept struct {
		Name  string   `json:"name"`
		Roles []string `json:"roles"`
	}
	if len(value) == 0 || json.Unmarshal(value, &kept) != nil || kept.Name == "" {
		return p, false, nil
	}
	return session.Person{Name: kept.Name, Roles: kept.Roles}, true, nil
}

// Desk reads the card desk through its API, as a viewer; the page of freezes does the same, so
// the two never differ.
type Desk struct{ API http.Handler }

var _ console.Freezes = Desk{}

// noticesMax is how many notices a page gets.
const noticesMax = 100

// City implements console.Freezes.
func (d Desk) City(ctx context.Context) (*console.City, error) {
	c := &console.City{}
	var err error
	if c.Lists, err = d.get(ctx, "/v1/desk/coverage", &c.Coverage); err != nil {
		return nil, err
	}
	var open struct {
		Notices []console.Notice
		Next    string
	}
	if c.Notifies, err = d.get(ctx, "/v1/desk/notices", &open); err != nil {
		return nil, err
	}
	slices.SortStableFunc(open.Notices, func(a, b console.Notice) int { return compareUrgency(&a, &b) })
	c.More = open.Next != "" || len(open.Notices) > noticesMax
	c.Notices = open.Notices[:min(len(open.Notices), noticesMax)]
	return c, nil
}

// compareUrgency puts first what has late parties, then what has the next deadline.
func compareUrgency(a, b *console.Notice) int {
	lateA, nextA := urgency(a)
	lateB, nextB := urgency(b)
	return cmp.Or(cmp.Compare(lateB, lateA), nextA.Compare(nextB))
}

// urgency counts the late parties of a notice and finds its next deadline.
func urgency(n *console.Notice) (late int, next time.Time) {
	next = time.Unix(1<<40, 0)
	for i := range n.Clocks {
		c := &n.Clocks[i]
		if c.Effective != nil {
			continue
		}
		if c.IsLate() {
			late++
		}
		if c.Deadline != nil && c.Deadline.Before(next) {
			next = *c.Deadline
		}
	}
	return late, next
}

// get asks the API; false is that this process has no such part.
func (d Desk) get(ctx context.Context, path string, v any) (bool, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, path, http.NoBody)
	if err != nil {
		return false, fmt.Errorf("card desk: %w", err)
	}
	q.Header.Set("Tapswitch-Actor", "console")
	q.Header.Set("Tapswitch-Roles", "viewer")
	a := &reply{header: http.Header{}, status: http.StatusOK}
	d.API.ServeHTTP(a, q)
	switch {
	case a.status == http.StatusNotFound:
		return false, nil
	case a.status != http.StatusOK:
		return false, fmt.Errorf("card desk: %s answers %d", path, a.status)
	}
	if err := json.Unmarshal(a.body.Bytes(), v); err != nil {
		return false, fmt.Errorf("card desk: answer of %s: %w", path, err)
	}
	return true, nil
}

// reply is an answer in memory.
type reply struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (r *reply) Header() http.Header { return r.header }

// WriteHeader implements http.ResponseWriter.
func (r *reply) WriteHeader(status int) { r.status = status }

// Write implements http.ResponseWriter.
func (r *reply) Write(b []byte) (int, error) { return r.body.Write(b) }

// Banks reads the bank edge: Status as its API tells it, Dead how many transactions a bank
// refused for good.
type Banks struct {
	Status func(context.Context) (any, error)
	Dead   func(context.Context) (int, error)
}

var _ console.Banks = bankEdge{}

// Edge returns what the console asks.
func (b Banks) Edge() console.Banks { return bankEdge{b} }

type bankEdge struct{ b Banks }

// Status implements console.Banks.
func (e bankEdge) Status(ctx context.Context) (*console.BankStatus, error) {
	v, err := e.b.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("bank edge: %w", err)
	}
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("bank edge: %w", err)
	}
	s := &console.BankStatus{}
	if err := json.Unmarshal(text, s); err != nil {
		return nil, fmt.Errorf("bank edge: %w", err)
	}
	dead, err := e.b.Dead(ctx)
	s.Dead = dead
	return s, errors.Join(err)
}
