package gate

import "testing"

// A product rule: a release takes two persons, and nobody can be both.
func TestDuty_ReleaseTakesTwoPersons(t *testing.T) { TestReleaseTakesTwo(t) }

// SY9, ZZ10: the terminal is told how to say the result to holders who see or hear less well.
func TestDuty_SY9_AnswersCanBeSeenAndHeard(t *testing.T) {
	r := newRig(t, nil)
	d := r.terminal("GATE01")
	r.enrol(d, cardA)
	purchase := fieldsOf("id", r.id(d), "card", cardA, "amount", 99999, "service_time", r.serviceTime())
	for sound, a := range map[string]reply{
		"accepted": r.send(d, "/v1/taps", r.tapBody(d, cardA)),
		"refused":  r.send(d, "/v1/purchases", purchase),
	} {
		shown, _ := a.field("display").(map[string]any)
		if shown["sound"] != sound || shown["large_text"] != true || shown["seconds"] != 5.0 {
			t.Errorf("%s: %v", a.field("outcome"), a.field("display"))
		}
		if message, _ := a.field("message_zh").(string); message == "" {
			t.Error("nothing to be shown or read out")
		}
	}
}
