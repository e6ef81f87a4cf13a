package redress

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/tapswitch/tapswitch/switch/disruption"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Phase is how far a run has come.
type Phase string

// The phases.
const (
	Proposed Phase = "proposed" // waits for the second person
	Running  Phase = "running"
	Done     Phase = "done"
)

// Run is one list of journeys that is given back together, or was. An order has one at a time.
type Run struct {
	ID    string           `json:"id"`
	Order disruption.Order `json:"order"`
	Phase Phase            `json:"phase"`
	// By proposed the list, Second confirmed it.
	By       string     `json:"by"`
	At       txn.Millis `json:"at_ms"`
	Second   string     `json:"second,omitempty"`
	SecondAt txn.Millis `json:"second_at_ms,omitempty"`
	DoneAt   txn.Millis `json:"done_at_ms,omitempty"`
	// Journeys and Sum are the list as it was proposed; More is what another run is needed for.
	Journeys int       `json:"journeys"`
	Sum      txn.Minor `json:"sum"`
	More     int       `json:"more,omitempty"`
	// Given and GivenSum are what was given back, Refused what is for a person.
	Given    int       `json:"given"`
	GivenSum txn.Minor `json:"given_sum"`
	Refused  int       `json:"refused,omitempty"`
	Parts    int       `json:"parts"`
}

// name is how records call the run.
func (r *Run) name() string { return r.Order.ID + ":" + r.ID }

// Refusal says why a call was refused.
type Refusal struct {
	Status  int    `json:"-"`
	Code    string `json:"code"`
	Message string `json:"message"`
	Chinese string `json:"message_zh"`
}

// Error returns code and message.
func (r *Refusal) Error() string { return r.Code + ": " + r.Message }

func conflict(code, message, chinese string) *Refusal {
	return &Refusal{http.StatusConflict, code, message, chinese}
}

const (
	keyPrefix  = "grace/"
	runSuffix  = "/run"
	partRows   = 80 // journeys in one registry value
	runIDBytes = 8
)

func runKey(order string) string { return keyPrefix + order + runSuffix }

func partKey(r *Run, n int) string {
	return fmt.Sprintf("%s%s/part/%s-%d", keyPrefix, r.Order.ID, r.ID, n)
}

// read reads a value of the registry into v; version 0 is that there is none.
func (s *Service) read(ctx context.Context, key string, v any) (uint64, error) {
	value, version, err := s.o.Registry.Get(ctx, key)
	if err == nil && version > 0 {
		err = json.Unmarshal(value, v)
	}
	if err != nil {
		return 0, fmt.Errorf("redress: %s: %w", key, err)
	}
	return version, nil
}

// write replaces a value of the registry.
func (s *Service) write(ctx context.Context, key string, v any, version uint64) error {
	value, err := json.Marshal(v)
	if err == nil {
		err = s.o.Registry.Put(ctx, key, value, version)
	}
	if errors.Is(err, store.ErrConflict) {
		return conflict("run_changed", "somebody else changed the run: look again", "他人已更改,请重新查看")
	}
	if err != nil {
		return fmt.Errorf("redress: %s: %w", key, err)
	}
	return nil
}

// order returns a confirmed order.
func (s *Service) order(ctx context.Context, id string) (*disruption.Order, error) {
	orders, err := s.o.Orders(ctx)
	if err != nil {
		return nil, fmt.Errorf("redress: orders: %w", err)
	}
	for i := range orders {
		switch o := orders[i]; {
		case o.ID != id:
		case !o.Confirmed():
			return nil, conflict("order_not_confirmed", "an order forgives what two persons stand behind",
				"该指令尚未经第二人确认")
		default:
			return &o, nil
		}
	}
	return nil, &Refusal{http.StatusNotFound, "order_unknown", "no such order", "无此指令"}
}

// Show returns all journeys that an order forgives, with what became of each, and changes
// nothing. Its run is nil when there is none.
func (s *Service) Show(ctx context.Context, order string) ([]Journey, *Run, error) {
	o, err := s.order(ctx, order)
	if err != nil {
		return nil, nil, err
	}
	run, _, err := s.run(ctx, order)
	if err != nil {
		return nil, nil, err
	}
	all, err := s.find(ctx, o)
	return all, run, err
}

// run returns the run of an order, nil when there is none.
func (s *Service) run(ctx context.Context, order string) (*Run, uint64, error) {
	r := new(Run)
	version, err := s.read(ctx, runKey(order), r)
	if err != nil || version == 0 {
		return nil, 0, err
	}
	return r, version, nil
}

