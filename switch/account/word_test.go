package account

import (
	"strings"
	"testing"
	"unicode"
)

// words proves that every value of an enum has a name of its own that reads back.
func words[T ~uint8](t *testing.T, what string, end T, name func(T) string,
	read func(string) (T, error)) {
	t.Helper()
	seen := map[string]bool{}
	for v := range end {
		s := name(v)
		if seen[s] || strings.HasPrefix(s, "unknown") || s != strings.ToLower(s) {
			t.Errorf("%s %d: %q", what, v, s)
		}
		seen[s] = true
		if read == nil {
			continue
		}
		if back, err := read(s); v > 0 && (err != nil || back != v) || v == 0 && err == nil {
			t.Errorf("%s %q: %v, %v", what, s, back, err)
		}
	}
	if s := name(end); !strings.HasPrefix(s, "unknown(") {
		t.Errorf("%s %d: %q", what, end, s)
	}
	if read != nil {
		if _, err := read("nobody"); err == nil {
			t.Errorf("%s: an unknown word was read", what)
		}
	}
}

func TestWords(t *testing.T) {
	words(t, "actor", actorEnd, Actor.String, ParseActor)
	words(t, "channel", channelEnd, Channel.String, ParseChannel)
	words(t, "form", formEnd, Form.String, ParseForm)
	words(t, "identity paper", idEnd, IDKind.String, ParseIDKind)
	words(t, "carrier kind", carrierEnd, CarrierKind.String, ParseCarrierKind)
	words(t, "carrier status", statusEnd, CarrierStatus.String, nil)
	words(t, "ground", groundEnd, Ground.String, ParseGround)
	words(t, "fault", faultEnd, Fault.String, ParseFault)
	words(t, "event", eventEnd, Event.String, ParseEvent)
	words(t, "field", fieldEnd, Field.String, ParseField)
	words(t, "affair", affairEnd, Affair.String, ParseAffair)
	words(t, "number", numberEnd, NumberKind.String, ParseNumberKind)
	words(t, "fee state", feeStateEnd, FeeState.String, nil)
	words(t, "case kind", caseEnd, CaseKind.String, ParseCaseKind)
	words(t, "case state", caseStateEnd, CaseState.String, nil)
	words(t, "effect", effectEnd, EffectKind.String, nil)
	words(t, "notice", noticeEnd, Notice.String, nil)
	words(t, "stage", stageEnd, Stage.String, nil)
	words(t, "closing", closingEnd, Closing.String, ParseClosing)
	words(t, "after refusal", afterRefusalEnd, AfterRefusal.String, ParseAfterRefusal)
	words(t, "boundary", boundaryEnd, Boundary.String, ParseBoundary)
	// Numbers stand on disk.
	if Lapsed != 9 || CaseRisk != 13 || BookLiability != 10 || NoticeExpired != 10 ||
		Unbound != 7 || OtherGood != 8 || OpenCases != 7 {
		t.Error("a number changed")
	}
}

func TestSets(t *testing.T) {
	s := SetOf(Holder, Heir)
	if !s.Has(Holder) || s.Has(Agent) || s.Has(40) || len(s.Values()) != 2 || s.Values()[1] != Heir {
		t.Errorf("%v", s.Values())
	}
	for a := AffairNone + 1; a < affairEnd; a++ {
		if !known.Has(a) {
			t.Errorf("%s is not known", a)
		}
	}
	if known.Has(AffairNone) || known.Has(affairEnd) {
		t.Error("more is known than there is")
	}
}

// Every refusal has a code of its own and a sentence in each language.
func TestRefusalTexts(t *testing.T) {
	codes := map[string]Refusal{}
	for _, r := range append(Refusals(), RefusalNone) {
		text := r.Text()
		if other, twice := codes[text.Code]; twice || text.Code == "" || text.English == "" {
			t.Errorf("%d: %+v, also %d", r, text, other)
		}
		codes[text.Code] = r
		if !strings.ContainsFunc(text.Chinese, func(c rune) bool { return unicode.Is(unicode.Han, c) }) ||
			!r.Valid() || r.String() != text.Code {
			t.Errorf("%d: %+v", r, text)
		}
	}
	if refusalEnd.Valid() || !strings.HasPrefix(refusalEnd.String(), "refusal(") {
		t.Error("an unknown refusal is valid")
	}
	if !Replaced.Dead() || !Cancelled.Dead() || Expired.Dead() || ReportedLost.Dead() {
		t.Error("dead carriers")
	}
}
