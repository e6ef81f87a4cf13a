package book

import (
	"testing"

	"github.com/tapswitch/tapswitch/switch/gate/frame"
	"github.com/tapswitch/tapswitch/switch/txn"
	"github.com/tapswitch/tapswitch/switch/upload"
)

// The rules of DOMAIN.md 1.7 about the time of a record, by their number.

func (r *rig) office(i int, kind txn.Kind, change func(*txn.Request)) {
	r.t.Helper()
	r.ids++
	q := &txn.Request{ID: txn.RequestID{Terminal: txn.TerminalID{'D'}, Boot: 1, Counter: r.ids}, Kind: kind,
		Card: r.tokenOf(i), Currency: txn.CNY, ServiceAt: r.at, ReceivedAt: r.at}
	change(q)
	if a := r.engine.Authorize(r.t.Context(), q); a.Decision.Outcome != txn.Approved || a.Err != nil {
		r.t.Fatalf("%s: %s %v", kind, a.Decision.Reason, a.Err)
	}
}

func (r *rig) liability(i int) (l txn.Liability) {
	r.t.Helper()
	for _, rec := range r.memoryRecords() {
		if rec.Kind == txn.BusBoarding && rec.Card == r.tokenOf(i) {
			l = rec.Liability
		}
	}
	return l
}

// Rule 7: not in the future, not too old, a valid card, a module on the white list, and the card's
// place on the black list at that time. What was taken from the purse of a frozen card stays
// accepted and is to be judged.
func TestRule7(t *testing.T) {
	const days = 24 * 60
	frozen := func(r *rig) {
		r.office(0, txn.Freeze, func(q *txn.Request) {
			q.Listing.Mark = txn.Mark{Reason: txn.Lost, Scope: txn.AppAll}
		})
	}
	expires := func(at txn.Millis) func(*rig) {
		return func(r *rig) {
			r.office(0, txn.Amend, func(q *txn.Request) {
				q.Change = &txn.CardChange{Set: txn.ChangeExpiry, ExpiresAt: at}
			})
		}
	}
	for name, c := range map[string]struct {
		before    func(*rig)
		minutes   int // before now
		want      string
		liability txn.Liability
	}{
		"as usual":                          {nil, 60, "accepted", txn.LiabilityNone},
		"within what clocks differ":         {nil, -4, "accepted", txn.LiabilityNone},
		"in the future":                     {nil, -6, "held/in_future", txn.LiabilityNone},
		"as old as may be":                  {nil, 40*days - 1, "accepted", txn.LiabilityNone},
		"too old":                           {nil, 40*days + 1, "rejected/too_old", txn.LiabilityNone},
		"frozen":                            {frozen, 60, "accepted", txn.LiabilityOpen},
		"frozen after it, for whom judges":  {frozen, 3 * days, "accepted", txn.LiabilityOpen},
		"expired before it":                 {expires(noon - 2*hour), 60, "rejected/card_invalid", txn.LiabilityNone},
		"expired after it":                  {expires(noon - hour/2), 60, "accepted", txn.LiabilityNone},
		"expired and frozen: taken already": {func(r *rig) { expires(noon - 2*hour)(r); frozen(r) }, 60, "accepted", txn.LiabilityOpen},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			r.enrol(1, 5000)
			if c.before != nil {
				c.before(r)
			}
			var g gate
			r.expect(r.take(g.next(tap(0, 100, 7, 5000, c.minutes))), c.want)
			if got := r.liability(0); got != c.liability {
				t.Errorf("borne by %s, want %s", got, c.liability)
			}
		})
	}
	r := newRig(t, nil)
	var g gate
	r.expect(r.take(g.next(tap(0, 100, 7, 5000, 60))), "rejected/card_unknown")
}

