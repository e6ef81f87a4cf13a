package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/tapswitch/tapswitch/switch/bank/audit"
	"github.com/tapswitch/tapswitch/switch/gate"
	"github.com/tapswitch/tapswitch/switch/store"
)

// Who may change something at the bank edge over the admin address: the operators of the gate,
// with their tokens. What only reads needs none, as everything on that address.

// The calls that change something, with the roles of which one is needed.
var (
	rolesOfMoney = []gate.Role{gate.RoleFinance, gate.RoleAdmin} // dead letters, totals
	rolesOfKeys  = []gate.Role{gate.RoleAdmin}
)

// bearerMax bounds a token as sent.
const bearerMax = 128

// Refusals of a call; the HTTP status goes with them.
var (
	errNoToken  = errors.New("no operator's token: give --token-file or set TAPSWITCH_TOKEN")
	errBadToken = errors.New("no operator has this token")
)

// roleError is a refusal of an operator who has none of the roles.
type roleError struct {
	name  string
	roles []gate.Role
}

func (e *roleError) Error() string {
	return fmt.Sprintf("operator %s has none of the roles %v", e.name, e.roles)
}

// recognize returns the operator who makes a call, with the first of roles that he has.
func recognize(ctx context.Context, registry store.Registry, r *http.Request, roles []gate.Role) (
	who audit.Actor, err error,
) {
	headers := r.Header.Values("Authorization")
	if len(headers) == 0 {
		return who, errNoToken
	}
	token, ok := strings.CutPrefix(headers[0], "Bearer ")
	if !ok || len(headers) > 1 || len(token) > bearerMax {
		return who, errBadToken
	}
	// The gate keeps operators under the SHA-256 of their tokens (see gate.CreateOperator).
	sum := sha256.Sum256([]byte(token))
	value, _, err := registry.Get(ctx, "operator/"+hex.EncodeToString(sum[:]))
	if err != nil {
		return who, fmt.Errorf("recognizing an operator: %w", err)
	}
	var operator struct {
		Name  string      `json:"name"`
		Roles []gate.Role `json:"roles"`
	}
	if len(value) == 0 || json.Unmarshal(value, &operator) != nil || operator.Name == "" {
		return who, errBadToken
	}
	for _, role := range roles {
		if slices.Contains(operator.Roles, role) {
			return audit.Actor{Name: operator.Name, Role: string(role)}, nil
		}
	}
	return who, &roleError{operator.Name, roles}
}

// statusOfOperator is the HTTP status of a refusal, 0 for what is none.
func statusOfOperator(err error) int {
	var role *roleError
	switch {
	case errors.Is(err, errNoToken), errors.Is(err, errBadToken):
		return http.StatusUnauthorized
	case errors.As(err, &role):
		return http.StatusForbidden
	}
	return 0
}
