package tools

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/mac"
	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/sim/bankhost"
)

// wireFlags say how frames follow each other and what is in them.
type wireFlags struct {
	spec, framing string
	inclusive     bool
}

func (f *wireFlags) add(c *cobra.Command, spec, framing string) {
	flags := c.Flags()
	flags.StringVar(&f.spec, "spec", spec, "message spec: "+strings.Join(message.Names(), ", "))
	flags.StringVar(&f.framing, "framing", framing, "length of a frame: binary2 or ascii4")
	flags.BoolVar(&f.inclusive, "inclusive", false, "the length counts itself")
}

func (f *wireFlags) read() (*message.Spec, message.Framing, error) {
	spec, err := message.Named(f.spec)
	if err != nil {
		return nil, message.Framing{}, err
	}
	form, err := message.ParseLengthForm(f.framing)
	return spec, message.Framing{Form: form, Inclusive: f.inclusive}, err
}

// bankSimOptions are what a bank simulator is asked to do.
type bankSimOptions struct {
	wire                wireFlags
	listen              string
	seed                uint64
	file, report        string
	approve             int
	rates               map[bankhost.Effect]*int
	rules               bool
	behaviour           bankhost.Behaviour
	mac, master, pin    string
	pinKey              string
	funds               int64
	delayFrom, delayTo  time.Duration
	lateAfter, stallFor time.Duration
	refuseSignOn        int
	keyOrder            string
	secure              tlsFlags
}