// Rule 7, the white list: what a module made that was not on it then, or not in that terminal, is
// held, and taken when the list says otherwise; before the list binds every module is taken.
func TestRule7WhiteList(t *testing.T) {
	const psam = "010203040506"
	for name, c := range map[string]struct {
		from    txn.Millis
		windows []upload.Window
		want    string
	}{
		"no list":                {0, nil, "accepted"},
		"not listed":             {noon - 24*hour, nil, "held/module_not_listed"},
		"before the list":        {noon - hour/2, nil, "accepted"},
		"listed":                 {1, []upload.Window{{Terminal: "GATE07", From: noon - 2*hour}}, "accepted"},
		"listed anywhere":        {1, []upload.Window{{From: noon - 2*hour}}, "accepted"},
		"in another terminal":    {1, []upload.Window{{Terminal: "GATE08", From: noon - 2*hour}}, "held/module_not_listed"},
		"listed later":           {1, []upload.Window{{From: noon - hour/2}}, "held/module_not_listed"},
		"withdrawn before":       {1, []upload.Window{{From: 1, Until: noon - 2*hour}}, "held/module_not_listed"},
		"withdrawn since":        {1, []upload.Window{{From: 1, Until: noon - hour/2}}, "accepted"},
		"to the instant it ends": {1, []upload.Window{{From: 1, Until: noon - hour}}, "held/module_not_listed"},
		"moved":                  {1, []upload.Window{{Terminal: "GATE08", From: 1, Until: noon - 2*hour}, {Terminal: "GATE07", From: noon - 2*hour}}, "accepted"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			r.enrol(1, 5000)
			if err := r.s.SetWhiteFrom(t.Context(), c.from, "li"); err != nil {
				t.Fatal(err)
			}
			if err := r.s.SetWhite(t.Context(), psam, upload.White{Windows: c.windows, By: "li"}); err != nil {
				t.Fatal(err)
			}
			var g gate
			u := g.next(tap(0, 100, 7, 5000, 60))
			r.expect(r.take(u), c.want)
			if c.want == "accepted" {
				return
			}
			r.expect(r.take(u), "duplicate/module_not_listed")
			if n, err := r.s.Retry(t.Context()); n != 0 || err != nil {
				t.Errorf("%d decided: %v", n, err)
			}
			r.balance(0, 5000)
			if err := r.s.SetWhite(t.Context(), psam, upload.White{Windows: []upload.Window{{From: 1}}, By: "li"}); err != nil {
				t.Fatal(err)
			}
			if n, err := r.s.Retry(t.Context()); n != 1 || err != nil {
				t.Errorf("%d decided: %v", n, err)
			}
			r.balance(0, 4810)
			r.expect(r.take(u), "duplicate")
			if got := r.agree(0); got.Accepted.Records != 1 || got.Held.Records != 0 {
				t.Errorf("%+v", got)
			}
		})
	}
	r := newRig(t, nil)
	for _, bad := range []upload.White{{Windows: []upload.Window{{From: 2, Until: 1}}},
		{Windows: make([]upload.Window, upload.WindowsMax+1)}, {Windows: []upload.Window{{Terminal: "longer than a terminal"}}}} {
		if err := r.s.SetWhite(t.Context(), psam, bad); err == nil {
			t.Errorf("taken: %+v", bad)
		}
	}
	if err := r.s.SetWhite(t.Context(), "01", upload.White{}); err == nil {
		t.Error("no module")
	}
}

