package gatesim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/tapswitch/tapswitch/switch/blacklist/list"
	"github.com/tapswitch/tapswitch/switch/fare/tariff"
	"github.com/tapswitch/tapswitch/switch/gate/provision"
	"github.com/tapswitch/tapswitch/switch/sim"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// What a gate does with its network: everything that it downloads, acknowledges and uploads. A
// fault of the network is counted and gone on from; errors that are returned end the gate.

// restore makes what is held ready for use: at a boot, without a network.
func (g *Gate) restore() (err error) {
	if g.held, err = readHeld(g.dir); err != nil {
		return err
	}
	if g.held.Parameters != nil {
		g.plan, err = provision.OpenPlan(g.held.Parameters, g.planKeys, g.id.ID, provision.KindParameters, 0)
		if err != nil {
			return fmt.Errorf("gate %s: parameters on disk: %w", g.id.ID, err)
		}
	}
	if g.held.Tariff != nil {
		g.tariffs, err = provision.OpenPlan(g.held.Tariff, g.planKeys, g.id.ID, provision.KindTariff, 0)
		if err != nil {
			return fmt.Errorf("gate %s: tariff on disk: %w", g.id.ID, err)
		}
	}
	if err := g.restoreList(); err != nil {
		return fmt.Errorf("gate %s: list on disk: %w", g.id.ID, err)
	}
	g.choose(g.clock(g.book.Next))
	return nil
}

func (g *Gate) restoreList() (err error) {
	if g.held.List == nil {
		return nil
	}
	if g.list, err = list.Open(g.held.List, g.listKeys); err != nil {
		return err
	}
	for _, d := range g.held.Deltas {
		if g.list, err = g.list.Apply(d, g.listKeys); err != nil {
			return err
		}
	}
	return nil
}

// choose takes what is in force at the gate's time.
func (g *Gate) choose(at txn.Millis) {
	g.rules = rules{params: provision.DefaultParameters(), tariff: g.rules.tariff}
	if g.plan != nil {
		g.rules.orders = g.plan.Orders
		if part := g.plan.At(at); part != nil {
			if p, r := provision.ReadParameters(part.Parameters); r == nil {
				g.rules.params, g.rules.version = p, part.Version
			}
		}
	}
	file, version := []byte(nil), builtInVersion
	if g.tariffs != nil {
		if part := g.tariffs.At(at); part != nil {
			file, version = g.held.TariffFile, part.Version
			if part == g.tariffs.Next {
				file = g.held.NextFile
			}
		}
	}
	if g.rules.tariff != nil && (g.rules.tariff.Version() == version || file == nil) {
		return
	}
	t, err := builtInTariff()
	if file != nil {
		t, err = tariff.Compile(tariff.Source{Name: version, Text: file})
	}
	if err == nil {
		g.rules.tariff = t
	}
}

// contact does what is due with the network before tap n.
func (g *Gate) contact(ctx context.Context, n int) error {
	if !g.reachable(n) {
		return nil
	}
	if g.due(g.polled, n, g.rules.params.ListPollS) {
		g.polled = n
		if err := g.settleFault(ctx, n, g.poll(ctx, n)); err != nil {
			return err
		}
	}
	if g.reachable(n) && len(g.book.Waiting) > 0 && g.due(g.uploaded, n, g.rules.params.UploadS) {
		g.uploaded = n
		return g.settleFault(ctx, n, g.upload(ctx, g.script.repeated(n)))
	}
	return nil
}

// settleFault counts a fault of the network, or a refusal, and leaves the network alone until
// the next poll: a gate that the switch does not know any more goes on until its list is old.
func (g *Gate) settleFault(ctx context.Context, n int, err error) error {
	switch refused, is := isRefusal(err); {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case is:
		g.did.Refused = refused.Code
	case !errors.Is(err, errNoNetwork):
		return err
	}
	g.did.Faults++
	g.did.LastFault = err.Error()
	g.downUntil = n + 1 + int(g.rules.params.ListPollS*1000/int64(g.script.setup.Interval))
	return nil
}

// poll asks for everything that may be new, sets the clock, and says what the gate runs.
func (g *Gate) poll(ctx context.Context, n int) error {
	g.did.Polls++
	for _, get := range []func(context.Context) error{g.getParameters, g.getTariff,
		func(ctx context.Context) error { return g.getList(ctx, n) }} {
		if err := get(ctx); err != nil {
			return err
		}
	}
	g.setClock(n)
	g.choose(g.clock(n))
	if err := g.acknowledge(ctx); err != nil {
		return err
	}
	g.given = 0
	return g.held.write(g.dir)
}

// setClock sets the gate's clock where it is off by more than the parameters allow. What the
// plan calls the true time stands for the switch's.
func (g *Gate) setClock(n int) {
	off := g.script.offset(n, g.held.ClockSet)
	if max(off, -off) > txn.Millis(g.rules.params.ClockSkewS)*1000 {
		g.held.ClockSet = n
		g.did.ClockSets++
	}
}

