package main

import (
	"context"
	"fmt"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/qrdesk"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/uploads"
	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/gate"
	"github.com/tapswitch/tapswitch/switch/qrtap"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// qrMounts opens the taps of QR codes, where a file says whose codes are taken.
func (n *node) qrMounts(asked gate.Engine, tokenizer *pan.Tokenizer) ([]gate.Mount, error) {
	figures := qrdesk.NewFigures()
	n.figures = append(n.figures, figures)
	if n.config.QR.File == "" {
		return nil, nil
	}
	trust, err := qrdesk.Open(n.config.QR.File, n.log)
	if err != nil {
		return nil, fmt.Errorf("qr.file: %w", err)
	}
	n.background("QR trust", trust.Run)
	terminal := uploads.SourceOf(n.hot)
	return []gate.Mount{{Prefix: qrtap.Prefix, Handler: qrtap.New(qrtap.Options{
		Engine: asked, Tokenizer: tokenizer, Verifier: trust.Verifier, Device: gate.TerminalOf,
		Source: func(ctx context.Context, id txn.TerminalID) (qrtap.Source, error) {
			s, err := terminal(ctx, id)
			return qrtap.Source{Place: s.Place, Kinds: s.Kinds}, err
		},
		Currency: n.engine.Policy().Currency, Now: n.clock.now, Budget: millis(n.config.Gate.Budget), Log: n.log,
		Observer: figures,
	})}}, nil
}
