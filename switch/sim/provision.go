package sim

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"sync"
)

// enrolBatch is how many cards are enrolled in one call.
const enrolBatch = 1_000

// Register registers a terminal, or makes a new key for one that is there already, and
// returns it ready to sign.
func Register(ctx context.Context, c *Client, token string, spec TerminalSpec) (*Terminal, error) {
	body, err := json.Marshal(spec)
	if err != nil {
		return nil, fmt.Errorf("terminal %s: %w", spec.ID, err)
	}
	path := "/v1/terminals/" + url.PathEscape(spec.ID)
	r, err := c.Operate(ctx, token, http.MethodPut, path, body)
	if err != nil {
		return nil, fmt.Errorf("terminal %s: %w", spec.ID, err)
	}
	key, err := readKey(r)
	if err == nil && key == nil {
		return Rotate(ctx, c, token, spec.ID)
	}
	if err != nil {
		return nil, fmt.Errorf("terminal %s: %w", spec.ID, err)
	}
	return NewTerminal(spec.ID, key), nil
}

// Rotate makes a new key for a terminal that is registered: the first was shown once, and
// only a new one can be had.
func Rotate(ctx context.Context, c *Client, token, id string) (*Terminal, error) {
	path := "/v1/terminals/" + url.PathEscape(id) + ":rotate"
	r, err := c.Operate(ctx, token, http.MethodPost, path, nil)
	if err != nil {
		return nil, fmt.Errorf("terminal %s: %w", id, err)
	}
	key, err := readKey(r)
	if err == nil && key == nil {
		err = fmt.Errorf("%w: no key", errAnswer)
	}
	if err != nil {
		return nil, fmt.Errorf("terminal %s: %w", id, err)
	}
	return NewTerminal(id, key), nil
}

// readKey returns the key in an answer, nil when it has none.
func readKey(r Reply) ([]byte, error) {
	if r.Refused != nil {
		return nil, r.Refused
	}
	var a struct {
		Key string `json:"key"`
	}
	if err := json.Unmarshal(r.Body, &a); err != nil {
		return nil, fmt.Errorf("%w: %w", errAnswer, err)
	}
	if a.Key == "" {
		return nil, nil
	}
	key, err := hex.DecodeString(a.Key)
	if err != nil {
		return nil, fmt.Errorf("%w: key is not hexadecimal", errAnswer)
	}
	return key, nil
}

// RegisterAll registers terminals, a few at a time, and returns them in the same order.
func RegisterAll(
	ctx context.Context, c *Client, token string, specs []TerminalSpec,
) ([]*Terminal, error) {
	all := make([]*Terminal, len(specs))
	err := Each(ctx, deskCalls, len(specs), func(ctx context.Context, i int) (err error) {
		all[i], err = Register(ctx, c, token, specs[i])
		return err
	})
	return all, err
}

// deskCalls is how many operator calls, enrolBatches how many batches are made at once.
const (
	deskCalls    = 16
	enrolBatches = 4
)

// Each calls f for 0 to n-1, as many at a time as there are workers, and returns the first
// error after all calls that were begun have ended.
func Each(ctx context.Context, workers, n int, f func(context.Context, int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(workers, n) {
		wg.Go(func() {
			for i := range next {
				if err := f(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	for i := range n {
		if ctx.Err() != nil {
			break
		}
		next <- i
	}
	close(next)
	wg.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// Enrolment is a card as it is enrolled. Number leaves the process in the body alone.
type Enrolment struct {
	Number string   `json:"card"`
	Apps   []string `json:"apps"`
	Rider  string   `json:"rider"`
}

// Enrolled counts what became of enrolments.
type Enrolled struct {
	New   int // opened now
	Known int // opened before
}

// EnrolAll enrols cards in batches. Cards that are enrolled already are left as they are.
func EnrolAll(ctx context.Context, c *Client, token string, cards []Enrolment) (Enrolled, error) {
	var mu sync.Mutex // guards total
	var total Enrolled
	batches := (len(cards) + enrolBatch - 1) / enrolBatch
	err := Each(ctx, enrolBatches, batches, func(ctx context.Context, i int) error {
		n, err := enrol(ctx, c, token, cards[i*enrolBatch:min(len(cards), (i+1)*enrolBatch)])
		mu.Lock()
		defer mu.Unlock()
		total.New += n.New
		total.Known += n.Known
		return err
	})
	return total, err
}

func enrol(
	ctx context.Context, c *Client, token string, cards []Enrolment,
) (n Enrolled, err error) {
	body, err := json.Marshal(struct {
		Cards []Enrolment `json:"cards"`
	}{cards})
	if err != nil {
		return n, fmt.Errorf("enrolment: %w", err)
	}
	r, err := c.Operate(ctx, token, http.MethodPost, "/v1/cards:batch", body)
	if err != nil {
		return n, fmt.Errorf("enrolment: %w", err)
	}
	if r.Refused != nil {
		return n, fmt.Errorf("enrolment: %w", r.Refused)
	}
	results, err := ParseResults(r.Body, len(cards))
	if err != nil {
		return n, fmt.Errorf("enrolment: %w", err)
	}
	for i := range results {
		switch a := &results[i]; {
		case a.Error != nil:
			return n, fmt.Errorf("enrolment of card %d of %d: %w", i+1, len(cards), a.Error)
		case a.Approved() && !a.Replay:
			n.New++
		default:
			n.Known++
		}
	}
	return n, nil
}

// ParseResults reads the answer to a batch of want entries.
func ParseResults(body []byte, want int) ([]Answer, error) {
	var a struct {
		Results []Answer `json:"results"`
	}
	if err := json.Unmarshal(body, &a); err != nil {
		return nil, fmt.Errorf("%w: %w", errAnswer, err)
	}
	if len(a.Results) != want {
		return nil, fmt.Errorf("%w: %d results for %d entries", errAnswer, len(a.Results), want)
	}
	return a.Results, nil
}

// Enrolments returns the plan's cards as they are enrolled.
func (p *Plan) Enrolments() []Enrolment {
	all := make([]Enrolment, len(p.Cards))
	for i := range p.Cards {
		c := &p.Cards[i]
		all[i] = Enrolment{Number: c.Number.Digits(), Apps: c.Apps, Rider: c.Rider}
	}
	return all
}
