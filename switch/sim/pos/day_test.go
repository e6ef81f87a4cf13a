package pos_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/sim/bankhost"
	"github.com/tapswitch/tapswitch/switch/sim/pos"
)

// A quiet day: every kind of transaction, books that agree, batches that balance, MACs and
// PINs that are right.
func TestDay(t *testing.T) {
	h := terminalHost(t, nil)
	r := run(t, options(t, h))
	b := h.Book()
	agree(t, r, b)
	if r.Contradicted() || r.Failed() > 0 || r.Total.Timeouts > 0 {
		t.Errorf("%v\n%+v", r.Findings, r.Total)
	}
	for k := pos.Purchase; k <= pos.Balance; k++ {
		if o := r.Kinds[k]; o == nil || o.Approved == 0 {
			t.Errorf("no %v was approved: %+v", k, o)
		}
	}
	for _, d := range r.Terminals {
		if d.Verdict != message.Balanced || d.SignOns != 1 || d.Uploaded != 0 || d.Debits == 0 {
			t.Errorf("%+v", d)
		}
	}
	if b.Counts.BadMAC != 0 || b.Counts.BadPIN != 0 || r.Latency.Count != 240 ||
		r.Latency.Min > r.Latency.Median || r.Latency.P99 > r.Latency.Max {
		t.Errorf("%+v %+v", b.Counts, r.Latency)
	}
}

// The second day of a terminal has the next batch.
func TestBatchGrows(t *testing.T) {
	h := terminalHost(t, nil)
	o := options(t, h)
	o.Terminals = 1
	first := run(t, o)
	second := run(t, o)
	if first.Terminals[0].Batch != "000001" || second.Terminals[0].Batch != "000002" ||
		second.Contradicted() || second.Terminals[0].Verdict != message.Balanced {
		t.Errorf("%+v\n%+v", first.Terminals[0], second.Terminals[0])
	}
}

// The same seed and the same host do the same day.
func TestSeed(t *testing.T) {
	var rows [3][]byte
	for i, seed := range []uint64{11, 11, 12} {
		h := terminalHost(t, func(o *bankhost.Options) { o.Behaviour.Decline = 2000 })
		o := options(t, h)
		o.Seed, o.Now = seed, func() time.Time { return time.Date(2026, 11, 22, 4, 0, 0, 0, time.UTC) }
		r := run(t, o)
		for _, d := range r.Terminals {
			for _, row := range d.Rows {
				row.RRN = "" // given in the order of arrival
				line, err := json.Marshal(row)
				if err != nil {
					t.Fatal(err)
				}
				rows[i] = append(rows[i], line...)
			}
		}
		if r.Kinds[pos.Purchase].Declined == 0 {
			t.Error("nothing declined")
		}
	}
	if !bytes.Equal(rows[0], rows[1]) || bytes.Equal(rows[0], rows[2]) {
		t.Error("the seed does not decide the day")
	}
}

// Losses of every kind end in books that agree: reversed on both sides or approved on both.
func TestTroubledDay(t *testing.T) {
	h := terminalHost(t, func(o *bankhost.Options) {
		o.Behaviour = bankhost.Behaviour{Decline: 500, RefuseSignOn: 2000,
			LateAfter: bankhost.Span(60 * time.Millisecond),
			DelayTo:   bankhost.Span(10 * time.Millisecond), DelayFrom: 1,
			StallFor: bankhost.Span(time.Millisecond),
			Rates: map[bankhost.Effect]int{bankhost.LoseRequest: 300, bankhost.LoseAnswer: 300,
				bankhost.Late: 200, bankhost.Close: 300, bankhost.CloseInFrame: 300, bankhost.Delay: 500,
				bankhost.Twice: 300, bankhost.Stall: 200, bankhost.ChangeKey: 200}}
	})
	o := options(t, h)
	o.Timeout = 30 * time.Millisecond
	o.Faults = pos.Faults{DropConnection: 300, Repeat: 500, Duplicate: 500}
	o.Dial = flakyDial(5)
	r := run(t, o)
	// What was on its way when a connection closed may still arrive: the book is quiet once
	// the host has ended.
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	b := h.Book()
	agree(t, r, b)
	if r.Contradicted() || r.Failed() > 0 {
		t.Errorf("%d failed: %v", r.Failed(), r.Findings)
	}
	if r.Total.Reversals == 0 || r.Total.AdviceRepeats == 0 || r.Total.RepeatsSent == 0 ||
		r.Total.DuplicatesSent == 0 || r.Total.ExtraAnswers == 0 || b.Counts.Reversed == 0 ||
		b.Counts.Repeats == 0 || b.Counts.SignOnsRefused == 0 || r.Total.SignOns <= 4 {
		t.Errorf("too quiet: %+v\n%+v", r.Total, b.Counts)
	}
}

