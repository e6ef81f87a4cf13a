package main

import (
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/ledger/settle/day"
	"github.com/tapswitch/tapswitch/switch/gate/frame"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Taps that a gate uploads after their business day was closed, and after it was certified.

// lateDay is a gate without a network and the finance desk of its switch.
type lateDay struct {
	*e2eUpload
	finance *e2eFinance
	began   time.Time
	seq     uint32
	boot    uint32
	used    map[string]uint16
}

// taps boards n of the cards on the first day.
func (l *lateDay) board(n int) (taps []frame.Tap) {
	for i := range n {
		card := e2eUploadCard(i)
		l.seq++
		at := l.began.Add(time.Minute + time.Duration(l.seq)*time.Second)
		taps = append(taps, l.tap(card, l.seq, l.used[card], at))
		l.used[card]++
		l.balance[card] -= e2eUploadFare
	}
	return taps
}

// upload sends taps as a batch and waits until they are in the warehouse, on a date.
func (l *lateDay) upload(taps []frame.Tap, date txn.BusinessDate) {
	l.t.Helper()
	before := l.charged(date)
	l.boot++
	var sent atomic.Int64
	if err := l.deliver(l.t.Context(), l.batch(l.boot, 1, taps), &sent); err != nil {
		l.t.Fatal(err)
	}
	want := before + int64(len(taps))*e2eUploadFare
	e2eUntil(l.t, 60*time.Second, "the taps in the warehouse", func() (bool, error) {
		if got := l.charged(date); got != want {
			return false, fmt.Errorf("%d fen on %s, want %d", got, date, want)
		}
		return true, nil
	})
}

// charged is what the rides of a date paid, as the warehouse has them.
func (l *lateDay) charged(date txn.BusinessDate) (sum int64) {
	for _, r := range l.node.parquet() {
		if r.BusinessDate == date && r.Kind == txn.BusBoarding && r.Outcome == txn.Approved {
			sum += int64(r.Charged)
		}
	}
	return sum
}

// closed cuts a date over by moving the clock a day on, and closes it.
func (l *lateDay) closed(date txn.BusinessDate, away time.Duration) {
	l.t.Helper()
	l.shift(-away)
	l.finance.day = date.String()
	l.finance.run(0, nil, "day", "close", "--day", date.String(), "--wait", "50s").expect(l.t, "closed")
}

// settled settles a date and returns its run and what settle printed.
func (l *lateDay) settled(date txn.BusinessDate) (*day.Run, string) {
	l.t.Helper()
	printed := l.finance.run(0, nil, "settle", "run", "--day", date.String()).stdout
	var run day.Run
	l.finance.into(l.finance.run(0, nil, "settle", "run", "--day", date.String(), "-o", "json"), &run)
	if run.Fresh || len(run.Manifest.Control) != 1 || run.Manifest.Breaks != 0 {
		l.t.Fatalf("run of %s: %+v", date, run)
	}
	return &run, printed
}

// column sums a column of a table of a pack, in fen, over lines whose cells are as given.
func (l *lateDay) column(run *day.Run, table, column string, cells ...string) (sum int64, lines int) {
	l.t.Helper()
	text, err := os.ReadFile(filepath.Join(run.Dir, table))
	if err != nil {
		l.t.Fatal(err)
	}
	all, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(string(text), "\ufeff"))).ReadAll()
	if err != nil {
		l.t.Fatal(err)
	}
	for _, line := range all[1:] {
		row := map[string]string{}
		for i, cell := range line {
			row[all[0][i]] = cell
		}
		is := true
		for i := 0; i < len(cells); i += 2 {
			is = is && row[cells[i]] == cells[i+1]
		}
		if !is {
			continue
		}
		n, err := strconv.ParseInt(strings.Replace(row[column], ".", "", 1), 10, 64)
		if err != nil {
			l.t.Fatalf("%s of %s: %v", column, table, err)
		}
		sum, lines = sum+n, lines+1
	}
	return sum, lines
}