// Propose keeps the list of what an order forgives for a second person to confirm. A proposal
// that nobody confirmed is replaced.
func (s *Service) Propose(ctx context.Context, order, actor string) (*Run, []Journey, error) {
	o, err := s.order(ctx, order)
	if err != nil {
		return nil, nil, err
	}
	was, version, err := s.run(ctx, order)
	if err != nil {
		return nil, nil, err
	}
	if was != nil && was.Phase == Running {
		return nil, nil, conflict("run_under_way", "a list of this order is being given back", "该指令的退还正在进行")
	}
	found, err := s.find(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	r := &Run{ID: strings.ToLower(rand.Text()[:runIDBytes]), Order: *o, Phase: Proposed, By: actor, At: s.o.Now()}
	var list []Journey
	for i := range found {
		switch {
		case found[i].State != Waits:
		case len(list) == JourneysMax:
			r.More++
		default:
			list = append(list, found[i])
			r.Sum += found[i].Back
		}
	}
	if r.Journeys = len(list); r.Journeys == 0 {
		return nil, nil, conflict("nothing_to_forgive", "no charge is left that the order forgives", "没有可退还的行程")
	}
	r.Parts = (len(list) + partRows - 1) / partRows
	for n := range r.Parts {
		rows := list[n*partRows : min(len(list), (n+1)*partRows)]
		if err := s.write(ctx, partKey(r, n), rows, 0); err != nil {
			return nil, nil, err
		}
	}
	if err := s.write(ctx, runKey(order), r, version); err != nil {
		return nil, nil, err
	}
	return r, list, s.dropParts(ctx, was)
}

// dropParts removes the parts of a run that another one took the place of; nil has none.
func (s *Service) dropParts(ctx context.Context, was *Run) error {
	if was == nil {
		return nil
	}
	for n := range was.Parts {
		version, err := s.read(ctx, partKey(was, n), new(json.RawMessage))
		if err == nil && version > 0 {
			err = s.o.Registry.Put(ctx, partKey(was, n), nil, version)
		}
		if err != nil && !errors.Is(err, store.ErrConflict) {
			return fmt.Errorf("redress: an older list: %w", err)
		}
	}
	return nil
}

// Confirmation is what the second person has seen.
type Confirmation struct {
	Run      string    `json:"run"`
	Journeys int       `json:"journeys"`
	Sum      txn.Minor `json:"sum"`
}

// Confirm has a proposed list given back. The second person names the list that he has seen.
// Said twice by the same person it is said once.
func (s *Service) Confirm(ctx context.Context, order, actor string, seen Confirmation) (*Run, error) {
	r, version, err := s.run(ctx, order)
	switch {
	case err != nil:
		return nil, err
	case r == nil:
		return nil, &Refusal{http.StatusNotFound, "run_unknown", "nothing was proposed for this order", "该指令没有退还清单"}
	case seen != Confirmation{r.ID, r.Journeys, r.Sum}:
		return nil, conflict("another_list", "the list is another one by now: look again", "清单已变化,请重新查看")
	case r.Phase != Proposed && r.Second == actor:
		return r, nil
	case r.Phase != Proposed:
		return nil, conflict("run_confirmed", "somebody else has confirmed it", "他人已确认")
	case r.By == actor:
		return nil, conflict("second_person_needed", "who proposed the list cannot confirm it", "须由另一人确认")
	}
	r.Phase, r.Second, r.SecondAt = Running, actor, s.o.Now()
	if err := s.write(ctx, runKey(order), r, version); err != nil {
		return nil, err
	}
	select {
	case s.kick <- struct{}{}:
	default: // it is awake
	}
	return r, nil
}

// Drop takes a proposed list back.
func (s *Service) Drop(ctx context.Context, order string) error {
	r, version, err := s.run(ctx, order)
	switch {
	case err != nil:
		return err
	case r == nil:
		return nil
	case r.Phase != Proposed:
		return conflict("run_confirmed", "it was confirmed already", "清单已确认")
	}
	err = s.o.Registry.Put(ctx, runKey(order), nil, version)
	if err == nil {
		return s.dropParts(ctx, r)
	}
	if errors.Is(err, store.ErrConflict) {
		return conflict("run_changed", "somebody else changed the run: look again", "他人已更改,请重新查看")
	}
	return fmt.Errorf("redress: run of %s: %w", order, err)
}

// List returns the journeys of an order's run with what became of each.
func (s *Service) List(ctx context.Context, order string) (*Run, []Journey, error) {
	r, _, err := s.run(ctx, order)
	if err == nil && r == nil {
		err = &Refusal{http.StatusNotFound, "run_unknown", "nothing was proposed for this order", "该指令没有退还清单"}
	}
	if err != nil {
		return nil, nil, err
	}
	var all []Journey
	for n := range r.Parts {
		var rows []Journey
		if _, err := s.read(ctx, partKey(r, n), &rows); err != nil {
			return nil, nil, err
		}
		all = append(all, rows...)
	}
	return r, all, nil
}