// An advice is never reversed: it is repeated as one until it is answered.
func TestAdviceIsRepeated(t *testing.T) {
	h := terminalHost(t, func(o *bankhost.Options) {
		o.Behaviour.Rules = []bankhost.Rule{{Kind: "offline_sale", Times: 2,
			Effect: bankhost.LoseAnswer}}
	})
	o := options(t, h)
	o.Terminals, o.Transactions, o.Mix = 1, 3, pos.Mix{pos.OfflineSale: 1}
	o.Timeout = 20 * time.Millisecond
	r := run(t, o)
	b := h.Book()
	agree(t, r, b)
	if r.Total.AdviceRepeats != 6 || r.Total.Reversals != 0 ||
		r.Kinds[pos.OfflineSale].Approved != 3 ||
		b.Counts.Repeats != 6 || b.Counts.Unmarked != 0 {
		t.Errorf("%+v\n%+v", r.Total, b.Counts)
	}
}

// Every wrong answer is a contradiction, is not believed, and ends in a reversal.
func TestWrongAnswersAreContradictions(t *testing.T) {
	for _, e := range []bankhost.Effect{bankhost.WrongSTAN, bankhost.WrongTerminal,
		bankhost.WrongAmount,
		bankhost.WrongMAC, bankhost.Garbage} {
		t.Run(e.String(), func(t *testing.T) {
			h := terminalHost(t, func(o *bankhost.Options) {
				o.Behaviour.Rules = []bankhost.Rule{{AmountEnds: "1", Effect: e, Times: 1}}
			})
			o := options(t, h)
			o.Terminals, o.Transactions, o.Mix = 1, 2, pos.Mix{pos.Purchase: 1}
			o.Amounts, o.Timeout = []int64{1000, 1001}, 50*time.Millisecond
			r := run(t, o)
			agree(t, r, h.Book())
			if got := *r.Kinds[pos.Purchase]; got != (pos.Outcome{Approved: 1, Reversed: 1}) {
				t.Errorf("%+v", got)
			}
			if !r.Contradicted() || len(r.Findings) == 0 {
				t.Errorf("no contradiction: %+v", r.Total)
			}
			for _, f := range r.Findings {
				if strings.Contains(f, "622260") || strings.Contains(f, "400000") {
					t.Errorf("a finding shows a card: %s", f)
				}
			}
		})
	}
}

// A settlement that does not balance is a contradiction, and the batch is uploaded.
func TestUnbalancedBatchIsUploaded(t *testing.T) {
	h := terminalHost(t, func(o *bankhost.Options) { o.MasterKey, o.PIN = nil, "" })
	o := options(t, h)
	o.MasterKey, o.Terminals, o.Transactions, o.Mix = nil, 1, 20, pos.Mix{pos.Purchase: 1}
	sellUnseen(t, o)
	r := run(t, o)
	d := r.Terminals[0]
	if d.Verdict != message.Unbalanced || d.Uploaded != 20 || !r.Contradicted() {
		t.Errorf("%+v %v", d, r.Findings)
	}
	b := h.Book()
	if len(b.Batch) != 1 || b.Batch[0].UploadedRows != 20 || !b.Batch[0].Ended ||
		b.Batch[0].UploadedMinor != d.DebitMinor {
		t.Errorf("%+v", b.Batch)
	}
}

// sellUnseen makes one sale of the batch that no terminal of the run knows about.
func sellUnseen(t *testing.T, o pos.Options) {
	t.Helper()
	s, err := message.Named("cup_pos")
	if err != nil {
		t.Fatal(err)
	}
	m := message.New(s, message.FinancialRequest)
	digits, err := message.Private{Type: "22", Batch: "000001", Network: "000"}.Digits()
	err = errors.Join(err, m.SetPAN(o.Cards[0]), m.SetDigits(3, "000000"), m.SetAmount(5000),
		m.SetSTAN(900_000), m.SetDigits(25, "00"), m.SetText(41, "00000001"), m.SetDigits(60, digits))
	if err != nil {
		t.Fatal(err)
	}
	frame, err := m.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	if frame, err = o.Framing.Append(nil, frame); err != nil {
		t.Fatal(err)
	}
	nc, err := flakyDial(0)(t.Context(), o.Target)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if _, err := nc.Write(frame); err != nil {
		t.Fatal(err)
	}
	if _, err := message.NewReader(nc, o.Framing).Next(); err != nil {
		t.Fatal(err)
	}
}

// The keys of 001 and 004 are opened as those of 003.
func TestSignOnKinds(t *testing.T) {
	for _, network := range []string{"001", "003", "004"} {
		h := terminalHost(t, nil)
		o := options(t, h)
		o.Terminals, o.Transactions, o.Network = 1, 10, network
		r := run(t, o)
		if r.Contradicted() || r.Failed() > 0 || h.Summary().Counts.BadMAC != 0 {
			t.Errorf("%s: %v %+v", network, r.Findings, r.Terminals[0])
		}
	}
}

