package gate

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/valyala/fasthttp"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/gate/fields"
	"github.com/tapswitch/tapswitch/switch/gate/refusal"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// A release takes two persons: one asks and another confirms. What waits stands in the
// registry, bound to the freeze that it is about: when the card was frozen anew in the
// meantime, the release has lapsed.

const releasePrefix = "release/"

// releaseKeep is how long a release that is over can still be asked about.
const releaseKeep txn.Millis = 24 * 60 * 60 * 1000

// pendingRelease is a release as it stands in the registry.
type pendingRelease struct {
	ID          string     `json:"-"`
	Card        string     `json:"card"` // token
	Last4       string     `json:"last4,omitempty"`
	Note        string     `json:"note"`
	FrozenSince txn.Millis `json:"frozen_since"`
	RequestedBy string     `json:"requested_by"`
	RequestedAt txn.Millis `json:"requested_at"`
	ExpiresAt   txn.Millis `json:"expires_at"`
	ConfirmedBy string     `json:"confirmed_by,omitempty"`
	ConfirmedAt txn.Millis `json:"confirmed_at,omitempty"`
}

// status returns the release's state at now.
func (p *pendingRelease) status(now txn.Millis) string {
	switch {
	case p.ConfirmedBy != "":
		return "released"
	case now >= p.ExpiresAt:
		return "expired"
	default:
		return "waiting_for_second_person"
	}
}

// requestRelease serves POST /v1/releases: the first person.
func (s *Server) requestRelease(x *call) refusal.Value {
	o := &x.object
	if why := o.Parse(x.body, x.route.schema); why.IsSet() {
		return why
	}
	var r txn.Request
	if why := s.chosenCard(o, &r); why.IsSet() {
		return why
	}
	note, err := readNote(o)
	if err != nil || note == "" {
		return refusal.Field(refusal.FieldInvalid, fields.Note.String())
	}
	entry, frozen, err := s.entries.Entry(x.ctx, r.Card)
	if err != nil {
		return s.storeFault(err)
	}
	if !frozen {
		return refusal.Value{Code: refusal.RequestRefused, Reason: txn.NotListed}
	}
	if why := card.Release(entry.Mark); why != txn.ReasonNone {
		return refusal.Value{Code: refusal.RequestRefused, Reason: why}
	}
	p := pendingRelease{
		ID: newReleaseID(), Card: r.Card.String(), Last4: r.Last4.String(), Note: note,
		FrozenSince: entry.Since, RequestedBy: x.actor.Name, RequestedAt: x.received,
		ExpiresAt: x.received + txn.Millis(s.limits.ReleaseWait.Milliseconds()),
	}
	if why := s.keepRelease(x, &p); why.IsSet() {
		return why
	}
	s.log.Info("operator", "actor", x.actor.Name, "action", "request_release",
		"release", p.ID, "token", p.Card, "last4", p.Last4, "note", p.Note)
	x.status = fasthttp.StatusAccepted
	x.out = p.append(x.out, x.received)
	return refusal.Value{}
}

// keepRelease writes a new release, unless too many wait already.
func (s *Server) keepRelease(x *call, p *pendingRelease) refusal.Value {
	all, err := s.readReleases(x.ctx, x.received)
	if err != nil {
		return s.registryFault(err)
	}
	waiting := 0
	for i := range all {
		if all[i].status(x.received) == p.status(x.received) {
			waiting++
		}
	}
	if waiting >= s.limits.ReleasesMax {
		return refusal.For(refusal.ReleasesFull)
	}
	if err := s.writeRelease(x.ctx, p, 0); err != nil {
		return s.registryFault(err)
	}
	return refusal.Value{}
}

func newReleaseID() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // never fails: the runtime ends the process instead
	return "r-" + hex.EncodeToString(b)
}

func (s *Server) writeRelease(ctx context.Context, p *pendingRelease, version uint64) error {
	value, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("release %s: %w", p.ID, err)
	}
	if err := s.registry.Put(ctx, releasePrefix+p.ID, value, version); err != nil {
		return fmt.Errorf("release %s: %w", p.ID, err)
	}
	return nil
}

// readRelease returns a release and its version, 0 when there is none.
func (s *Server) readRelease(ctx context.Context, key string) (p pendingRelease,
	version uint64, err error) {
	value, version, err := s.registry.Get(ctx, key)
	if err != nil {
		return p, 0, fmt.Errorf("reading releases: %w", err)
	}
	if version == 0 {
		return p, 0, nil
	}
	if err := json.Unmarshal(value, &p); err != nil {
		return p, 0, fmt.Errorf("registry %s cannot be read: %w", key, err)
	}
	p.ID = key[len(releasePrefix):]
	return p, version, nil
}

