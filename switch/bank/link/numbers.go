package link

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// STANMax is the highest trace number; 1 follows it.
	STANMax = 999999
	// numberBlockMax is how many numbers are reserved at a time at most.
	numberBlockMax = 100_000
	// numberTriesMax is how many numbers in a row may be busy before none is handed out.
	numberTriesMax = 1000
	// granule is how many numbers share the time of their last use.
	granule = 1000
)

// Reserver keeps how far the trace numbers of a link have been given away. It must be safe
// for concurrent use, also by other processes that serve the same link.
type Reserver interface {
	// Reserve takes the next n numbers of the circle 1 to STANMax (n is at most 100,000)
	// and returns the first; 1 follows STANMax. On return it is durable that they are
	// taken. After an error they may be.
	Reserve(ctx context.Context, link string, n int) (first uint32, err error)
}

// Numbers hands out the trace numbers of one link. None is handed out twice within the
// window, or while an exchange with it is in flight or remembered as unanswered.
//
// Blocks are reserved ahead, so a restart continues behind everything that was handed out
// before and wastes at most two blocks. What a former process, or another one with the same
// link, used during the last lap is not known here: for those the window holds as long as a
// lap takes longer than it, and a lap takes 100 s at 10,000 numbers a second.
type Numbers struct {
	link   string
	store  Reserver
	window time.Duration
	block  int
	busy   func(stan uint32) bool
	top    uint32 // STANMax but in tests
	grain  uint32 // granule but in tests

	// fetching holds one token while a block is being reserved.
	fetching chan struct{}
	tasks    sync.WaitGroup
	ctx      context.Context // ends with Close
	stop     context.CancelFunc

	mu    sync.Mutex // guards the fields below
	next  uint32
	left  int
	ahead uint32 // first of the block that was reserved ahead; 0 for none
	last  uint32 // handed out last
	used  []time.Time
	// closed says that nothing more is reserved in the background.
	closed bool
}

// NewNumbers returns the numbers of a link. block numbers are reserved at a time; busy says
// which are in use otherwise and may be nil. Close ends what runs in the background.
func NewNumbers(link string, store Reserver, block int, window time.Duration,
) (*Numbers, error) {
	if store == nil {
		return nil, fmt.Errorf("trace numbers of %s: no Reserver is given", link)
	}
	if block < 1 || block > numberBlockMax || window < 0 {
		return nil, fmt.Errorf("trace numbers of %s: block %d is not in 1 to %d, "+
			"or window %v is negative", link, block, numberBlockMax, window)
	}
	n := &Numbers{link: link, store: store, window: window, block: block,
		busy: func(uint32) bool { return false }, top: STANMax, grain: granule,
		fetching: make(chan struct{}, 1), used: make([]time.Time, STANMax/granule+1)}
	n.ctx, n.stop = context.WithCancel(context.Background())
	return n, nil
}

// Close ends what runs in the background and waits for it.
func (n *Numbers) Close() {
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	n.stop()
	n.tasks.Wait()
}

// Next returns a number that is free. ErrNumbers says that there is none, or that the
// Reserver failed.
func (n *Numbers) Next(ctx context.Context) (uint32, error) {
	for range numberTriesMax {
		v, err := n.take(ctx)
		if err != nil {
			return 0, fmt.Errorf("trace numbers of %s: %w", n.link, err)
		}
		if !n.busy(v) {
			return v, nil
		}
	}
	return 0, fmt.Errorf("trace numbers of %s: %w: %d in a row wait for answers", n.link,
		ErrNumbers, numberTriesMax)
}

// errEmpty says that the block is used up.
var errEmpty = errors.New("the block is used up")

// take returns the next number of the circle.
func (n *Numbers) take(ctx context.Context) (uint32, error) {
	for {
		v, fetch, err := n.pop()
		if fetch {
			n.fetchAhead()
		}
		if !errors.Is(err, errEmpty) {
			return v, err
		}
		if err := n.fetch(ctx); err != nil {
			return 0, err
		}
	}
}

// pop takes a number from the block and says whether it is time to reserve another one.
func (n *Numbers) pop() (v uint32, fetch bool, err error) {
	now := time.Now()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.left == 0 {
		if n.ahead == 0 {
			return 0, false, errEmpty
		}
		n.next, n.left, n.ahead = n.ahead, n.block, 0
	}
	v = n.next
	slot := (v - 1) / n.grain
	entering := v <= n.last || n.last == 0 || slot != (n.last-1)/n.grain
	if used := n.used[slot]; entering && !used.IsZero() && now.Sub(used) < n.window {
		return 0, false, fmt.Errorf("%w: all were used within %v", ErrNumbers, n.window)
	}
	n.used[slot], n.last = now, v
	n.next = v%n.top + 1
	n.left--
	return v, n.left <= n.block/2 && n.ahead == 0, nil
}

// fetch reserves a block, unless another caller does or did.
func (n *Numbers) fetch(ctx context.Context) error {
	select {
	case n.fetching <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrNumbers, ctx.Err())
	case <-n.ctx.Done():
		return fmt.Errorf("%w: %w", ErrNumbers, ErrClosed)
	}
	defer func() { <-n.fetching }()
	return n.reserve(ctx)
}

// fetchAhead reserves a block in the background, unless that happens already.
func (n *Numbers) fetchAhead() {
	select {
	case n.fetching <- struct{}{}:
	default:
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		<-n.fetching
		return
	}
	n.tasks.Go(func() {
		defer func() { <-n.fetching }()
		_ = n.reserve(n.ctx) // whoever needs the block meets the error again
	})
}

// reserve takes a block from the store unless one is there. The token must be held.
func (n *Numbers) reserve(ctx context.Context) error {
	n.mu.Lock()
	there := n.ahead != 0
	n.mu.Unlock()
	if there {
		return nil
	}
	first, err := n.store.Reserve(ctx, n.link, n.block)
	if err != nil {
		return fmt.Errorf("%w: %d could not be reserved: %w", ErrNumbers, n.block, err)
	}
	if first < 1 || first > n.top {
		return fmt.Errorf("%w: the store returned %d, which is not in 1 to %d", ErrNumbers,
			first, n.top)
	}
	n.mu.Lock()
	n.ahead = first
	n.mu.Unlock()
	return nil
}
