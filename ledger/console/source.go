package console

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/tapswitch/tapswitch/ledger/console/session"
	"github.com/tapswitch/tapswitch/ledger/console/trail"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/desk/coverage"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Operators is the gate's directory of persons. Safe for concurrent use.
type Operators interface {
	// Find returns who has the token with this SHA-256, and false for nobody. An error means
	// that it could not be told: nobody is let in and nobody thrown out.
	Find(ctx context.Context, token session.Sum) (session.Person, bool, error)
}

// Trail keeps what is done. Safe for concurrent use.
type Trail interface {
	// Write is durable on return; what it refuses is not done.
	Write(l trail.Line) error
	// Recent returns the last lines, the last first.
	Recent(n int) []trail.Line
}

// Ledger is the warehouse; it may also be warehouse.Hourly. Safe for concurrent use.
type Ledger interface {
	// Totals is that of warehouse.Reader; it is called in the background only.
	Totals(ctx context.Context, date txn.BusinessDate) (warehouse.Totals, error)
	// Records is that of warehouse.Reader; it is called in the background only.
	Records(ctx context.Context, f warehouse.Filter, yield func(*txn.Record) error) error
}

// Live is what this process counts in memory. Safe for concurrent use; it never waits.
type Live interface {
	// Live returns one reading.
	Live() LiveView
}

// LiveView is one reading.
type LiveView struct {
	// Since is when the process began to count.
	Since    time.Time
	Approved int64
	Declined int64
	// Minutes are the last whole minutes, the oldest first.
	Minutes []Minute
	// P50, P95 and P99 are of the decisions that were sampled; zero without any.
	P50, P95, P99 time.Duration
	Sampled       int64
	// ListKnown says that the age of the blacklist is known here: ListAge.
	ListKnown bool
	ListAge   time.Duration
	// Pending are settled records that the warehouse has not confirmed.
	Pending int64
}

// Minute counts the decisions of a minute.
type Minute struct {
	At                 time.Time
	Approved, Declined int64
}

// Freezes is the card desk. Safe for concurrent use.
type Freezes interface {
	// City returns one reading; ErrNone where this process has no desk.
	City(ctx context.Context) (*City, error)
}

// ErrNone reports that this process has not what was asked for.
var ErrNone = errors.New("this process has none")

// City is one reading of the card desk, as its API tells it.
type City struct {
	// Lists says that lists for gates are published here: Coverage.
	Lists    bool
	Coverage coverage.Coverage
	// Notifies says that parties are notified from here: Notices, the most urgent first.
	Notifies bool
	Notices  []Notice
	More     bool
}

// Notice is a freeze or a release with the clocks of its parties.
type Notice struct {
	ID       string        `json:"id"`
	Kind     string        `json:"kind"`
	Card     string        `json:"card"` // masked
	Token    string        `json:"token"`
	Reason   string        `json:"reason"`
	Accepted *time.Time    `json:"accepted_at"`
	Clause   string        `json:"clause"`
	Clocks   []NoticeClock `json:"clocks"`
}

// NoticeClock is the clock of one party.
type NoticeClock struct {
	Party     string     `json:"party"`
	State     string     `json:"state"`
	Start     *time.Time `json:"start"`
	Deadline  *time.Time `json:"deadline"`
	Effective *time.Time `json:"effective"`
	Late      bool       `json:"late"`
	Overdue   bool       `json:"overdue"`
	Failure   string     `json:"failure"`
}

// IsLate reports whether the party missed its deadline, whatever it did later.
func (c *NoticeClock) IsLate() bool { return c.Late || c.Overdue }

// Banks is the edge of bank cards. Safe for concurrent use.
type Banks interface {
	// Status returns one reading; ErrNone where this process has no such edge.
	Status(ctx context.Context) (*BankStatus, error)
}

// BankStatus is one reading, as the edge tells it.
type BankStatus struct {
	Listeners []struct {
		Name        string `json:"name"`
		Address     string `json:"address"`
		Connections int    `json:"connections"`
		Terminals   int    `json:"terminals"`
	} `json:"listeners"`
	Links []BankLink `json:"links"`
	// Queued are reversals and advices that wait to be told; Dead is how many a bank refused.
	Queued int `json:"queued"`
	Dead   int `json:"-"`
}