// A terminal with another master key sees a wrong check value and does not start.
func TestWrongMasterKey(t *testing.T) {
	h := terminalHost(t, nil)
	o := options(t, h)
	o.MasterKey = bytes.Repeat([]byte{0x1F, 0x0E}, 8)
	o.RetriesMax = 2
	r := run(t, o)
	if r.Failed() != 4 || !strings.Contains(r.Terminals[0].Failed, "check value") {
		t.Errorf("%+v", r.Terminals[0])
	}
}

// A wrong PIN is declined with 55.
func TestWrongPIN(t *testing.T) {
	h := terminalHost(t, nil)
	o := options(t, h)
	o.PIN, o.Terminals, o.Transactions, o.Mix = "4321", 1, 3, pos.Mix{pos.Purchase: 1}
	r := run(t, o)
	if r.Codes["55"] != 3 || h.Summary().Counts.BadPIN != 3 {
		t.Errorf("%v", r.Codes)
	}
}

// An open loop starts transactions on time, not after answers.
func TestRate(t *testing.T) {
	h := terminalHost(t, nil)
	o := options(t, h)
	o.Terminals, o.Transactions, o.Rate = 2, 10, 200
	r := run(t, o)
	if r.ElapsedMS < 90 || r.Latency.Count != 20 {
		t.Errorf("20 transactions at 200/s in %d ms, %d answered", r.ElapsedMS, r.Latency.Count)
	}
}

// A host that is not there: the day fails and says so, and nothing hangs.
func TestNobodyThere(t *testing.T) {
	h := terminalHost(t, nil)
	o := options(t, h)
	_ = h.Close()
	o.RetriesMax = 3
	r := run(t, o)
	if r.Failed() != 4 || !strings.Contains(r.Terminals[0].Failed, "sign-on") {
		t.Errorf("%+v", r.Terminals[0])
	}
}

func TestReportForPeopleAndScripts(t *testing.T) {
	h := terminalHost(t, nil)
	r := run(t, options(t, h))
	var b bytes.Buffer
	if err := r.Print(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"purchase", "00000004", "latency of", "0 contradictions"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var back struct {
		Kinds map[string]pos.Outcome
		Total struct{ Sent int }
	}
	if err := json.Unmarshal(text, &back); err != nil || back.Kinds["void"].Approved == 0 ||
		back.Total.Sent != r.Total.Sent {
		t.Errorf("%v %+v", err, back)
	}
}

func TestTerminalsFile(t *testing.T) {
	var b bytes.Buffer
	if err := pos.WriteTerminals(&b, pos.Options{Terminals: 3, FirstTerminal: 100},
		"tmk-1"); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&b).ReadAll()
	if err != nil || len(rows) != 4 || strings.Join(rows[0],
		",") != "terminal,merchant,mcc,payee,master_key" ||
		rows[3][0] != "00000102" || rows[3][4] != "tmk-1" {
		t.Errorf("%v %v", err, rows)
	}
}

func TestCards(t *testing.T) {
	all := cards(t, 100)
	again := cards(t, 100)
	for i, c := range all {
		bin := []string{"622260", "400000"}[i%2]
		if !c.Luhn() || !strings.HasPrefix(c.Digits(), bin) || len(c.Digits()) != 16 || c != again[i] {
			t.Errorf("card %d", i)
		}
	}
	for _, bad := range [][]string{nil, {"12"}, {"62226x"}, {"6222601234567"}} {
		if _, err := pos.Cards(bad, 1, 1); !errors.Is(err, pos.ErrOptions) {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	h := terminalHost(t, nil)
	iso, err := message.Named("iso87_ascii")
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*pos.Options){
		"target":       func(o *pos.Options) { o.Target = "" },
		"terminals":    func(o *pos.Options) { o.Terminals = pos.TerminalsMax + 1 },
		"transactions": func(o *pos.Options) { o.Transactions = pos.TransactionsMax + 1 },
		"cards":        func(o *pos.Options) { o.Cards = nil },
		"amounts":      func(o *pos.Options) { o.AmountMin, o.AmountMax = 10, 5 },
		"rate":         func(o *pos.Options) { o.Rate = -1 },
		"first":        func(o *pos.Options) { o.FirstTerminal = 100_000_000 },
		"key":          func(o *pos.Options) { o.MasterKey = make([]byte, 8) },
		"network":      func(o *pos.Options) { o.Network = "002" },
		"mix":          func(o *pos.Options) { o.Mix = pos.Mix{pos.Void: 0} },
		"weight":       func(o *pos.Options) { o.Mix = pos.Mix{pos.Void: -1} },
		"spec":         func(o *pos.Options) { o.Spec = iso },
	} {
		o := options(t, h)
		spoil(&o)
		if _, err := pos.Run(t.Context(), o); !errors.Is(err, pos.ErrOptions) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
