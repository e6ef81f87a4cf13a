package session

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// hands is a clock that a test moves.
type hands struct{ at time.Time }

func (h *hands) now() time.Time { return h.at }

func newHands() *hands { return &hands{time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)} }

func begin(t *testing.T, s *Store, name string) string {
	t.Helper()
	secret, err := s.Begin(Person{Name: name, Roles: []string{"finance"}}, SumOf("token of "+name))
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

func TestASessionEndsWhenIdle(t *testing.T) {
	h := newHands()
	s := New(Options{Idle: 10 * time.Minute, Absolute: time.Hour, Now: h.now})
	secret := begin(t, s, "li")
	h.at = h.at.Add(9 * time.Minute)
	if one, ok := s.Use(secret); !ok || one.Person.Name != "li" {
		t.Fatalf("%v %v", one, ok)
	}
	h.at = h.at.Add(9 * time.Minute) // since the last use
	if _, ok := s.Use(secret); !ok {
		t.Fatal("use does not keep a session alive")
	}
	h.at = h.at.Add(10 * time.Minute)
	if _, ok := s.Use(secret); ok {
		t.Error("an idle session lives")
	}
	h.at = h.at.Add(-time.Minute)
	if _, ok := s.Use(secret); ok {
		t.Error("a session that ended came back")
	}
}

func TestASessionEndsAbsolutely(t *testing.T) {
	h := newHands()
	s := New(Options{Idle: 10 * time.Minute, Absolute: time.Hour, Now: h.now})
	secret := begin(t, s, "li")
	for range 11 {
		h.at = h.at.Add(5 * time.Minute)
		if _, ok := s.Use(secret); !ok {
			t.Fatalf("ended after %s", h.at)
		}
	}
	h.at = h.at.Add(5 * time.Minute)
	if _, ok := s.Use(secret); ok {
		t.Error("a session outlives its hour")
	}
}

func TestSignInMakesANewSecret(t *testing.T) {
	s := New(Options{})
	a, b := begin(t, s, "li"), begin(t, s, "li")
	if a == b || len(a) < 43 {
		t.Errorf("%q %q", a, b)
	}
	one, _ := s.Use(a)
	two, _ := s.Use(b)
	if one.CSRF == two.CSRF || !one.Permits(one.CSRF) || one.Permits(two.CSRF) || one.Permits("") {
		t.Error("secrets of forms are not each session's own")
	}
	if _, ok := s.Use("planted"); ok {
		t.Error("an unknown secret is a session")
	}
	s.End(&one)
	if _, ok := s.Use(a); ok {
		t.Error("an ended session lives")
	}
	if _, ok := s.Use(b); !ok {
		t.Error("ending one session ended another")
	}
}

func TestSessionsOfAPersonAreBounded(t *testing.T) {
	h := newHands()
	s := New(Options{Now: h.now})
	var all []string
	for range PersonMax + 1 {
		h.at = h.at.Add(time.Second)
		all = append(all, begin(t, s, "li"))
	}
	if _, ok := s.Use(all[0]); ok || s.Len() != PersonMax {
		t.Errorf("the oldest lives, %d sessions", s.Len())
	}
	for _, secret := range all[1:] {
		if _, ok := s.Use(secret); !ok {
			t.Error("a later one ended")
		}
	}
}

func TestSessionsFull(t *testing.T) {
	h := newHands()
	s := New(Options{Now: h.now})
	for i := range SessionsMax {
		begin(t, s, fmt.Sprint("p", i))
	}
	if _, err := s.Begin(Person{Name: "late"}, Sum{}); !errors.Is(err, ErrFull) {
		t.Fatalf("%v", err)
	}
	h.at = h.at.Add(time.Hour)
	begin(t, s, "late") // the others are over
	if s.Len() != 1 {
		t.Errorf("%d", s.Len())
	}
}

func TestTheOperatorIsLookedUpAgain(t *testing.T) {
	h := newHands()
	s := New(Options{Now: h.now})
	secret := begin(t, s, "li")
	one, _ := s.Use(secret)
	if s.Stale(&one) {
		t.Error("stale at once")
	}
	h.at = h.at.Add(RenewEvery)
	one, _ = s.Use(secret)
	if !s.Stale(&one) {
		t.Fatal("not stale")
	}
	s.Renew(&one, Person{Name: "li", Roles: []string{"viewer"}})
	one, _ = s.Use(secret)
	if s.Stale(&one) || one.Person.HasAny([]string{"finance"}) || !one.Person.HasAny([]string{"desk", "viewer"}) {
		t.Errorf("%+v", one.Person)
	}
}

func TestThrottle(t *testing.T) {
	h := newHands()
	th := NewThrottle(h.now)
	for i := range TriesMax {
		if ok, _ := th.Allows("a"); !ok {
			t.Fatalf("refused at %d", i)
		}
		th.Failed("a")
	}
	ok, wait := th.Allows("a")
	if ok || wait <= 0 || wait > TriesWindow {
		t.Errorf("%v %s", ok, wait)
	}
	if ok, _ := th.Allows("b"); !ok {
		t.Error("another address pays")
	}
	h.at = h.at.Add(TriesWindow)
	if ok, _ := th.Allows("a"); !ok {
		t.Error("for ever")
	}
}

func TestThrottleOfAll(t *testing.T) {
	th := NewThrottle(newHands().now)
	for i := range AllTriesMax {
		th.Failed(fmt.Sprint("a", i))
	}
	if ok, _ := th.Allows("fresh"); ok {
		t.Error("many addresses guess together")
	}
	for i := range 2 * addressesMax {
		th.Failed(fmt.Sprint("m", i))
	}
	if len(th.by) > addressesMax+1 {
		t.Errorf("%d addresses are remembered", len(th.by))
	}
}