// Rule 4: balances of consecutive counters follow from each other, with the loads between them,
// which count by another counter, joined by time.
func TestRule4(t *testing.T) {
	type load struct {
		minutes int
		amount  txn.Minor
	}
	for name, c := range map[string]struct {
		loads  []load
		taps   []frame.Tap
		want   string
		breaks uint32
		off    txn.Minor
	}{
		"consecutive": {nil, []frame.Tap{tap(0, 1, 7, 5000, 60), tap(0, 2, 8, 4810, 50)}, "accepted accepted", 0, 0},
		"a load between": {[]load{{55, 1000}}, []frame.Tap{tap(0, 1, 7, 5000, 60), tap(0, 2, 8, 5810, 50)},
			"accepted accepted", 0, 0},
		"two loads, one before both": {[]load{{70, 500}, {55, 1000}},
			[]frame.Tap{tap(0, 1, 7, 5500, 60), tap(0, 2, 8, 6310, 50)}, "accepted accepted", 0, 0},
		"a load after both": {[]load{{40, 1000}}, []frame.Tap{tap(0, 1, 7, 5000, 60), tap(0, 2, 8, 4810, 50)},
			"accepted accepted", 0, 0},
		"a load that nobody knows": {nil, []frame.Tap{tap(0, 1, 7, 5000, 60), tap(0, 2, 8, 5810, 50)},
			"accepted accepted", 1, 1000},
		"a load that the card lost": {[]load{{55, 1000}}, []frame.Tap{tap(0, 1, 7, 5000, 60), tap(0, 2, 8, 4810, 50)},
			"accepted accepted", 1, -1000},
		"one is missing": {nil, []frame.Tap{tap(0, 1, 7, 5000, 60), tap(0, 3, 9, 4600, 40)}, "accepted accepted", 0, 0},
		"more than the missing one could take back": {nil, []frame.Tap{tap(0, 1, 7, 5000, 60), tap(0, 3, 9, 5100, 40)},
			"accepted accepted", 1, 290},
		"out of order in one frame": {nil, []frame.Tap{tap(0, 2, 8, 4810, 50), tap(0, 1, 7, 5000, 60)}, "accepted accepted", 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			for _, hold := range []bool{false, true} {
				r := newRig(t, func(o *Options) { o.HoldBroken = hold })
				r.enrol(1, 5000)
				for _, l := range c.loads {
					r.office(0, txn.Load, func(q *txn.Request) {
						q.Amount, q.ServiceAt = l.amount, noon-txn.Millis(l.minutes)*60*second
					})
				}
				var g gate
				want := c.want
				if hold && c.breaks > 0 {
					want = "accepted held/chain_broken"
				}
				r.expect(r.take(g.next(c.taps...)), want)
				said := r.cardsSaid(true)
				switch {
				case c.breaks == 0 && len(said) != 0:
					t.Errorf("suspicious: %+v", said)
				case c.breaks > 0 && (len(said) != 1 || said[0].Breaks != c.breaks || said[0].Broken != c.off):
					t.Errorf("said: %+v, want %d breaks, %d off", said, c.breaks, c.off)
				}
				r.agree(0)
			}
		})
	}
}

// Rule 6: a torn record is resolved by the card's next good counter, or by a proof under its own
// number; what tells nothing leaves it, and a proof of another tap is a dispute.
func TestRule6(t *testing.T) {
	torn := tap(0, 100, 7, 5000, 60)
	torn.Flags = []string{"grey"}
	proved := tap(0, 100, 7, 5000, 60)
	proved.Flags, proved.TAC = []string{"proved"}, "01020304"
	forged := proved
	forged.Amount = 100
	for name, c := range map[string]struct {
		load    txn.Minor // between
		next    frame.Tap
		want    string
		balance txn.Minor
		held    string // what waits at the end
	}{
		"the next counter and less: paid":       {0, tap(0, 101, 8, 4810, 50), "accepted", 4620, ""},
		"the same counter and as much: not":     {0, tap(0, 101, 7, 5000, 50), "accepted", 4810, ""},
		"paid, and a load between":              {1000, tap(0, 101, 8, 5810, 50), "accepted", 5620, ""},
		"not paid, and a load between":          {1000, tap(0, 101, 7, 6000, 50), "accepted", 5810, ""},
		"a later counter tells nothing":         {0, tap(0, 101, 9, 4600, 50), "accepted", 4810, "torn"},
		"the next counter, but another balance": {0, tap(0, 101, 8, 4500, 50), "accepted", 4810, "torn"},
		"a proof":                               {0, proved, "accepted", 4810, ""},
		"a proof of another amount":             {0, forged, "held/dispute", 5000, "dispute torn"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			r.enrol(1, 5000)
			var g gate
			r.expect(r.take(g.next(torn)), "held/torn")
			r.balance(0, 5000)
			if c.load > 0 {
				r.office(0, txn.Load, func(q *txn.Request) { q.Amount, q.ServiceAt = c.load, noon-55*60*second })
			}
			r.expect(r.take(g.next(c.next)), c.want)
			r.balance(0, c.balance)
			waits := map[string]bool{}
			for _, h := range r.held() {
				waits[h.Reason] = true
			}
			got := ""
			for _, reason := range []string{"dispute", "torn"} {
				if waits[reason] && got != "" {
					got += " "
				}
				if waits[reason] {
					got += reason
				}
			}
			if got != c.held {
				t.Errorf("held %q, want %q", got, c.held)
			}
		})
	}
}