func (g *Gate) getParameters(ctx context.Context) error {
	p, envelope, err := g.getPlan(ctx, provision.KindParameters, g.plan)
	if err == nil {
		g.plan, g.held.Parameters = p, envelope
	}
	return err
}

// getPlan asks for a plan. One that cannot be trusted leaves the gate with what it has.
func (g *Gate) getPlan(ctx context.Context, kind provision.Kind, has *provision.Plan) (
	*provision.Plan, []byte, error) {
	serial := uint64(0)
	if has != nil {
		serial = has.Serial
	}
	a, err := g.link.ask(ctx, question{path: provision.TerminalPrefix + string(kind)})
	if err != nil {
		return nil, nil, err
	}
	p, err := provision.OpenPlan(a.body, g.planKeys, g.id.ID, kind, serial)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errNoNetwork, err)
	}
	return p, a.body, nil
}

func (g *Gate) getTariff(ctx context.Context) error {
	p, envelope, err := g.getPlan(ctx, provision.KindTariff, g.tariffs)
	if err != nil {
		return err
	}
	file, next := g.held.TariffFile, g.held.NextFile
	for _, f := range []struct {
		part *provision.Part
		to   *[]byte
	}{{p.InForce, &file}, {p.Next, &next}} {
		if *f.to, err = g.getFile(ctx, f.part); err != nil {
			return err
		}
	}
	g.tariffs, g.held.Tariff, g.held.TariffFile, g.held.NextFile = p, envelope, file, next
	return nil
}

// getFile returns a tariff file: from what is held, or from the switch.
func (g *Gate) getFile(ctx context.Context, part *provision.Part) ([]byte, error) {
	if part == nil {
		return nil, nil
	}
	for _, has := range [][]byte{g.held.TariffFile, g.held.NextFile} {
		if part.CheckContent(has) == nil {
			return has, nil
		}
	}
	a, err := g.link.ask(ctx, question{path: provision.TerminalPrefix + "tariff/" + part.Version})
	if err != nil {
		return nil, err
	}
	if err := part.CheckContent(a.body); err != nil {
		return nil, fmt.Errorf("%w: %w", errNoNetwork, err)
	}
	return a.body, nil
}

// listPath is where the gate finds its list: gates with odd numbers take the filter.
func (g *Gate) listPath(what string) string { return "/v1/lists/transit/" + what }

func (g *Gate) format() string {
	if g.o.Gate%2 == 1 {
		return "filter16"
	}
	return "exact"
}

// getList brings the list up to date: by a delta, or whole. A switch without a card desk has
// none, which ends a gate that never had one.
func (g *Gate) getList(ctx context.Context, n int) error {
	err := g.getDelta(ctx)
	if errors.Is(err, errTakeFull) {
		err = g.getFull(ctx)
	}
	if refused, is := isRefusal(err); is && refused.Code == "not_found" {
		if g.list == nil {
			return ErrNoList
		}
		return nil
	}
	if err != nil {
		return err
	}
	g.held.ListAt = g.script.at(n)
	body, err := json.Marshal(map[string]uint64{"epoch": uint64(g.list.Epoch())})
	if err != nil {
		return err
	}
	_, err = g.link.ask(ctx, question{path: "/v1/lists/ack", body: body})
	return err
}

// ErrNoList reports a switch that has no list for gates at all: they would serve nobody.
var ErrNoList = errors.New("the switch gives no list of frozen cards: start it with --set desk.city=CITY")

var errTakeFull = errors.New("a full list is needed")

func (g *Gate) getDelta(ctx context.Context) error {
	if g.list == nil {
		return errTakeFull
	}
	width := g.list.Header().Width
	a, err := g.link.ask(ctx, question{path: fmt.Sprintf("%s?from=%d&width=%d", g.listPath("delta"),
		g.list.Epoch(), width), headers: g.epochHeader()})
	if refused, is := isRefusal(err); is {
		if refused.Code == "epoch_too_old" || refused.Code == "epoch_unknown" {
			return errTakeFull
		}
	}
	if err != nil {
		return err
	}
	if a.status == http.StatusNoContent {
		return nil
	}
	next, err := g.list.Apply(a.body, g.listKeys)
	if err != nil {
		return errTakeFull
	}
	g.list, g.held.Deltas = next, append(g.held.Deltas, a.body)
	g.did.Deltas++
	return nil
}

func (g *Gate) getFull(ctx context.Context) error {
	a, err := g.link.ask(ctx, question{path: g.listPath("full") + "?format=" + g.format(),
		headers: g.epochHeader()})
	if err != nil {
		return err
	}
	l, err := list.Open(a.body, g.listKeys)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", errNoNetwork, err)
	case g.list != nil && l.Epoch() < g.list.Epoch():
		return nil // a gate never goes back
	}
	g.list, g.held.List, g.held.Deltas = l, a.body, nil
	g.did.FullLists++
	return nil
}

