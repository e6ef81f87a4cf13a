// Package session keeps who is signed in at the console, in memory of this process.
//
// A session is known by a secret that only the browser holds: the store keeps its SHA-256, and
// likewise the SHA-256 of the operator's token, never the token. A session ends when nobody
// used it for Options.Idle, Options.Absolute after it began whatever was done, when it is
// ended, or with the process. Signing in always makes a new secret, so a secret that somebody
// planted in a browser is worth nothing afterwards. Each session has a second secret, which
// every form must bring along (CSRF). Safe for concurrent use; it starts no goroutine, reads no
// clock but Options.Now and refuses, rather than forgets others, when SessionsMax are alive.
package session

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Limits.
const (
	// SessionsMax bounds the sessions of all persons: more than a clearing house has screens.
	SessionsMax = 1000
	// PersonMax bounds the sessions of one person; the one longest unused ends for a new one.
	PersonMax = 5
	// RenewEvery is how often a session asks whether its operator is still one.
	RenewEvery = 30 * time.Second
)

// ErrFull reports that SessionsMax are alive: wait until some have ended.
var ErrFull = errors.New("too many sessions are open: try again in some minutes")

// Sum is the SHA-256 of a secret.
type Sum = [sha256.Size]byte

// SumOf returns the SHA-256 of a secret.
func SumOf(secret string) Sum { return sha256.Sum256([]byte(secret)) }

// Person is who is signed in.
type Person struct {
	Name  string
	Roles []string
}

// HasAny reports whether the person has one of the roles.
func (p *Person) HasAny(roles []string) bool {
	return slices.ContainsFunc(p.Roles, func(r string) bool { return slices.Contains(roles, r) })
}

// Session is a copy of one session.
type Session struct {
	Person Person
	// Token is the SHA-256 of the operator's token, by which it is looked up again.
	Token Sum
	// CSRF is the secret that every form of the session brings along.
	CSRF string
	// Began and Used are when it was made and last used.
	Began, Used time.Time
	// Checked is when the operator was last looked up.
	Checked time.Time

	id Sum
}

// Options of New; zero durations take the defaults.
type Options struct {
	// Idle is after how long without use a session ends. Default 15 minutes.
	Idle time.Duration
	// Absolute is after how long it ends in any case. Default 8 hours.
	Absolute time.Duration
	// Now is the clock; nil for the system's.
	Now func() time.Time
}

// Store keeps the sessions.
type Store struct {
	o Options

	mu   sync.Mutex // guards live
	live map[Sum]*Session
}

// New returns an empty store.
func New(o Options) *Store {
	if o.Idle <= 0 {
		o.Idle = 15 * time.Minute
	}
	if o.Absolute <= 0 {
		o.Absolute = 8 * time.Hour
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Store{o: o, live: make(map[Sum]*Session)}
}

// Secret returns a new secret of 256 bits as text.
func Secret() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails: the runtime ends the process instead
	return base64.RawURLEncoding.EncodeToString(b)
}

// Begin signs a person in and returns the secret for the browser. Its error is ErrFull.
func (s *Store) Begin(p Person, token Sum) (secret string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.o.Now()
	s.sweepLocked(now)
	s.makeRoomLocked(p.Name)
	if len(s.live) >= SessionsMax {
		return "", fmt.Errorf("%w (limit %d)", ErrFull, SessionsMax)
	}
	secret = Secret()
	id := SumOf(secret)
	s.live[id] = &Session{Person: p, Token: token, CSRF: Secret(), Began: now, Used: now, Checked: now, id: id}
	return secret, nil
}

// sweepLocked removes what is over.
func (s *Store) sweepLocked(now time.Time) {
	for id, one := range s.live {
		if s.over(one, now) {
			delete(s.live, id)
		}
	}
}

// over reports whether a session has ended by time. A clock that went back ends nothing.
func (s *Store) over(one *Session, now time.Time) bool {
	return now.Sub(one.Used) >= s.o.Idle || now.Sub(one.Began) >= s.o.Absolute
}

// makeRoomLocked ends the session of a person that was longest unused when he has PersonMax.
func (s *Store) makeRoomLocked(name string) {
	var oldest *Session
	n := 0
	for _, one := range s.live {
		if one.Person.Name != name {
			continue
		}
		n++
		if oldest == nil || one.Used.Before(oldest.Used) {
			oldest = one
		}
	}
	if n >= PersonMax {
		delete(s.live, oldest.id)
	}
}

// Use returns the session of a browser's secret and notes that it was used. It reports false
// for a secret that is not known or whose session is over.
func (s *Store) Use(secret string) (Session, bool) {
	id := SumOf(secret)
	s.mu.Lock()
	defer s.mu.Unlock()
	one, now := s.live[id], s.o.Now()
	if one == nil {
		return Session{}, false
	}
	if s.over(one, now) {
		delete(s.live, id)
		return Session{}, false
	}
	one.Used = now
	return *one, true
}

// Stale reports whether the operator must be looked up again.
func (s *Store) Stale(one *Session) bool { return s.o.Now().Sub(one.Checked) >= RenewEvery }

// Renew notes what a new look at the operator gave.
func (s *Store) Renew(one *Session, p Person) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if kept := s.live[one.id]; kept != nil {
		kept.Person, kept.Checked = p, s.o.Now()
	}
	one.Person = p
}

// End ends a session.
func (s *Store) End(one *Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.live, one.id)
}

// Idle is after how long without use a session ends.
func (s *Store) Idle() time.Duration { return s.o.Idle }

// Len is how many sessions are kept.
func (s *Store) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.live)
}

// Permits reports whether a form brought the session's secret.
func (one *Session) Permits(csrf string) bool {
	return subtle.ConstantTimeCompare([]byte(one.CSRF), []byte(csrf)) == 1
}
