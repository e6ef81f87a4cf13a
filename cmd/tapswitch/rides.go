package main

import (
	"net/http"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/gate"
	"github.com/tapswitch/tapswitch/switch/ridedesk"
)

// rideMount is what holders ask for about their rides, at a desk.
func (n *node) rideMount(asked gate.Engine, tokenizer *pan.Tokenizer) gate.Mount {
	return gate.Mount{Prefix: ridedesk.Prefix, Handler: ridedesk.New(ridedesk.Options{
		Engine: asked, Tokenizer: tokenizer, Now: n.clock.now, Currency: n.engine.Policy().Currency,
		Roles: []string{string(gate.RoleDesk), string(gate.RoleAdmin)}, Log: n.log,
		Operator: func(r *http.Request) (string, []string) {
			return r.Header.Get(gate.HeaderActor), r.Header.Values(gate.HeaderRoles)
		},
	})}
}
