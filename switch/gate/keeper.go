package gate

import (
	"encoding/hex"
	"errors"
	"slices"
	"strconv"

	"github.com/valyala/fasthttp"

	"github.com/tapswitch/tapswitch/switch/gate/fields"
	"github.com/tapswitch/tapswitch/switch/gate/refusal"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// The calls that keep the terminals and the operators. Each changes the registry by compare-and-set and
// takes effect at once here, and within Limits.RefreshEvery in other processes.

// namedTerminal reads the terminal of the path. The record's version is 0 when there is
// none.
func (s *Server) namedTerminal(x *call) (id txn.TerminalID, r terminalRecord, version uint64,
	why refusal.Value) {
	id, err := txn.ParseTerminalID(string(x.param))
	if err != nil || id == deskTerminal() {
		return id, r, 0, refusal.For(refusal.TerminalNotFound)
	}
	r, version, err = s.directory.read(x.ctx, id)
	if err != nil {
		return id, r, 0, s.registryFault(err)
	}
	r.ID = id.String()
	return id, r, version, refusal.Value{}
}

// putTerminal serves PUT /v1/terminals/{id}: a new terminal gets a key, which is shown
// this once; a known one is changed and keeps its key.
func (s *Server) putTerminal(x *call) refusal.Value {
	o := &x.object
	if why := o.Parse(x.body, x.route.schema); why.IsSet() {
		return why
	}
	id, r, version, why := s.namedTerminal(x)
	if why.IsSet() {
		return why
	}
	r.Terminal = Terminal{ID: id.String(), Operator: string(o.Bytes(fields.Operator)),
		Line: string(o.Bytes(fields.Line)), Station: string(o.Bytes(fields.Station)),
		Merchant: string(o.Bytes(fields.Merchant)), MCC: string(o.Bytes(fields.MCC)),
		Acquirer: string(o.Bytes(fields.Acquirer))}
	for _, kind := range o.List(fields.Kinds) {
		r.Kinds = append(r.Kinds, string(kind))
	}
	if _, err := parseKinds(r.Kinds); err != nil {
		return refusal.Field(refusal.KindInvalid, fields.Kinds.String())
	}
	if _, err := r.check(); err != nil {
		return refusal.For(refusal.FieldInvalid)
	}
	var key []byte
	if version == 0 {
		key = newKey()
		r.Key, r.KeyVersion = s.directory.seal.seal(r.ID, key), 1
		x.status = fasthttp.StatusCreated
	}
	return s.changeTerminal(x, change{id, &r, version, "put_terminal", key})
}

// change is a terminal's record on its way to the registry.
type change struct {
	id      txn.TerminalID
	record  *terminalRecord
	version uint64
	action  string
	key     []byte // shown once, when there is a new one
}

// changeTerminal writes the record, logs the action and answers.
func (s *Server) changeTerminal(x *call, c change) refusal.Value {
	c.record.ChangedAt = x.received
	if err := s.directory.write(x.ctx, c.id, c.record, c.version); err != nil {
		x.status = fasthttp.StatusOK
		if errors.Is(err, store.ErrConflict) {
			return refusal.For(refusal.RegistryConflict)
		}
		return s.registryFault(err)
	}
	s.log.Info("operator", "actor", x.actor.Name, "action", c.action,
		"terminal", c.id.String(), "key_version", c.record.KeyVersion)
	x.out = c.record.append(x.out, c.key)
	clear(c.key)
	return refusal.Value{}
}

// append appends the terminal as JSON, with key where it is to be shown.
func (r *terminalRecord) append(dst, key []byte) []byte {
	dst = appendText(append(dst, `{"terminal":`...), r.ID)
	if key != nil {
		dst = hex.AppendEncode(append(dst, `,"key":"`...), key)
		dst = append(dst, '"')
	}
	dst = appendMember(dst, "operator", r.Operator)
	dst = appendMember(dst, "line", r.Line)
	dst = appendMember(dst, "station", r.Station)
	dst = appendMember(dst, "merchant", r.Merchant)
	dst = appendMember(dst, "mcc", r.MCC)
	dst = appendMember(dst, "acquirer", r.Acquirer)
	dst = appendTexts(append(dst, `,"kinds":`...), r.Kinds)
	dst = strconv.AppendInt(append(dst, `,"key_version":`...), int64(r.KeyVersion), 10)
	if r.OldUntil != 0 {
		dst = appendInstant(append(dst, `,"old_key_until":`...), r.OldUntil)
	}
	dst = strconv.AppendBool(append(dst, `,"revoked":`...), r.Revoked)
	dst = appendInstant(append(dst, `,"changed_at":`...), r.ChangedAt)
	return append(dst, '}')
}

// showTerminal serves GET /v1/terminals/{id}.
func (s *Server) showTerminal(x *call) refusal.Value {
	_, r, version, why := s.namedTerminal(x)
	if why.IsSet() {
		return why
	}
	if version == 0 {
		return refusal.For(refusal.TerminalNotFound)
	}
	x.out = r.append(x.out, nil)
	return refusal.Value{}
}

// rotateTerminal serves POST /v1/terminals/{id}:rotate: a new key, shown this once. The
// old one stays valid for Limits.KeyOverlap, unless it was revoked.
func (s *Server) rotateTerminal(x *call) refusal.Value {
	id, r, version, why := s.namedTerminal(x)
	if why.IsSet() {
		return why
	}
	if version == 0 {
		return refusal.For(refusal.TerminalNotFound)
	}
	key := newKey()
	r.OldKey, r.OldUntil = r.Key, x.received+txn.Millis(s.limits.KeyOverlap.Milliseconds())
	if r.Revoked || len(r.Key) == 0 {
		r.OldKey, r.OldUntil = nil, 0
	}
	r.Key, r.Revoked = s.directory.seal.seal(r.ID, key), false
	r.KeyVersion++
	return s.changeTerminal(x, change{id, &r, version, "rotate_terminal", key})
}

// revokeTerminal serves POST /v1/terminals/{id}:revoke: no key of the terminal is valid
// any more, and none is kept.
func (s *Server) revokeTerminal(x *call) refusal.Value {
	id, r, version, why := s.namedTerminal(x)
	if why.IsSet() {
		return why
	}
	if version == 0 {
		return refusal.For(refusal.TerminalNotFound)
	}
	r.Key, r.OldKey, r.OldUntil, r.Revoked = nil, nil, 0, true
	return s.changeTerminal(x, change{id, &r, version, "revoke_terminal", nil})
}

// putOperator serves PUT /v1/operators/{id}: a token for the person of that name, shown
// this once. It takes the place of what the person had: tokens and roles of before are gone.
func (s *Server) putOperator(x *call) refusal.Value {
	if why := x.object.Parse(x.body, x.route.schema); why.IsSet() {
		return why
	}
	var roles []Role
	for _, text := range x.object.List(fields.Roles) {
		role, err := ParseRole(string(text))
		if err != nil {
			return refusal.Field(refusal.FieldInvalid, fields.Roles.String())
		}
		roles = append(roles, role)
	}
	name := string(x.param)
	if !slices.Contains(roles, RoleAdmin) {
		if why := s.keepAnAdmin(x, name); why.IsSet() {
			return why
		}
	}
	token, err := CreateOperator(x.ctx, s.registry, name, roles)
	switch {
	case errors.Is(err, ErrOperator):
		return refusal.For(refusal.FieldInvalid)
	case err != nil:
		return s.registryFault(err)
	}
	// Should this fail the person has both for now, and whoever asks is told to ask again.
	if _, err := revokeTokens(x.ctx, s.registry, name, token); err != nil {
		return s.registryFault(err)
	}
	s.operators.forget()
	s.log.Info("operator", "actor", x.actor.Name, "action", "put_operator", "name", name,
		"roles", roles)
	x.status = fasthttp.StatusCreated
	x.out = appendText(append(x.out, `{"name":`...), name)
	x.out = append(x.out, `,"roles":[`...)
	for i, role := range roles {
		if i > 0 {
			x.out = append(x.out, ',')
		}
		x.out = appendText(x.out, string(role))
	}
	x.out = appendMember(append(x.out, ']'), "token", token)
	x.out = append(x.out, '}')
	return refusal.Value{}
}

// revokeOperator serves POST /v1/operators/{id}:revoke: no token of the person is valid any
// more. Other processes follow within Limits.RefreshEvery.
func (s *Server) revokeOperator(x *call) refusal.Value {
	name := string(x.param)
	if why := s.keepAnAdmin(x, name); why.IsSet() {
		return why
	}
	n, err := RevokeOperator(x.ctx, s.registry, name)
	switch {
	case err != nil:
		return s.registryFault(err)
	case n == 0:
		return refusal.For(refusal.OperatorNotFound)
	}
	s.operators.forget()
	s.log.Info("operator", "actor", x.actor.Name, "action", "revoke_operator", "name", name,
		"tokens", n)
	x.out = appendText(append(x.out, `{"name":`...), name)
	x.out = strconv.AppendInt(append(x.out, `,"revoked":`...), int64(n), 10)
	x.out = append(x.out, '}')
	return refusal.Value{}
}

// keepAnAdmin refuses to take the role of admin from the only person who has it: nobody
// could let anybody in any more.
func (s *Server) keepAnAdmin(x *call, name string) refusal.Value {
	is, others := false, false
	err := eachOperator(x.ctx, s.registry, func(_ string, _ uint64, o *operator) error {
		admin := slices.Contains(o.Roles, RoleAdmin)
		is = is || admin && o.Name == name
		others = others || admin && o.Name != name
		return nil
	})
	switch {
	case err != nil:
		return s.registryFault(err)
	case is && !others:
		return refusal.For(refusal.LastAdmin)
	}
	return refusal.Value{}
}
