package desk

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/call"
)

// OutletEnv names the outlet at which a clerk works, where no flag does.
const OutletEnv = "TAPSWITCH_OUTLET"

const commandPath = "/v1/desk/commands"

// order is one wish about an account and the flags of it. Its id and the time that the id was
// made at let it be sent again without being done twice.
type order struct {
	d                          *client
	on                         target
	outlet, id, made, received string
}

// flags adds the flags that every command on an account has, but those of the account.
func (o *order) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.outlet, "outlet", os.Getenv(OutletEnv), "where the clerk works ("+OutletEnv+")")
	f.StringVar(&o.received, "received", "",
		"when the request came in, as 2026-03-02T09:00:00+08:00; now by default")
	f.StringVar(&o.id, "id", "", "id of the command, 32 hex digits: only to send one again")
	f.StringVar(&o.made, "made", "", "when the id was made: only to send a command again")
}

// begin starts a request: id, time and outlet.
func (o *order) begin() (map[string]any, error) {
	switch {
	case o.id == "" && o.made != "":
		return nil, usage("--made goes with the --id that was made then")
	case o.id == "":
		o.id = newID()
	case !isToken(o.id):
		return nil, usage("--id: want 32 hex digits")
	}
	if o.made == "" {
		o.made = time.Now().UTC().Format(time.RFC3339Nano)
	}
	body := map[string]any{"id": o.id, "made": o.made}
	for name, value := range map[string]string{"outlet": o.outlet, "received": o.received} {
		if value != "" {
			body[name] = value
		}
	}
	return body, nil
}

// newID makes a command's id.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: the runtime ends the process instead
	return hex.EncodeToString(b[:])
}

// send sends the request and prints what the account is now. When nobody knows whether it was
// carried out, the error says how to send it again.
func (o *order) send(c *cobra.Command, path string, body map[string]any) error {
	text, err := o.d.send(c.Context(), http.MethodPost, path, body)
	if err != nil {
		return o.again(err)
	}
	var a done
	return o.d.print(c, text, &a, func(p *page) { p.done(&a) })
}

func (o *order) again(err error) error {
	if !call.Doubtful(err) {
		return err
	}
	return fmt.Errorf("%w\n  nobody knows whether it was done; the same again is safe with --id "+
		"%s --made %s",
		err, o.id, o.made)
}

// sheet is what a shortcut fills its step from.
type sheet struct {
	c       *cobra.Command
	args    []string
	order   *order
	numbers *numbers
	body    map[string]any // names the account already
}

// filler makes what a step says.
type filler func(s *sheet) (map[string]any, error)

// shortcut is a step with flags of its own.
type shortcut struct {
	step  string
	c     cobra.Command
	setup func(c *cobra.Command) filler
}

// add makes the command of a shortcut.
func (d *client) shortcut(s shortcut) *cobra.Command {
	o, c := &order{d: d}, &s.c
	o.on.flags(c)
	o.flags(c)
	fill := s.setup(c)
	if c.Args == nil {
		c.Args = cobra.NoArgs
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		at := &sheet{c: c, args: args, order: o, numbers: newNumbers(c)}
		return at.run(s.step, fill)
	}
	return c
}

func (s *sheet) run(step string, fill filler) (err error) {
	if s.body, err = s.order.begin(); err != nil {
		return err
	}
	if err := s.order.on.fill(s.numbers, s.body); err != nil {
		return err
	}
	s.body["step"] = step
	with, err := fill(s)
	if err != nil {
		return err
	}
	if len(with) > 0 {
		s.body["with"] = with
	}
	return s.order.send(s.c, commandPath, s.body)
}

// account asks for the account that the sheet names.
func (s *sheet) account() (*found, error) {
	body := map[string]any{}
	for _, name := range []string{"account", "card", "holder", "number"} {
		if value, ok := s.body[name]; ok {
			body[name] = value
		}
	}
	var f found
	if err := s.order.d.ask(s.c.Context(), http.MethodPost, "/v1/desk/accounts:find", body,
		&f); err != nil {
		return nil, err
	}
	return &f, nil
}

// who are the flags of the person who asks.
type who struct{ actor, channel, id string }

func (w *who) flags(c *cobra.Command, actor, channel string) {
	f := c.Flags()
	f.StringVar(&w.actor, "actor", actor,
		"who asks: holder, agent, relative, heir, guardian, employer, agency, authority")
	f.StringVar(&w.channel, "channel", channel,
		"by which way: agency, outlet, unit, phone, online, self_service, bulk, bank")
	f.StringVar(&w.id, "id-kind", "resident_id",
		"paper that was shown: resident_id, passport, … or none")
}

func (w *who) fields() map[string]any {
	m := map[string]any{"actor": w.actor, "channel": w.channel}
	if w.id != "" && w.id != "none" {
		m["id"] = w.id
	}
	return m
}

// readPaper reads a written answer from a JSON file; nil for no file.
func readPaper(file string) (json.RawMessage, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, usage("--paper: %w", err)
	}
	var paper struct{ No, Facts, Reasons, Remedies string }
	if err := json.Unmarshal(text, &paper); err != nil {
		return nil, usage("--paper %s: want JSON with no, facts, reasons and remedies", file)
	}
	return text, nil
}

// set puts what is not empty into a step.
func set(with map[string]any, values map[string]string) {
	for name, value := range values {
		if value != "" {
			with[name] = value
		}
	}
}
