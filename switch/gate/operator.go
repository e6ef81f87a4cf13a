package gate

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tapswitch/tapswitch/switch/gate/refusal"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Role is what an operator may do; the routes name the roles that they take.
type Role string

// The roles.
const (
	// RoleDesk enrols cards, freezes them, and asks for releases.
	RoleDesk Role = "desk"
	// RoleDeskConfirm is the second person of a release.
	RoleDeskConfirm Role = "desk_confirm"
	// RoleVendor keeps terminals.
	RoleVendor Role = "vendor"
	// RoleFinance has no call of this edge; the ledger's console takes it.
	RoleFinance Role = "finance"
	// RoleAdmin enrols cards and keeps terminals.
	RoleAdmin Role = "admin"
	// RoleViewer sees cards, releases and terminals, and changes nothing.
	RoleViewer Role = "viewer"
	// RoleAuthority suspends the application of its own department and restores it (SY17).
	RoleAuthority Role = "authority"
	// RoleSupervisor reads cases, figures and audit, and changes nothing (SY11, ZZ12).
	RoleSupervisor Role = "supervisor"
)

// Roles returns all roles.
func Roles() []Role {
	return []Role{RoleDesk, RoleDeskConfirm, RoleVendor, RoleFinance, RoleAdmin, RoleViewer, RoleAuthority,
		RoleSupervisor}
}

// ParseRole reads a role's name.
func ParseRole(s string) (Role, error) {
	if r := Role(s); slices.Contains(Roles(), r) {
		return r, nil
	}
	return "", fmt.Errorf("unknown role %q, the roles are %v", s, Roles())
}

const operatorPrefix = "operator/"

// operatorNameMax leaves room for two names in the 64 bytes of a blacklist entry's actor.
const operatorNameMax = 31

// operator is a person as it stands in the registry, under the SHA-256 of the token.
type operator struct {
	Name      string     `json:"name"`
	Roles     []Role     `json:"roles"`
	CreatedAt txn.Millis `json:"created_at"`
}

// ErrOperator reports an operator that cannot be created; the error says why.
var ErrOperator = errors.New("operator cannot be created")

func (o *operator) hasAny(roles []Role) bool {
	return slices.ContainsFunc(o.Roles, func(r Role) bool { return slices.Contains(roles, r) })
}

// CreateOperator creates a token for the person called name with roles and returns it. The
// registry keeps the token's SHA-256 only, so it cannot be shown again. Two persons are
// told apart by their names: a release wants two names. A name may have several tokens; the
// call that makes one for a person over HTTP takes back the others.
func CreateOperator(ctx context.Context, registry store.Registry, name string,
	roles []Role) (token string, err error) {
	if err := checkOperator(name, roles); err != nil {
		return "", err
	}
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails: the runtime ends the process instead
	token = tokenPrefix + base64.RawURLEncoding.EncodeToString(secret)
	value, err := json.Marshal(operator{Name: name, Roles: roles, CreatedAt: wallClock()})
	if err != nil {
		return "", fmt.Errorf("operator %s: %w", name, err)
	}
	sum := sha256.Sum256([]byte(token))
	if err := registry.Put(ctx, operatorKey(sum), value, 0); err != nil {
		return "", fmt.Errorf("operator %s: %w", name, err)
	}
	return token, nil
}

// RevokeOperator removes every token of the person called name and returns how many there
// were. A gate that knows a token forgets it within Limits.RefreshEvery.
func RevokeOperator(ctx context.Context, registry store.Registry, name string) (int, error) {
	return revokeTokens(ctx, registry, name, "")
}

// revokeTokens removes the tokens of a person but one.
func revokeTokens(ctx context.Context, registry store.Registry, name, but string) (int, error) {
	kept := ""
	if but != "" {
		kept = operatorKey(sha256.Sum256([]byte(but)))
	}
	revoked := 0
	err := eachOperator(ctx, registry, func(key string, version uint64, o *operator) error {
		if o.Name != name || key == kept {
			return nil
		}
		if err := registry.Put(ctx, key, nil, version); err != nil {
			return err
		}
		revoked++
		return nil
	})
	if err != nil {
		return revoked, fmt.Errorf("revoking operator %s: %w", name, err)
	}
	return revoked, nil
}