// epochHeader names the epoch that the gate holds.
func (g *Gate) epochHeader() map[string]string {
	if g.list == nil {
		return nil
	}
	return map[string]string{list.EpochHeader: strconv.FormatUint(uint64(g.list.Epoch()), 10)}
}

// acknowledge says what the gate runs, each version once.
func (g *Gate) acknowledge(ctx context.Context) error {
	for _, v := range []struct {
		kind    provision.Kind
		version string
	}{{provision.KindParameters, g.rules.version}, {provision.KindTariff, g.rules.tariff.Version()}} {
		key := string(v.kind) + "/" + v.version
		if v.version == "" || v.version == builtInVersion || slices.Contains(g.held.Acked, key) {
			continue
		}
		body, err := json.Marshal(map[string]string{"kind": string(v.kind), "version": v.version})
		if err == nil {
			_, err = g.link.ask(ctx, question{path: provision.TerminalPrefix + "ack", body: body})
		}
		if err != nil {
			return err
		}
		g.held.Acked = append(g.held.Acked, key)
	}
	return nil
}

// known is what the switch says of a card.
type known int

const (
	unsure known = iota // no answer
	yes
	no
)

// leaseOf is until when a card is served off line that the switch has just seen at an instant: as
// long as the switch says, and no longer than the gate's own parameter.
func leaseOf(p *provision.Parameters, told *sim.Answer, at txn.Millis) txn.Millis {
	own := at + txn.Millis(p.LeaseS)*1000
	switch {
	case told.Lease != "": // none
		return 0
	case told.LeaseUntil.IsZero(): // of a scheme without a lease
		return own
	default:
		return min(own, txn.MillisOf(told.LeaseUntil))
	}
}

// askOnline asks the switch about a card by its balance: a card that gets an answer is good.
func (g *Gate) askOnline(ctx context.Context, n, card int) (told sim.Answer, good known, err error) {
	g.did.Asked++
	// The number of the request is beyond those of records, and the same at a repeat.
	body, err := json.Marshal(sim.Money{Card: g.o.World.number(g.worldCard(card)).Digits(),
		ID:          fmt.Sprintf("%s-%d-%d", g.id.ID, g.book.Boot, askFirst+n),
		ServiceTime: sim.FormatTime(g.script.at(n).Time().In(local()))})
	if err != nil {
		return told, unsure, err
	}
	a, err := g.link.ask(ctx, question{path: "/v1/balances", body: body})
	if err != nil {
		return told, unsure, g.settleFault(ctx, n, err)
	}
	if told, err = sim.ParseAnswer(a.body); err != nil {
		return told, unsure, fmt.Errorf("balance of card %d: %w", card, err)
	}
	if told.Approved() {
		return told, yes, nil
	}
	return told, no, nil
}

// askFirst is the first number of requests that are no records.
const askFirst = 1 << 31

// upload sends what waits in batches, and the first of them twice when repeat says so.
func (g *Gate) upload(ctx context.Context, repeat bool) error {
	for len(g.book.Waiting) > 0 {
		batch := g.book.Waiting[:min(len(g.book.Waiting), int(g.rules.params.UploadMax))]
		g.did.Batches++
		acks, err := g.uplink.Upload(ctx, batch)
		if err != nil {
			return err
		}
		if repeat {
			g.did.Repeats++
			repeat = false
			if _, err := g.uplink.Upload(ctx, batch); err != nil {
				return err // the first answer is as good as lost
			}
		}
		if len(acks) == 0 {
			return fmt.Errorf("%w: no record of %d was decided", errNoNetwork, len(batch))
		}
		if err := g.note(&entry{Kind: entrySent, Acks: acks}); err != nil {
			return err
		}
		if len(acks) < len(batch) {
			return fmt.Errorf("%w: %d of %d records are to be sent again", errNoNetwork,
				len(batch)-len(acks), len(batch))
		}
	}
	return g.queue.shrink(shrinkAt, g.book.snapshot)
}

// drain polls once more and uploads until nothing waits.
func (g *Gate) drain(ctx context.Context) error {
	wait := g.o.DrainFor
	if wait == 0 {
		wait = time.Minute
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	rest := 20 * time.Millisecond
	for {
		err := g.poll(ctx, max(g.o.Taps, g.book.Next))
		if err == nil {
			err = g.upload(ctx, false)
		}
		if err == nil {
			return nil
		}
		if refused, is := isRefusal(err); is && !refused.Retryable {
			return fmt.Errorf("the switch refuses this gate: %w", refused)
		} else if !is && !errors.Is(err, errNoNetwork) {
			return err
		}
		g.did.Faults++
		g.did.LastFault = err.Error()
		timer := time.NewTimer(rest)
		select {
		case <-timer.C:
			rest = min(2*rest, time.Second)
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%d records still wait: %w", len(g.book.Waiting), err)
		}
	}
}
