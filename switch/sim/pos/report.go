package pos

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// State is what the cashier believes of a transaction.
type State uint8

// The states. An Unanswered one was never answered, and neither was its reversal.
const (
	Unanswered State = iota
	Approved
	Declined
	Reversed
)

// String returns the name as in reports.
func (s State) String() string {
	return [...]string{"unanswered", "approved", "declined", "reversed"}[min(s, Reversed)]
}

// MarshalText returns String.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Row is a transaction in a terminal's book.
type Row struct {
	Kind  Kind       `json:"kind"`
	STAN  uint32     `json:"stan"`
	Batch string     `json:"batch"`
	Date  string     `json:"date"`
	Minor int64      `json:"minor"`
	Card  pan.Number `json:"card"` // masked when printed
	State State      `json:"state"`
	Code  string     `json:"code"`
	RRN   string     `json:"rrn,omitempty"`
	Auth  string     `json:"auth,omitempty"`
	// Closed says that a void or completion has used it up; Refunded what went back.
	Closed   bool  `json:"closed,omitempty"`
	Refunded int64 `json:"refunded_minor,omitempty"`
	// Amended is what adjustments and tips have added to a sale, Difference what an
	// adjustment or tip added itself.
	Amended    int64 `json:"amended_minor,omitempty"`
	Difference int64 `json:"difference_minor,omitempty"`
	// Purse is what a load went to.
	Purse pan.Number `json:"purse"`
	// Original is the trace number of what it refers to, 0 none.
	Original uint32 `json:"original,omitempty"`
	original *Row
}

// left is what can still be given back.
func (r *Row) left() int64 { return min(r.Minor, r.Minor+r.Amended) - r.Refunded }

// Moved is what the row moves out of the card's account, or into a purse for a cash load, as
// far as the terminal knows.
func (r *Row) Moved() int64 {
	if r.State != Approved {
		return 0
	}
	switch r.Kind {
	case Purchase, OfflineSale, Completion, CompletionAdvice, Load, CashLoad:
		return r.Minor
	case Refund:
		return -r.Minor
	case Void, CompletionVoid:
		return -r.Minor
	case Adjust, Tip:
		return r.Difference
	}
	return 0
}

// Downloads counts what a terminal got.
type Downloads struct {
	Parameters   int `json:"parameter_bytes"`
	Listed       int `json:"black_list_cards"`
	Keys         int `json:"public_keys"`
	Applications int `json:"applications"`
	// NotOffered are the codes of field 60.3 that the host does not support.
	NotOffered []string `json:"not_offered,omitempty"`
}

// TerminalReport is the day of a terminal.
type TerminalReport struct {
	Terminal string `json:"terminal"`
	Batch    string `json:"batch"`
	// Failed says why the day ended early, "" that it did not.
	Failed      string          `json:"failed,omitempty"`
	DebitMinor  int64           `json:"debit_minor"`
	Debits      int             `json:"debits"`
	CreditMinor int64           `json:"credit_minor"`
	Credits     int             `json:"credits"`
	Verdict     message.Verdict `json:"verdict"`
	Uploaded    int             `json:"uploaded_rows,omitempty"`
	Downloads   *Downloads      `json:"downloads,omitempty"`
	Traffic
	// Rows are the terminal's book, for who compares it with the switch's.
	Rows []Row `json:"-"`
}

// Traffic counts messages.
type Traffic struct {
	Connections int `json:"connections"`
	SignOns     int `json:"sign_ons"`
	Sent        int `json:"sent"`
	Answers     int `json:"answers"`
	Timeouts    int `json:"timeouts"`
	// Reversals and AdviceRepeats count every time that one is sent.
	Reversals     int `json:"reversals"`
	AdviceRepeats int `json:"advice_repeats"`
	// RepeatsSent and DuplicatesSent are sent on purpose; DuplicatesRefused and ExtraAnswers
	// are second answers, a refusal with 94 and the same answer again.
	RepeatsSent       int `json:"repeats_sent"`
	DuplicatesSent    int `json:"duplicates_sent"`
	DuplicatesRefused int `json:"duplicates_refused"`
	ExtraAnswers      int `json:"extra_answers"`
	// Scripts are the issuers' scripts whose result was told.
	Scripts int `json:"scripts"`
	// LateAnswers came after the reversal had begun. WrongAnswers are not believed.
	LateAnswers  int `json:"late_answers"`
	WrongAnswers int `json:"wrong_answers"`
	MACFailures  int `json:"mac_failures"`
	// Contradictions are answers that cannot be squared with the book.
	Contradictions int `json:"contradictions"`
}

func (t *Traffic) add(o *Traffic) {
	t.Connections += o.Connections
	t.SignOns += o.SignOns
	t.Sent += o.Sent
	t.Answers += o.Answers
	t.Timeouts += o.Timeouts
	t.Reversals += o.Reversals
	t.AdviceRepeats += o.AdviceRepeats
	t.RepeatsSent += o.RepeatsSent
	t.DuplicatesSent += o.DuplicatesSent
	t.DuplicatesRefused += o.DuplicatesRefused
	t.ExtraAnswers += o.ExtraAnswers
	t.Scripts += o.Scripts
	t.LateAnswers += o.LateAnswers
	t.WrongAnswers += o.WrongAnswers
	t.MACFailures += o.MACFailures
	t.Contradictions += o.Contradictions
}

