package api

import (
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/account"
)

// GB 11643: 17 digits and a check digit; every slip in one place and every two neighbours that
// changed places are found.
func TestResidentNumber(t *testing.T) {
	now := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	for _, good := range []string{"11010519491231002X", "11010519491231002x", "440524188001010014", "110101199001011237"} {
		if !residentNumber(good, now) {
			t.Errorf("case %q is refused", good[:6])
		}
		for i := range good {
			for c := byte('0'); c <= '9'; c++ {
				slip := good[:i] + string(c) + good[i+1:]
				if slip != good && residentNumber(slip, now) {
					t.Errorf("a slip in place %d of %s passes", i+1, good)
				}
			}
			if i > 0 && good[i] != good[i-1] {
				if swapped := good[:i-1] + string(good[i]) + string(good[i-1]) + good[i+1:]; residentNumber(swapped, now) {
					t.Errorf("places %d and %d of %s changed, and it passes", i, i+1, good)
				}
			}
		}
	}
	for _, bad := range []string{"", "110105491231002", "1101051949123100", "11010519491331002X", "11010520991231002X"} {
		if residentNumber(bad, now) {
			t.Errorf("%q passes", bad)
		}
	}
}

// A number of another paper is taken when the paper is named, and one that looks like a resident
// identity number is not taken for anything else unnamed. No answer holds a number.
func TestPapersAreCheckedWhereTheyAreTaken(t *testing.T) {
	c := newCounter(t, "handan")
	with := func(kind, number string) string {
		return strings.Replace(opening(number, cardA), `"outlet"`, kind+`"outlet"`, 1)
	}
	for _, x := range []struct{ kind, number string }{
		{"", "110101199001011234"}, {"", "11010119900101123"}, {"", "1101011990010112377"},
		{`"holder_kind":"resident_id",`, "E12345678"}, {`"holder_kind":"temporary_resident_id",`, "110101199001011234"},
		{"", " E12345678"},
	} {
		for _, path := range []string{"/v1/desk/accounts", "/v1/desk/accounts:bulk"} {
			body := with(x.kind, x.number)
			if strings.HasSuffix(path, "bulk") {
				body = `{"unit":"u","people":[` + body + `]}`
			}
			a := c.ask("li.lei", "desk", "POST", path, body)
			if !strings.Contains(a.raw, "body_invalid") || !strings.Contains(a.raw, "field holder:") ||
				strings.Contains(a.raw, strings.TrimSpace(x.number)) {
				t.Errorf("%s%s: %d %s", x.kind, x.number, a.status, a.raw)
			}
		}
	}
	if a := c.ask("li.lei", "desk", "POST", "/v1/desk/accounts", with(`"holder_kind":"library_card",`, "E12345678")); a.status != 400 ||
		!strings.Contains(a.raw, "passport") {
		t.Errorf("kinds are not named: %d %s", a.status, a.raw)
	}
	c.must("li.lei", "desk", "POST", "/v1/desk/accounts", with(`"holder_kind":"passport",`, "E12345678"))
	if got := paperWant(account.MilitaryID, "110101199001011234", time.Now()); got != "" {
		t.Errorf("a number that is named otherwise: %s", got)
	}
}