// BankSim is the command that is a bank.
func BankSim() *cobra.Command {
	o := bankSimOptions{rates: map[bankhost.Effect]*int{}}
	c := &cobra.Command{
		Use: "bank-sim", Short: "Be a bank that approves, declines and misbehaves",
		Long: "Listens as a bank (or with --spec cup_pos as the host of terminals), answers until " +
			"it is interrupted, and prints its counts and totals as JSON. --report keeps the " +
			"whole book: every request with its answer, what was reversed, what every card owes. " +
			"Rates are in 1/10,000; the seed and the request decide, not the clock.\n\nWith " +
			"--rules the last two digits of an amount provoke one case: 05 code 51; 14 41 54 55 " +
			"61 91 96 that code; 70 delay, 71 late, 72 twice, 73 lose request, 74 lose answer, " +
			"75 garbage, 76 to 79 wrong trace number, terminal, reference number, amount, 80 " +
			"wrong MAC, 81 close, 82 close in mid-frame, 83 stall, 84 change key.\n\nKeys on the " +
			"command line are test keys: others can read it.",
		Example: "  tapswitch bank-sim --listen :9100 --approve 9800 --late 50\n" +
			"  tapswitch bank-sim --behaviour bad-day.yaml --mac x9.19:HEX --report book.json",
		Args: func(c *cobra.Command, args []string) error {
			return cli.WithCode(cli.ExitUsage, cobra.NoArgs(c, args))
		},
		RunE: func(c *cobra.Command, _ []string) error {
			return runBankSim(c.Context(), &o, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	o.wire.add(c, "cups", "ascii4")
	flags := c.Flags()
	flags.StringVar(&o.listen, "listen", ":9100", "address to listen on")
	flags.Uint64Var(&o.seed, "seed", 1, "what decides everything that a request does not")
	flags.StringVar(&o.file, "behaviour", "", "behaviour as a YAML file; flags come on top of it")
	flags.StringVar(&o.report, "report", "", "write the whole book to this file as JSON")
	flags.IntVar(&o.approve, "approve", bankhost.RateMax, "rate of sales that are approved")
	flags.StringSliceVar(&o.behaviour.Codes, "codes", nil, "response codes of declines")
	flags.BoolVar(&o.rules, "rules", false, "provoke cases by the last digits of the amount")
	flags.IntVar(&o.refuseSignOn, "refuse-sign-on", 0, "rate of sign-ons that are refused")
	flags.DurationVar(&o.delayFrom, "delay-from", 0, "shortest delay (default 50ms)")
	flags.DurationVar(&o.delayTo, "delay-to", 0, "longest delay (default 500ms)")
	flags.DurationVar(&o.lateAfter, "late-after", 0, "how late a late answer is (default 35s)")
	flags.DurationVar(&o.stallFor, "stall-for", 0, "how long nothing is read in a stall (default 5s)")
	for _, e := range bankhost.Effects() {
		o.rates[e] = flags.Int(strings.ReplaceAll(e.String(), "_", "-"), 0,
			"rate of the effect "+e.String())
	}
	flags.StringVar(&o.keyOrder, "key-order", "", "how an order of a key is met: answer, "+
		"wrong_kcv, late, never or refuse (default: in a message of its own)")
	flags.IntVar(&o.behaviour.KeyOrderTimes, "key-order-times", 0,
		"how many orders are met so, 0 for all; later ones are answered")
	flags.IntVar(&o.behaviour.LoseReconciliations, "lose-reconciliations", 0,
		"how many 0500 are not answered")
	flags.Int64Var(&o.behaviour.ReconcileOff, "reconcile-off", 0,
		"what the debits of an 0510 are wrong by, in minor units")
	o.secure.add(c)
	flags.StringVar(&o.mac, "mac", "", "MAC of a bank's link as SCHEME:KEY in hex: "+schemeList())
	flags.StringVar(&o.master, "master-key", "", "test key in hex that working keys go out under")
	flags.StringVar(&o.pin, "pin", "", "PIN of every card; another one is answered 55")
	flags.StringVar(&o.pinKey, "pin-key", "", "test key in hex of the PIN blocks of a bank's link")
	flags.Int64Var(&o.funds, "funds", 0, "what every card can spend in minor units, 0 without limit")
	return c
}

// options turns the flags into what the host takes.
func (o *bankSimOptions) options() (h bankhost.Options, err error) {
	h = bankhost.Options{Address: o.listen, Seed: o.seed, PIN: o.pin, Funds: o.funds}
	if h.Spec, h.Framing, err = o.wire.read(); err != nil {
		return h, err
	}
	if h.Behaviour, err = o.behave(); err != nil {
		return h, err
	}
	if h.MAC, err = parseSchemeKey(o.mac); err != nil {
		return h, err
	}
	if h.MasterKey, err = parseTestKey("master-key", o.master); err != nil {
		return h, err
	}
	if h.PINKey, err = parseTestKey("pin-key", o.pinKey); err != nil {
		return h, err
	}
	h.TLS, err = o.secure.config()
	return h, err
}

// behave reads the behaviour file and puts the flags on top.
func (o *bankSimOptions) behave() (bankhost.Behaviour, error) {
	b, err := readBehaviour(o.file)
	if err != nil {
		return b, err
	}
	if o.approve != bankhost.RateMax {
		b.Decline = bankhost.RateMax - o.approve
	}
	if len(o.behaviour.Codes) > 0 {
		b.Codes = o.behaviour.Codes
	}
	if o.rules {
		b.Rules = append(b.Rules, bankhost.DefaultRules()...)
	}
	if b.Rates == nil {
		b.Rates = map[bankhost.Effect]int{}
	}
	for e, rate := range o.rates {
		if *rate != 0 {
			b.Rates[e] = *rate
		}
	}
	if o.refuseSignOn != 0 {
		b.RefuseSignOn = o.refuseSignOn
	}
	if o.keyOrder != "" {
		b.KeyOrder = bankhost.KeyOrder(o.keyOrder)
	}
	for _, n := range []struct{ to, flag *int }{
		{&b.KeyOrderTimes, &o.behaviour.KeyOrderTimes},
		{&b.LoseReconciliations, &o.behaviour.LoseReconciliations}} {
		if *n.flag != 0 {
			*n.to = *n.flag
		}
	}
	if o.behaviour.ReconcileOff != 0 {
		b.ReconcileOff = o.behaviour.ReconcileOff
	}
	for _, d := range []struct {
		to   *bankhost.Span
		flag time.Duration
	}{{&b.DelayFrom, o.delayFrom}, {&b.DelayTo, o.delayTo}, {&b.LateAfter, o.lateAfter},
		{&b.StallFor, o.stallFor}} {
		if d.flag != 0 {
			*d.to = bankhost.Span(d.flag)
		}
	}
	return b, nil
}

// readBehaviour reads a YAML file strictly; path "" is no file.
func readBehaviour(path string) (b bankhost.Behaviour, err error) {
	if path == "" {
		return b, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return b, fmt.Errorf("behaviour file: %w", err)
	}
	tree, err := yaml.Parser().Unmarshal(text)
	if err != nil {
		return b, fmt.Errorf("behaviour file %s: %w", path, err)
	}
	// Through JSON, which decodes strictly: a key that a behaviour does not have is an error.
	flat, err := json.Marshal(tree)
	if err != nil {
		return b, fmt.Errorf("behaviour file %s: %w", path, err)
	}
	dec := json.NewDecoder(bytes.NewReader(flat))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&b); err != nil {
		return b, fmt.Errorf("behaviour file %s: %w", path, err)
	}
	return b, nil
}

// simSchemes are the MAC schemes that a link can be given by name.
func simSchemes() map[string]mac.Scheme {
	return map[string]mac.Scheme{
		"x9.9": mac.X99, "x9.19": mac.X919, "cup-des": mac.CUPDES, "cup-tdes": mac.CUPTDES,
		"cup-sm4":   mac.CUPSM4,
		"retail":    {Algorithm: mac.Retail, Cipher: block.DES, Padding: mac.Pad1},
		"cbc-des":   {Algorithm: mac.CBC, Cipher: block.DES, Padding: mac.Pad1},
		"cbc-tdes":  {Algorithm: mac.CBC, Cipher: block.TDES, Padding: mac.Pad1},
		"cmac-tdes": {Algorithm: mac.CMAC, Cipher: block.TDES},
		"cmac-aes":  {Algorithm: mac.CMAC, Cipher: block.AES, Size: 8},
		"cmac-sm4":  {Algorithm: mac.CMAC, Cipher: block.SM4, Size: 8},
	}
}

func schemeList() string { return strings.Join(slices.Sorted(maps.Keys(simSchemes())), ", ") }

// parseSchemeKey reads SCHEME:KEY; "" is no MAC. No error shows a part of the key.
func parseSchemeKey(text string) (*mac.MAC, error) {
	if text == "" {
		return nil, nil
	}
	name, key, _ := strings.Cut(text, ":")
	s, ok := simSchemes()[name]
	if !ok {
		return nil, fmt.Errorf("--mac: want SCHEME:KEY with one of %s", schemeList())
	}
	raw, err := parseTestKey("mac", key)
	if err != nil {
		return nil, err
	}
	m, err := mac.New(s, raw)
	if err != nil {
		return nil, fmt.Errorf("--mac %s: %w", name, err)
	}
	return m, nil
}

func parseTestKey(flag, text string) ([]byte, error) {
	if text == "" {
		return nil, nil
	}
	key, err := hex.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("--%s: the key is not hex", flag)
	}
	return key, nil
}

// runBankSim serves until ctx ends and reports.
func runBankSim(ctx context.Context, o *bankSimOptions, out, progress io.Writer) error {
	options, err := o.options()
	if err != nil {
		return cli.WithCode(cli.ExitUsage, err)
	}
	h, err := bankhost.Start(options)
	switch {
	case errors.Is(err, bankhost.ErrBehaviour):
		return cli.WithCode(cli.ExitUsage, err)
	case err != nil:
		return err
	}
	fmt.Fprintf(progress, "bank-sim listens on %s as %s, seed %d\n", h.Address(), o.wire.spec, o.seed)
	<-ctx.Done()
	err = h.Close()
	if o.report != "" {
		err = errors.Join(err, writeReport(o.report, h.Book()))
	}
	return errors.Join(err, cli.PrintJSON(out, h.Summary()))
}

// writeReport writes v to a file that its owner alone can read.
func writeReport(path string, v any) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return errors.Join(cli.PrintJSON(f, v), f.Close())
}