// eachOperator calls do for every token.
func eachOperator(ctx context.Context, registry store.Registry,
	do func(key string, version uint64, o *operator) error) error {
	keys, err := registry.Keys(ctx, operatorPrefix)
	if err != nil {
		return fmt.Errorf("reading operators: %w", err)
	}
	for _, key := range keys {
		value, version, err := registry.Get(ctx, key)
		if err != nil {
			return fmt.Errorf("reading operators: %w", err)
		}
		var o operator
		if json.Unmarshal(value, &o) != nil {
			continue
		}
		if err := do(key, version, &o); err != nil {
			return err
		}
	}
	return nil
}

func checkOperator(name string, roles []Role) error {
	if name == "" || len(name) > operatorNameMax || holdsNumber([]byte(name)) ||
		!plainParam([]byte(name)) {
		return fmt.Errorf("%w: name %q: want 1 to %d characters of 0-9 A-Z a-z _ . -",
			ErrOperator, name, operatorNameMax)
	}
	if len(roles) == 0 {
		return fmt.Errorf("%w: %s has no role", ErrOperator, name)
	}
	for _, r := range roles {
		if _, err := ParseRole(string(r)); err != nil {
			return fmt.Errorf("%w: %w", ErrOperator, err)
		}
	}
	return nil
}

// tokenPrefix lets secret scanners find a token that leaked.
const tokenPrefix = "tapswitch_"

// tokenMax bounds a token as sent.
const tokenMax = 128

func operatorKey(sum [sha256.Size]byte) string {
	return operatorPrefix + hex.EncodeToString(sum[:])
}

// operators recognizes tokens. What the registry said is kept for the time of a refresh.
type operators struct {
	registry store.Registry
	fresh    time.Duration

	mu    sync.Mutex // guards known
	known map[[sha256.Size]byte]knownOperator
}

type knownOperator struct {
	operator *operator // nil: no such token
	until    time.Time
}

// operatorsMax bounds the tokens kept in memory, valid or not.
const operatorsMax = 4096

func newOperators(registry store.Registry, fresh time.Duration) *operators {
	return &operators{registry: registry, fresh: fresh,
		known: make(map[[sha256.Size]byte]knownOperator)}
}

// forget makes every token be looked up anew.
func (o *operators) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.known)
}

// find returns the operator of a token, nil when there is none.
func (o *operators) find(ctx context.Context, token []byte) (*operator, error) {
	sum := sha256.Sum256(token)
	now := time.Now()
	o.mu.Lock()
	k, ok := o.known[sum]
	o.mu.Unlock()
	if ok && now.Before(k.until) {
		return k.operator, nil
	}
	value, version, err := o.registry.Get(ctx, operatorKey(sum))
	if err != nil {
		return nil, fmt.Errorf("recognizing an operator: %w", err)
	}
	k = knownOperator{until: now.Add(o.fresh)}
	if version > 0 && len(value) > 0 {
		k.operator = new(operator)
		if err := json.Unmarshal(value, k.operator); err != nil {
			return nil, fmt.Errorf("recognizing an operator: registry value: %w", err)
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.known) >= operatorsMax {
		clear(o.known)
	}
	o.known[sum] = k
	return k.operator, nil
}

// recognize returns the operator who makes a call, if one of the roles allows it.
func (s *Server) recognize(x *call) (*operator, refusal.Value) {
	var value []byte
	for name, v := range x.http.Request.Header.All() {
		if string(name) != "Authorization" {
			continue
		}
		if value != nil {
			return nil, refusal.For(refusal.TokenInvalid) // doubled
		}
		value = v
	}
	token, ok := bytes.CutPrefix(value, []byte("Bearer "))
	switch {
	case value == nil:
		return nil, refusal.For(refusal.TokenMissing)
	case !ok || len(token) > tokenMax:
		return nil, refusal.For(refusal.TokenInvalid)
	}
	who, err := s.operators.find(x.ctx, token)
	switch {
	case err != nil:
		return nil, s.registryFault(err)
	case who == nil:
		return nil, refusal.For(refusal.TokenInvalid)
	case !who.hasAny(x.route.roles):
		s.log.Warn("operator refused", "actor", who.Name, "call", x.route.String(),
			"code", refusal.RoleNotPermitted.String())
		return who, refusal.For(refusal.RoleNotPermitted)
	}
	return who, refusal.Value{}
}
