package citydemo

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/notice"
	"github.com/tapswitch/tapswitch/switch/scheme"
)

func sample() *Report {
	at := lossAt(9, 5)
	return &Report{City: "handan", Name: Text{"Handan resident card", "邯郸居民卡"}, Held: true,
		Timeline: []Event{{At: at, Who: theHolder, What: Text{"reports the loss", "挂失"},
			Clause: "HD18"},
			{At: at.Add(time.Hour), Who: theThief, What: Text{"rides", "乘车"}}},
		Clocks: []Clock{{Kind: "freeze", Party: "transit", Title: Text{"Operators", "公共交通运营企业"},
			Sent:     at,
			Received: at, Deadline: at.Add(2 * time.Hour), Effective: at.Add(3 * time.Hour),
			Late: true}},
		Coverage: []Coverage{{At: at, What: Text{"at the report", "挂失时"}, Total: 2}},
		Liability: []Borne{{Served: at.Add(time.Hour), Uploaded: at.Add(26 * time.Hour),
			Amount: 200, Boundary: at,
			Bears: "operator", Why: "party_was_late", Clause: "clause 7",
			Booked: map[string]int64{"loss/transit": 200}}},
		Fees:    []Fee{{Event: "renewal", Amount: 1500, State: "waived", Why: "hardship"}},
		Clauses: []string{"HD18"},
		Checks:  []Check{{What: Text{"told", "告知"}, Held: true, Clause: "HD18"}}}
}

func TestReportIsReadable(t *testing.T) {
	for lang, wants := range map[string][]string{
		"en": {"03-16  09:05  holder  HD18", "10:05  finder  -", "LATE", "loss/transit 2.00",
			"03-17 11:05", "renewal 15.00 waived (hardship)",
			"1 of 1 claims"},
		"zh": {"持卡人  HD18  挂失", "逾期", "公交企业", "换领 15.00 已免 (困难减免)", "1项结论中1项"},
	} {
		var b bytes.Buffer
		if err := sample().Write(&b, lang); err != nil {
			t.Fatal(err)
		}
		for _, want := range wants {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%s: no %q in\n%s", lang, want, b.String())
			}
		}
		if strings.Contains(b.String(), "\t") || strings.Contains(b.String(), " \n") {
			t.Errorf("%s: tabs, or blanks at the end of a line", lang)
		}
	}
}

// Columns stand below each other, Chinese characters counted as the two columns that they take.
func TestColumnsAreAligned(t *testing.T) {
	var b bytes.Buffer
	p := &page{w: &b, lang: "zh"}
	p.table([][]string{{"银行", "x"}, {"bank", "x"}, {"公共交通", "x"}})
	for line := range strings.Lines(b.String()) {
		if got := width(strings.SplitN(line, "x", 2)[0]); got != 12 {
			t.Errorf("%q: the second column begins at %d", line, got)
		}
	}
}

func TestErrNamesTheDuty(t *testing.T) {
	r := sample()
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	r.Checks = append(r.Checks, Check{What: Text{"frozen in time", "按时冻结"}, Clause: "HD19",
		Detail: "not at all"})
	err := r.Err()
	if err == nil || !strings.Contains(err.Error(), "frozen in time (HD19) not at all") {
		t.Errorf("%v", err)
	}
	var b bytes.Buffer
	if err := r.Write(&b, "en"); err != nil || !strings.Contains(b.String(),
		"DOES NOT HOLD: frozen in time") {
		t.Errorf("%v\n%s", err, b.String())
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

var errFull = errors.New("disk full")

func TestWriteTellsAFault(t *testing.T) {
	if err := sample().Write(full{}, "en"); !errors.Is(err, errFull) {
		t.Errorf("%v", err)
	}
}

func TestClausesAreSortedByNumber(t *testing.T) {
	got := sortClauses([]string{"HD18", "HD7", "HD18", "HD3"})
	if !slices.Equal(got, []string{"HD3", "HD7", "HD18"}) {
		t.Errorf("%v", got)
	}
	if got := joined("HD18, HD19", "", "HD19", "HD7"); got != "HD18, HD19, HD7" {
		t.Errorf("%q", got)
	}
}

func TestYuan(t *testing.T) {
	for fen, want := range map[int64]string{0: "0.00", 5: "0.05", 1234: "12.34", -200: "-2.00"} {
		if got := yuan(fen); got != want {
			t.Errorf("%d: %s, want %s", fen, got, want)
		}
	}
}

// stub is a story of a city without a switch.
func stub(t *testing.T, city string) *story {
	t.Helper()
	policy, err := scheme.Load(city)
	if err != nil {
		t.Fatal(err)
	}
	return &story{t: &town{clock: &clock{path: t.TempDir() + "/clock"}}, policy: policy,
		report: &Report{City: city}}
}

// A story cites no clause that is not in the register of its city, and ends with its first fault.
func TestOnlyRegisteredClausesAreCited(t *testing.T) {
	for clause, fine := range map[string]bool{"HD18, HD19": true, "": true, "HD99": false,
		"ZS17": false} {
		s := stub(t, "handan")
		after := false
		s.play(func() {
			s.event(theDesk, Text{"x", "x"}, clause)
			after = true
		})
		if (s.fault == nil) != fine || after != fine {
			t.Errorf("%q: %v", clause, s.fault)
		}
	}
}

// What each scheme says of the three rides differs with its boundary and its pre-report.
func TestExpectedBearers(t *testing.T) {
	for city, want := range map[string]string{"handan": "holder operator",
		"zhoushan": "holder agency operator",
		"wenzhou":  "agency operator", "shiyan": "agency operator", "zhengzhou": "agency operator"} {
		var got []string
		for _, e := range stub(t, city).expected() {
			got = append(got, e.bears)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", city, got, want)
		}
	}
}

func TestClockGoesForwardOnly(t *testing.T) {
	c := stub(t, "handan").t.clock
	for _, to := range []time.Time{lossAt(9, 0), lossAt(12, 0), lossAt(10, 0)} {
		if err := c.set(to); err != nil {
			t.Fatal(err)
		}
	}
	if off := c.now().Sub(lossAt(12, 0)); off < 0 || off > time.Minute {
		t.Errorf("the clock stands at %s", c.now())
	}
}

func TestCities(t *testing.T) {
	if got := strings.Join(Cities(), " "); got != "handan shiyan wenzhou zhengzhou zhoushan" {
		t.Errorf("%s", got)
	}
	if _, err := Run(context.Background(), Options{City: "atlantis"}); err == nil {
		t.Error("a city of nowhere was played")
	}
}

// A party believes a notice only when its own key has signed it.
func TestPartiesCheckSignatures(t *testing.T) {
	p := &parties{secrets: map[string][]byte{"bank": []byte("the secret of the bank, 32 bytes")}}
	body := []byte(`{"party":"bank"}`)
	header := notice.Sign(keyID, p.secrets["bank"], lossAt(9, 5), "", body)
	if !p.genuine(&wire{Party: "bank"}, header, body) {
		t.Error("a genuine notice was refused")
	}
	for name, h := range map[string]string{"none": "", "cut": header[:20],
		"other body": notice.Sign(keyID,
			p.secrets["bank"], lossAt(9, 5), "", []byte("x"))} {
		if p.genuine(&wire{Party: "bank"}, h, body) {
			t.Errorf("%s: believed", name)
		}
	}
	if p.genuine(&wire{Party: "transit"}, header, body) {
		t.Error("another party's key was believed")
	}
}
