package gate

import (
	"fmt"
	"time"

	"github.com/tapswitch/tapswitch/switch/gate/fields"
)

// Sizes that are part of the API and therefore no setting.
const (
	// BatchMax is how many entries a batch may hold.
	BatchMax = fields.BatchMax
	// bodyMax bounds the body of a single call in bytes.
	bodyMax = 8 << 10
	// batchBodyMax bounds the body of a batch: 5,000 entries of 500 bytes.
	batchBodyMax = BatchMax * 500
	// headerMax bounds the request line and headers of a request in bytes.
	headerMax = 4 << 10
	// discardMax is how much of a refused body is read, so that the client sees the
	// answer rather than a reset connection.
	discardMax = 4 << 20
)

// Limits bound what the gate takes on. A zero field takes the default of DefaultLimits,
// unless the field says that zero means no bound.
type Limits struct {
	// ClockSkew is how far a signature's timestamp may be off, to both sides.
	ClockSkew time.Duration
	// Budget is the time that one request may take before nothing may be executed any
	// more; PriorityBudget that of freezes and reversals; BatchBudget that of a batch.
	Budget         time.Duration
	PriorityBudget time.Duration
	BatchBudget    time.Duration

	// ReadTimeout bounds the arrival of one request, BatchReadTimeout that of a batch,
	// WriteTimeout the departure of an answer, IdleTimeout the silence between requests.
	ReadTimeout      time.Duration
	BatchReadTimeout time.Duration
	WriteTimeout     time.Duration
	IdleTimeout      time.Duration

	// ConnectionsMax bounds the connections; ConnectionsPerIPMax those of one address (of
	// one /64 with IPv6), 0 for no bound: terminals often share an address.
	ConnectionsMax      int
	ConnectionsPerIPMax int
	// RequestsPerConnMax closes a connection after so many requests, so that load spreads
	// again over the switches behind one address.
	RequestsPerConnMax int

	// InFlightMax is how many requests are worked on at once; QueriesMax is the smaller
	// bound above which queries are refused. Freezes and reversals always pass.
	InFlightMax int
	QueriesMax  int
	// BatchReadersMax is how many batches may be arriving, BatchesMax how many are
	// executed at once.
	BatchReadersMax int
	BatchesMax      int

	// TerminalRate is how many requests a terminal may make a second, TerminalBurst how
	// many at once; a rate of 0 is no bound. A batch counts as one.
	TerminalRate  float64
	TerminalBurst int

	// KeyOverlap is how long the old key of a terminal stays valid after a rotation.
	KeyOverlap time.Duration
	// RefreshEvery is how soon a change that another process made to a terminal or an
	// operator is seen here.
	RefreshEvery time.Duration
	// ReleaseWait is how long a release waits for the second person; ReleasesMax how many
	// may wait.
	ReleaseWait time.Duration
	ReleasesMax int
	// ForeignOriginals lets a terminal refund or reverse what another one sent.
	ForeignOriginals bool

	// DrainDelay is how long the gate goes on taking connections after readyz turned, so
	// that a load balancer can look away first; 0 for none.
	DrainDelay time.Duration
	// SampleEvery says how many requests have their stages timed: one in so many, chosen at
	// random.
	SampleEvery int
}

// DefaultLimits returns the limits that the gate starts with.
func DefaultLimits() Limits {
	return Limits{
		ClockSkew: 120 * time.Second,
		Budget:    2 * time.Second, PriorityBudget: 10 * time.Second, BatchBudget: 30 * time.Second,
		ReadTimeout: 5 * time.Second, BatchReadTimeout: 30 * time.Second,
		WriteTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ConnectionsMax: 32 << 10, ConnectionsPerIPMax: 0, RequestsPerConnMax: 1 << 20,
		InFlightMax: 4096, QueriesMax: 3072, BatchReadersMax: 64, BatchesMax: 4,
		TerminalRate: 0, TerminalBurst: 100,
		KeyOverlap: time.Hour, RefreshEvery: time.Second,
		ReleaseWait: 30 * time.Minute, ReleasesMax: 1000,
		SampleEvery: 16,
	}
}

// Bounds of ClockSkew: below, honest clocks are refused; above, a
// captured request stays useful for too long.
const (
	clockSkewMin = 60 * time.Second
	clockSkewMax = 300 * time.Second
)

// withDefaults fills what is zero and checks the rest.
func (l Limits) withDefaults() (Limits, error) {
	d := DefaultLimits()
	for _, f := range []struct{ value, standard *time.Duration }{
		{&l.ClockSkew, &d.ClockSkew}, {&l.Budget, &d.Budget},
		{&l.PriorityBudget, &d.PriorityBudget}, {&l.BatchBudget, &d.BatchBudget},
		{&l.ReadTimeout, &d.ReadTimeout}, {&l.BatchReadTimeout, &d.BatchReadTimeout},
		{&l.WriteTimeout, &d.WriteTimeout}, {&l.IdleTimeout, &d.IdleTimeout},
		{&l.KeyOverlap, &d.KeyOverlap}, {&l.RefreshEvery, &d.RefreshEvery},
		{&l.ReleaseWait, &d.ReleaseWait},
	} {
		if *f.value == 0 {
			*f.value = *f.standard
		}
		if *f.value < 0 {
			return l, fmt.Errorf("gate limits: %v is negative", *f.value)
		}
	}
	for _, f := range []struct{ value, standard *int }{
		{&l.ConnectionsMax, &d.ConnectionsMax},
		{&l.RequestsPerConnMax, &d.RequestsPerConnMax}, {&l.InFlightMax, &d.InFlightMax},
		{&l.BatchReadersMax, &d.BatchReadersMax}, {&l.BatchesMax, &d.BatchesMax},
		{&l.TerminalBurst, &d.TerminalBurst}, {&l.ReleasesMax, &d.ReleasesMax},
		{&l.SampleEvery, &d.SampleEvery},
	} {
		if *f.value == 0 {
			*f.value = *f.standard
		}
		if *f.value < 0 {
			return l, fmt.Errorf("gate limits: %d is negative", *f.value)
		}
	}
	if l.QueriesMax <= 0 || l.QueriesMax > l.InFlightMax {
		l.QueriesMax = max(1, l.InFlightMax*3/4)
	}
	if l.ClockSkew < clockSkewMin || l.ClockSkew > clockSkewMax {
		return l, fmt.Errorf("gate limits: clock skew %v is not in %v to %v",
			l.ClockSkew, clockSkewMin, clockSkewMax)
	}
	return l, nil
}