// Outcome counts the transactions of a kind by their state.
type Outcome struct {
	Approved   int `json:"approved"`
	Declined   int `json:"declined"`
	Reversed   int `json:"reversed"`
	Unanswered int `json:"unanswered"`
}

func (o *Outcome) count(s State) {
	switch s {
	case Approved:
		o.Approved++
	case Declined:
		o.Declined++
	case Reversed:
		o.Reversed++
	default:
		o.Unanswered++
	}
}

// Latency is how long answers took, of the transactions that were answered, in microseconds.
type Latency struct {
	Count  int   `json:"count"`
	Min    int64 `json:"min_us"`
	Median int64 `json:"median_us"`
	P99    int64 `json:"p99_us"`
	Max    int64 `json:"max_us"`
}

func latencyOf(all []time.Duration) (l Latency) {
	if len(all) == 0 {
		return l
	}
	slices.Sort(all)
	at := func(percent int) int64 { return all[(len(all)-1)*percent/100].Microseconds() }
	return Latency{len(all), at(0), at(50), at(99), at(100)}
}

// Report is what a run came to.
type Report struct {
	Seed      uint64            `json:"seed"`
	ElapsedMS int64             `json:"elapsed_ms"`
	Kinds     map[Kind]*Outcome `json:"kinds"`
	Codes     map[string]int    `json:"codes"`
	Total     Traffic           `json:"total"`
	Latency   Latency           `json:"latency"`
	Terminals []TerminalReport  `json:"terminals"`
	// Findings are the first contradictions in words.
	Findings []string `json:"findings,omitempty"`
}

// Contradicted reports whether any answer could not be squared with a terminal's book.
func (r *Report) Contradicted() bool { return r.Total.Contradictions > 0 }

// Failed returns how many terminals did not get through their day.
func (r *Report) Failed() (n int) {
	for i := range r.Terminals {
		if r.Terminals[i].Failed != "" {
			n++
		}
	}
	return n
}

// Run lets the terminals do their day and returns what came of it. An error is ErrOptions;
// what goes wrong at a till is in the report. When ctx ends the terminals stop where they are.
func Run(ctx context.Context, o Options) (*Report, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	start := time.Now()
	all := make([]*terminal, o.Terminals)
	var work sync.WaitGroup
	for i := range all {
		all[i] = newTerminal(&o, i)
		work.Go(func() { all[i].work(ctx, start, i) })
	}
	work.Wait()
	r := &Report{Seed: o.Seed, ElapsedMS: time.Since(start).Milliseconds(),
		Kinds: map[Kind]*Outcome{}, Codes: map[string]int{}}
	var latency []time.Duration
	for _, t := range all {
		r.take(t)
		latency = append(latency, t.latency...)
	}
	r.Latency = latencyOf(latency)
	return r, nil
}

// take adds the day of a terminal.
func (r *Report) take(t *terminal) {
	for _, row := range t.rows {
		if r.Kinds[row.Kind] == nil {
			r.Kinds[row.Kind] = new(Outcome)
		}
		r.Kinds[row.Kind].count(row.State)
		if row.Code != "" {
			r.Codes[row.Code]++
		}
		t.report.Rows = append(t.report.Rows, *row)
	}
	r.Total.add(&t.report.Traffic)
	r.Terminals = append(r.Terminals, t.report)
	r.Findings = append(r.Findings, t.findings[:min(len(t.findings),
		ContradictionsMax-len(r.Findings))]...)
}

// Print writes the report as tables for people.
func (r *Report) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "kind\tapproved\tdeclined\treversed\tunanswered\t")
	for k := range kindEnd {
		if o := r.Kinds[k]; o != nil {
			fmt.Fprintf(t, "%v\t%d\t%d\t%d\t%d\t\n", k, o.Approved, o.Declined, o.Reversed,
				o.Unanswered)
		}
	}
	fmt.Fprintln(t, "\nterminal\tdebits\tamount\tcredits\tamount\tverdict\t")
	for i := range r.Terminals {
		d := &r.Terminals[i]
		fmt.Fprintf(t, "%s\t%d\t%s\t%d\t%s\t%d\t%s\n", d.Terminal, d.Debits,
			yuan(d.DebitMinor), d.Credits, yuan(d.CreditMinor), d.Verdict, d.Failed)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%d sent, %d answers, %d time-outs, %d reversals, %d contradictions\n",
		r.Total.Sent,
		r.Total.Answers, r.Total.Timeouts, r.Total.Reversals, r.Total.Contradictions)
	l := r.Latency
	_, err := fmt.Fprintf(w, "latency of %d: min %d us, median %d us, p99 %d us\n", l.Count, l.Min,
		l.Median, l.P99)
	if err != nil {
		return err
	}
	for _, f := range r.Findings {
		fmt.Fprintln(w, f)
	}
	return nil
}

func yuan(minor int64) string { return fmt.Sprintf("%d.%02d", minor/100, minor%100) }