// BankLink is one link.
type BankLink struct {
	Name        string `json:"name"`
	Up          bool   `json:"up"`
	InFlight    int    `json:"in_flight"`
	Notices     int    `json:"notices"`
	Connections []struct {
		Address string    `json:"address"`
		State   string    `json:"state"`
		Since   time.Time `json:"since"`
		Cause   string    `json:"cause"`
	} `json:"connections"`
	Figures struct {
		Answered, TimedOut, Late, Lost, ConnectFailures uint64
	} `json:"figures"`
	Tasks map[string]struct {
		Tries   int    `json:"tries"`
		Problem string `json:"problem"`
	} `json:"tasks"`
}

// Days tells the states of business dates. Safe for concurrent use.
type Days interface {
	// State returns the state of a date, and false when no step of closing was taken.
	State(ctx context.Context, date txn.BusinessDate) (DayState, bool, error)
}

// DayState is how far a date is: open, closing, closed or certified.
type DayState struct {
	State string
	Since time.Time
	By    string
	// Certificate names the file of the day's certificate, empty before it is made.
	Certificate string
}

// Settlements are the runs of settlement. Safe for concurrent use.
type Settlements interface {
	// Runs returns the runs of a date, or of all dates (0), the last first, at most max.
	Runs(ctx context.Context, date txn.BusinessDate, max int) ([]Run, error)
	// Open returns a file of a run's pack; ErrNone for what there is not. The caller closes it.
	Open(ctx context.Context, run, file string) (io.ReadCloser, error)
}

// Run is one run of settlement; it never changes.
type Run struct {
	Number string
	Date   txn.BusinessDate
	Made   time.Time
	By     string
	// Corrects is the number of the run that this one corrects, empty for none.
	Corrects string
	Nets     []Net
	Late     []Late
	Files    []File
}

// Late is the part of what a run settles whose service was on an earlier date: taps that came
// after their day was closed.
type Late struct {
	Account     string
	ServiceDate string
	Currency    uint16
	Count       int64
	Amount      int64
}

// Net is what a party is paid (positive) or pays.
type Net struct {
	Party    string
	Currency uint16
	Gross    int64
	Adjusted int64 // concessions, shares and fees
	Net      int64
}

// File is one file of a pack.
type File struct {
	Name   string
	Size   int64
	SHA256 string
}

// Breaks are the differences that reconciliation found. Safe for concurrent use.
type Breaks interface {
	// List returns breaks in order of age, the oldest first.
	List(ctx context.Context, f BreakFilter) (BreakList, error)
	// Show returns one break with its history; ErrNone for none.
	Show(ctx context.Context, id string) (*Break, error)
	// Act does a step on a break; a *Refusal when it may not be done.
	Act(ctx context.Context, id string, a BreakAction) error
}

// BreakFilter chooses breaks; empty fields choose all.
type BreakFilter struct {
	// State is open, proposed, resolved or closed.
	State, Kind, Owner string
	// After is BreakList.Next of the page before.
	After string
	Max   int
}

// BreakList is a page of breaks.
type BreakList struct {
	Breaks []Break
	Next   string
	// Run says which run found them, when; zero before the first.
	Run   string
	RunAt time.Time
}

// Break is one difference.
type Break struct {
	ID, State, Kind, Side, Cause string
	Key, Counterparty            string
	Date                         txn.BusinessDate
	Amount                       int64
	Currency                     uint16
	// AgeDays are working days.
	AgeDays    int
	Owner      string
	Resolution string
	// Evidence led to the cause.
	Evidence     []string
	Ours, Theirs []Field
	// Claim is what a terminal or operator says, where it was asked.
	Claim   []Field
	History []BreakEvent
}

// Field is a named value of one side.
type Field struct{ Name, Value string }

// BreakEvent is one step of a break's history.
type BreakEvent struct {
	At                  time.Time
	Actor, Action, Note string
}

// The steps of BreakAction.
const (
	StepAssign  = "assign"
	StepComment = "comment"
	StepResolve = "resolve"
	StepConfirm = "confirm" // a write-off that another person proposed
	StepReject  = "reject"
	StepReopen  = "reopen"
)

// BreakAction is a step on a break.
type BreakAction struct {
	Actor string
	Step  string
	// Owner is whom StepAssign gives it to, Resolution how StepResolve ends it.
	Owner, Resolution string
	Note              string
}

// Refusal says why something may not be done, in both languages.
type Refusal struct{ English, Chinese string }

// Error returns the English text.
func (r *Refusal) Error() string { return r.English }