// readReleases returns all releases and removes those that were over for releaseKeep.
func (s *Server) readReleases(ctx context.Context, now txn.Millis) ([]pendingRelease, error) {
	keys, err := s.registry.Keys(ctx, releasePrefix)
	if err != nil {
		return nil, fmt.Errorf("reading releases: %w", err)
	}
	all := make([]pendingRelease, 0, len(keys))
	for _, key := range keys {
		p, version, err := s.readRelease(ctx, key)
		switch {
		case err != nil:
			return nil, err
		case version == 0:
			continue
		case now > p.ExpiresAt+releaseKeep:
			// A conflict means that somebody else removes it.
			err := s.registry.Put(ctx, key, nil, version)
			if err != nil && !errors.Is(err, store.ErrConflict) {
				return nil, fmt.Errorf("removing an old release: %w", err)
			}
			continue
		}
		all = append(all, p)
	}
	return all, nil
}

// listReleases serves GET /v1/releases: what waits for a second person.
func (s *Server) listReleases(x *call) refusal.Value {
	all, err := s.readReleases(x.ctx, x.received)
	if err != nil {
		return s.registryFault(err)
	}
	x.out = append(x.out, `{"releases":[`...)
	first := true
	for i := range all {
		if all[i].ConfirmedBy != "" || x.received >= all[i].ExpiresAt {
			continue
		}
		if !first {
			x.out = append(x.out, ',')
		}
		first = false
		x.out = all[i].append(x.out, x.received)
	}
	x.out = append(x.out, `]}`...)
	return refusal.Value{}
}

// append appends the release as JSON.
func (p *pendingRelease) append(dst []byte, now txn.Millis) []byte {
	dst = appendText(append(dst, `{"release":`...), p.ID)
	dst = appendMember(dst, "status", p.status(now))
	dst = appendMember(dst, "token", p.Card)
	if p.Last4 != "" {
		dst = appendMember(dst, "card", "****"+p.Last4)
	}
	dst = appendMember(dst, "note", p.Note)
	dst = appendMember(dst, "requested_by", p.RequestedBy)
	dst = appendInstant(append(dst, `,"requested_at":`...), p.RequestedAt)
	dst = appendInstant(append(dst, `,"expires_at":`...), p.ExpiresAt)
	dst = appendMember(dst, "confirmed_by", p.ConfirmedBy)
	if p.ConfirmedAt != 0 {
		dst = appendInstant(append(dst, `,"confirmed_at":`...), p.ConfirmedAt)
	}
	return append(dst, '}')
}

// confirmRelease serves POST /v1/releases/{id}/confirm: the second person.
func (s *Server) confirmRelease(x *call) refusal.Value {
	p, version, err := s.readRelease(x.ctx, releasePrefix+string(x.param))
	switch {
	case err != nil:
		return s.registryFault(err)
	case version == 0:
		return refusal.For(refusal.ReleaseUnknown)
	case p.RequestedBy == x.actor.Name:
		s.log.Warn("operator refused", "actor", x.actor.Name, "action", "confirm_release",
			"release", p.ID, "code", refusal.SamePerson.String())
		return refusal.For(refusal.SamePerson)
	case p.ConfirmedBy == x.actor.Name: // asked again after a lost reply
		x.out = p.append(x.out, x.received)
		return refusal.Value{}
	case p.ConfirmedBy != "" || x.received >= p.ExpiresAt:
		return refusal.For(refusal.ReleaseNotPending)
	}
	if why := s.release(x, &p); why.IsSet() {
		return why
	}
	p.ConfirmedBy, p.ConfirmedAt = x.actor.Name, x.received
	// The card is released. A conflict means that another person confirmed as well; a
	// fault leaves the release waiting, bound to a freeze that is gone.
	if err := s.writeRelease(x.ctx, &p, version); err != nil {
		s.log.Warn("a confirmed release could not be marked", "release", p.ID, "error", err)
	}
	x.out = p.append(x.out, x.received)
	return refusal.Value{}
}

// release takes the card off the blacklist, if the freeze is still the one that the first
// person saw.
func (s *Server) release(x *call, p *pendingRelease) refusal.Value {
	token, err := pan.ParseToken(p.Card)
	if err != nil {
		return s.registryFault(fmt.Errorf("release %s: %w", p.ID, err))
	}
	entry, frozen, err := s.entries.Entry(x.ctx, token)
	switch {
	case err != nil:
		return s.storeFault(err)
	case !frozen || entry.Since != p.FrozenSince:
		return refusal.For(refusal.ReleaseNotPending)
	}
	r := &x.request
	s.deskRequest(x, r, txn.Release)
	r.Card = token
	r.Last4, _ = pan.ParseLast4(p.Last4) // our own value; without it nothing is lost
	r.Listing.Actor = p.RequestedBy + "+" + x.actor.Name
	r.Listing.Note = p.Note
	x.mark(StageParse)
	a := s.engine.Authorize(x.ctx, r)
	x.mark(StageDecide)
	if why := s.verdict(r, &a); why.IsSet() {
		s.log.Warn("operator", "actor", x.actor.Name, "action", "confirm_release",
			"release", p.ID, "failed", why.Text().Name)
		return why
	}
	s.observer.Decided(x.route.number, a.Decision.Reason)
	s.audit(x, "confirm_release", r, a.Decision.Reason)
	if a.Decision.Outcome != txn.Approved {
		return refusal.Value{Code: refusal.RequestRefused, Reason: a.Decision.Reason}
	}
	return refusal.Value{}
}
