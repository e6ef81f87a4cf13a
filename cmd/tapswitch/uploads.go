package main

import (
	"github.com/tapswitch/tapswitch/cmd/tapswitch/uploads"
	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/gate"
	"github.com/tapswitch/tapswitch/switch/upload/api"
)

// uploadMount opens what takes off-line records in, for the gate to serve.
func (n *node) uploadMount(asked gate.Engine, tokenizer *pan.Tokenizer, master []byte) (gate.Mount, error) {
	c := n.config
	o := uploads.Options{Cards: n.hot.cards, Registry: n.hot, Engine: asked, Policy: n.engine.Policy(),
		Tokenizer: tokenizer, MasterKey: master, TACFile: c.Uploads.TACFile,
		HoldBroken: c.Uploads.HoldBrokenChains, Now: n.clock.now, Log: n.log}
	var err error
	if c.Uploads.TACFile != "" {
		if o.Ring, err = n.openRing(); err != nil {
			return gate.Mount{}, err
		}
	}
	u, err := uploads.Open(o)
	if err != nil {
		return gate.Mount{}, err
	}
	n.onStop("uploads", u.Close)
	n.figures = append(n.figures, u.Figures)
	return gate.Mount{Prefix: api.Prefix, Handler: u, Media: api.Media}, nil
}
