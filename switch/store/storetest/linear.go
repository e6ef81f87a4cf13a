package storetest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// RunLinearizable lets clients debit, freeze and release the same cards at once, each by
// compare-and-set with retries as the engine does it, and checks that the history has an
// order in which every answer is right: a debit is approved only while the card is free
// and takes its amount once; after a freeze has returned none is approved until a
// release. A store that fails with store.ErrUnavailable is asked again, so that it may
// be run with faults.
func RunLinearizable(t *testing.T, f Factory) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprintf("Seed%d", seed), func(t *testing.T) {
			w := newWorld(t, t, f, Options{})
			defer func() { w.s.Close() }()
			w.linearizable(seed)
		})
	}
}

const (
	linearClients = 8
	linearCards   = 3
	linearOps     = 40  // of one client
	linearTries   = 500 // of one operation
)

type linearKind uint8

const (
	debit linearKind = iota
	freezeCard
	releaseCard
)

type linearInput struct {
	card   int
	kind   linearKind
	amount int64
}

// linearOutput is the answer to a debit; known says whether the balance after it was
// learned, which it is not when its commit was in doubt.
type linearOutput struct {
	approved bool
	known    bool
	balance  int64
}

type linearState struct {
	frozen  bool
	balance int64
}

func linearModel() porcupine.Model {
	return porcupine.Model{
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			parts := make([][]porcupine.Operation, linearCards)
			for _, op := range history {
				card := op.Input.(linearInput).card
				parts[card] = append(parts[card], op)
			}
			return parts
		},
		Init: func() any { return linearState{} },
		Step: func(state, input, output any) (bool, any) {
			return linearStep(state.(linearState), input.(linearInput), output.(linearOutput))
		},
	}
}

func linearStep(s linearState, in linearInput, out linearOutput) (bool, linearState) {
	switch {
	case in.kind == freezeCard:
		s.frozen = true
		return true, s
	case in.kind == releaseCard:
		s.frozen = false
		return true, s
	case !out.approved:
		return s.frozen, s
	default:
		s.balance -= in.amount
		return !s.frozen && (!out.known || out.balance == s.balance), s
	}
}

// linearizable runs the clients and checks the history.
func (w *world) linearizable(seed uint64) {
	w.Helper()
	start := time.Now()
	cards := make([]pan.Token, linearCards)
	for i := range cards {
		cards[i] = w.card()
	}
	histories := make([][]porcupine.Operation, linearClients)
	var clients sync.WaitGroup
	for k := range histories {
		c := linearClient{w: w, id: k, r: rand.New(rand.NewPCG(seed, uint64(k)))}
		clients.Go(func() {
			for range linearOps {
				in := c.draw()
				if err := c.do(cards[in.card], in, start); err != nil {
					w.Errorf("client %d: %v", k, err)
					return
				}
			}
			histories[k] = c.history
		})
	}
	clients.Wait()
	var all []porcupine.Operation
	for _, h := range histories {
		all = append(all, h...)
	}
	if got := porcupine.CheckOperationsTimeout(linearModel(), all, time.Minute); got != porcupine.Ok {
		w.Fatalf("seed %d: a history of %d operations is not linearizable: %s", seed, len(all), got)
	}
}

// linearClient is one of the clients; it counts its debits to know them again.
type linearClient struct {
	w     *world
	id    int
	r     *rand.Rand
	count uint32

	history []porcupine.Operation
}

func (c *linearClient) draw() linearInput {
	in := linearInput{card: c.r.IntN(linearCards), amount: 1 + c.r.Int64N(500)}
	switch c.r.IntN(10) {
	case 0:
		in.kind = freezeCard
	case 1:
		in.kind = releaseCard
	}
	return in
}

// do executes an operation, trying again after conflicts and faults, and notes what it did. A
// debit knows itself again and is one operation however often it is tried. A freeze or release
// does not: each try that is in doubt is one of its own, which has no end, for it may never have
// happened.
func (c *linearClient) do(card pan.Token, in linearInput, start time.Time) error {
	c.count++
	try := c.change
	if in.kind == debit {
		try = c.debit
	}
	called := time.Since(start).Nanoseconds()
	note := func(out linearOutput, ended int64) {
		c.history = append(c.history, porcupine.Operation{ClientId: c.id, Input: in, Call: called,
			Output: out, Return: ended})
	}
	for range linearTries {
		now, err := c.w.s.Load(c.w.ctx, card, nil)
		if errors.Is(err, store.ErrUnavailable) {
			continue
		}
		if err != nil {
			return err
		}
		out, done, err := try(card, in, now)
		switch {
		case errors.Is(err, store.ErrUnavailable) && in.kind != debit:
			note(out, math.MaxInt64)
			called = time.Since(start).Nanoseconds()
		case err != nil && !errors.Is(err, store.ErrUnavailable):
			return err
		case err == nil && done:
			note(out, time.Since(start).Nanoseconds())
			return nil
		}
	}
	return fmt.Errorf("no answer after %d tries", linearTries)
}

// linearStateSize is a balance and, for each client, the count of its last debit.
const linearStateSize = 8 + 4*linearClients

// debit decides and commits once. A refusal is proved by a commit that only checks.
func (c *linearClient) debit(card pan.Token, in linearInput, now store.Loaded) (linearOutput,
	bool, error) {
	state := now.State
	if len(state) == 0 {
		state = make([]byte, linearStateSize)
	}
	mine := state[8+4*c.id:][:4]
	if binary.BigEndian.Uint32(mine) == c.count {
		return linearOutput{approved: true}, true, nil // a try in doubt was applied
	}
	commit := &store.Commit{Card: card, Version: now.Version, Mark: now.Mark}
	out := linearOutput{}
	if now.Mark == notFrozen {
		out = linearOutput{approved: true, known: true,
			balance: int64(binary.BigEndian.Uint64(state)) - in.amount}
		binary.BigEndian.PutUint64(state, uint64(out.balance))
		binary.BigEndian.PutUint32(mine, c.count)
		commit.State, commit.Record = state, recordOf(card, int(c.count))
	}
	done, err := c.commit(commit)
	return out, done, err
}

// change freezes or releases the card; if it is so already, that is proved.
func (c *linearClient) change(card pan.Token, in linearInput, now store.Loaded) (linearOutput,
	bool, error) {
	to := notFrozen
	if in.kind == freezeCard {
		to = lost
	}
	commit := &store.Commit{Card: card, AnyVersion: true, Mark: now.Mark, Reserve: true}
	if now.Mark != to {
		commit.List = &store.ListChange{Entry: store.Entry{Mark: to}}
		if to != notFrozen {
			commit.List.Entry = store.Entry{Mark: to, Since: txn.Millis(c.count), Actor: "desk"}
		}
	}
	done, err := c.commit(commit)
	return linearOutput{}, done, err
}

// commit reports whether the commit was committed; a conflict is no error.
func (c *linearClient) commit(commit *store.Commit) (bool, error) {
	if err := c.w.s.Commit(c.w.ctx, []*store.Commit{commit}); err != nil {
		return false, err
	}
	switch commit.Status {
	case store.Committed:
		return true, nil
	case store.VersionConflict, store.MarkConflict:
		return false, nil
	default:
		return false, fmt.Errorf("status %s", commit.Status)
	}
}