// TestE2EFinanceLateTaps: taps of a day that come after it was closed, and others after it was
// certified, are booked on the day that is open, shown apart on its page, in its pack and by
// settle; the certificate of the old day still verifies against everything, and gate, ledger,
// settlement and pack agree to the fen.
func TestE2EFinanceLateTaps(t *testing.T) {
	t.Parallel()
	l := &lateDay{e2eUpload: newE2EUpload(t), used: map[string]uint16{}}
	l.began = l.now()
	l.finance = &e2eFinance{t: t, dir: l.node.dir}
	var first txn.BusinessDate
	e2eUntil(t, 60*time.Second, "the loads", func() (bool, error) {
		for _, r := range l.node.parquet() {
			first = max(first, r.BusinessDate)
		}
		return first != 0, nil
	})
	second := first.Next()
	const onTime, afterClose, afterCertificate = 50, 7, 11
	l.upload(l.board(onTime), first)
	l.closed(first, e2eUploadAway-24*time.Hour)
	l.upload(l.board(afterClose), second)
	old, printed := l.settled(first)
	if old.Manifest.Control[0].LateCount != 0 || !strings.Contains(printed, "of it late") {
		t.Errorf("the first day is late itself: %+v\n%s", old.Manifest.Control, printed)
	}
	l.finance.certified(old)
	certificate, err := os.ReadFile(filepath.Join(l.node.dir, "finance", "certificates", first.String()+".json"))
	if err != nil {
		t.Fatal(err)
	}
	l.upload(l.board(afterCertificate), second)
	l.closed(second, e2eUploadAway-48*time.Hour)
	run, printed := l.settled(second)
	l.apart(run, printed, first, int64(afterClose+afterCertificate))
	l.agree(old, run, first, second)

	// The old day is as it was certified, also against a warehouse that holds the late taps now.
	l.finance.day = first.String()
	chain := filepath.Join(old.Dir, "records.chain")
	l.finance.run(0, nil, append(l.finance.verify(chain), "--compare")...).expect(t, "the warehouse holds the same")
	if again, err := os.ReadFile(filepath.Join(l.node.dir, "finance", "certificates", first.String()+".json")); err != nil ||
		string(again) != string(certificate) {
		t.Errorf("the certificate changed: %v", err)
	}
	l.finance.day = second.String()
	l.finance.run(0, nil, "day", "certify", "--day", second.String()).expect(t, "certificate 2")
	e2eWant(t, 0, "every record", l.finance.verify(filepath.Join(run.Dir, "records.chain"))...)
}

// apart looks for the late taps on the page of the day, in the pack and in what settle printed.
func (l *lateDay) apart(run *day.Run, printed string, served txn.BusinessDate, taps int64) {
	l.t.Helper()
	late := taps * e2eUploadFare
	c := run.Manifest.Control[0]
	sum, lines := l.column(run, "late.csv", "amount", "service_date", served.String())
	count, _ := l.column(run, "late.csv", "count")
	if c.Late != late || c.LateCount != taps || sum != late || lines == 0 || count != taps {
		l.t.Errorf("late are %d fen of %d taps: control %+v, late.csv %d in %d lines, %d taps", late, taps, c, sum,
			lines, count)
	}
	if shown := fmt.Sprintf("%d.%02d", late/100, late%100); !strings.Contains(printed, shown) {
		l.t.Errorf("settle does not tell of %s:\n%s", shown, printed)
	}
	v := newConsoleVisitor(l.t, l.node)
	if _, at := v.signIn(l.node.secret(adminTokenFile)); at != "/console/today" {
		l.t.Fatalf("sign in leads to %s", at)
	}
	text, _ := v.page("/console/days/"+run.Manifest.BusinessDate, "Late taps")
	if !strings.Contains(text, served.String()) || !strings.Contains(text, fmt.Sprintf("¥%d.%02d", late/100, late%100)) {
		l.t.Errorf("the page of the day: %s", text)
	}
	if text, _ = v.page("/console/days/" + served.String()); strings.Contains(text, "Late taps") {
		l.t.Errorf("the old day has late taps: %s", text)
	}
}

// agree adds the rides up at the gate, in the ledger, in settlement and in the pack.
func (l *lateDay) agree(old, run *day.Run, first, second txn.BusinessDate) {
	l.t.Helper()
	gate := int64(l.sum)
	ledger := l.charged(first) + l.charged(second)
	settled := old.Manifest.Control[0].Gross + run.Manifest.Control[0].Gross
	a, _ := l.column(old, "gross.csv", "amount", "account", "operator/BUS1", "kind", txn.BusBoarding.String())
	b, _ := l.column(run, "gross.csv", "amount", "account", "operator/BUS1", "kind", txn.BusBoarding.String())
	loads, _ := l.column(old, "gross.csv", "amount", "kind", txn.Load.String())
	if gate != ledger || gate != a+b || settled != a+b+loads || gate == 0 {
		l.t.Errorf("gate %d, ledger %d, settlement %d with loads of %d, pack %d", gate, ledger, settled, loads, a+b)
	}
	for _, r := range []*day.Run{old, run} {
		if c := r.Manifest.Control[0]; c.Short() != 0 || c.Debit != c.Credit {
			l.t.Errorf("control totals of %s: %+v", r.Manifest.BusinessDate, c)
		}
	}
}
