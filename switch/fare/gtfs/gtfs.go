// Package gtfs makes a tariff of the fares that a GTFS feed publishes (GTFS Schedule, Fares v2):
// fare products, leg rules, transfer rules, networks, areas and rider categories.
//
// The import is exact or it is refused: what a tariff cannot say, such as fares by time of day
// or a transfer price that depends on the first leg, is an error with the file and line of the
// feed. Where the feed leaves something open, the choice made is returned as a note. Amounts
// become minor units of the feed's one currency. The package reads the file system that it is
// given, keeps nothing, and prices nothing.
package gtfs

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tapswitch/tapswitch/switch/fare/price"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// ErrFeed reports a feed that cannot become a tariff; the text says where and why.
var ErrFeed = errors.New("GTFS fares cannot be imported")

// Options name the tariff that is made.
type Options struct {
	Tariff, Version string
	From            txn.BusinessDate
	UTCOffset       time.Duration
	// Riders gives the rider categories of the feed ours: "child" is "student". Those that
	// are not named are left out, with a note.
	Riders map[string]string
}

// product is a fare product: its default amount, and those of rider categories.
type product struct {
	row    row
	plain  txn.Minor
	given  bool // plain is
	riders map[string]txn.Minor
}

// network is a group of routes with one mode.
type network struct {
	name  string
	mode  string
	lines []string
	rules []row
}

// importer makes one tariff.
type importer struct {
	fsys     fs.FS
	o        Options
	file     price.File
	notes    []string
	currency string
	products map[string]*product
	networks map[string]*network
	areas    map[string][]string // of a station, by its name
	stations []string
	groups   map[string]map[string]bool // modes of a leg group
	flats    map[string][]txn.Minor     // fares of a leg group
}

// Import reads the feed at the root of fsys. It returns the tariff, which compiles, and notes
// on what the feed left open.
func Import(fsys fs.FS, o Options) (*price.File, []string, error) {
	m := importer{fsys: fsys, o: o, products: map[string]*product{}, networks: map[string]*network{},
		areas: map[string][]string{}, groups: map[string]map[string]bool{},
		flats: map[string][]txn.Minor{}, file: price.File{Tariff: o.Tariff, Version: o.Version,
			Effective: price.Effective{From: o.From}, UTCOffset: o.UTCOffset}}
	for _, step := range []func() error{m.readProducts, m.readNetworks, m.readAreas, m.readLegs,
		m.makeFares, m.makeRiders, m.makeTransfers} {
		if err := step(); err != nil {
			return nil, nil, fmt.Errorf("%w: %w", ErrFeed, err)
		}
	}
	if _, err := price.Compile(m.file); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrFeed, err)
	}
	return &m.file, m.notes, nil
}

func (m *importer) note(format string, args ...any) {
	m.notes = append(m.notes, fmt.Sprintf(format, args...))
}

func (m *importer) readProducts() error {
	categories, err := readTable(m.fsys, "rider_categories.txt", true)
	if err != nil {
		return err
	}
	standard := map[string]bool{"": true}
	for _, r := range categories {
		if r.get("is_default_fare_category") == "1" {
			standard[r.get("rider_category_id")] = true
		}
	}
	rows, err := readTable(m.fsys, "fare_products.txt", false)
	if err != nil {
		return err
	}
	for _, r := range rows {
		id := r.get("fare_product_id")
		p := m.products[id]
		if p == nil {
			p = &product{row: r, riders: map[string]txn.Minor{}}
			m.products[id] = p
		}
		if m.currency == "" {
			m.currency = r.get("currency")
		}
		if m.currency != r.get("currency") {
			return r.fail("currency %s beside %s; a tariff has one", r.get("currency"), m.currency)
		}
		amount, err := r.amount(m.currency)
		if err != nil {
			return err
		}
		rider := r.get("rider_category_id")
		old, twice := p.riders[rider]
		if standard[rider] {
			old, twice, p.plain, p.given = p.plain, p.given, amount, true
		} else {
			p.riders[rider] = amount
		}
		if twice && old != amount {
			return r.fail("product %s costs different amounts by fare medium; import one medium", id)
		}
	}
	return nil
}

var routeModes = map[string]string{"0": "tram", "1": "metro", "2": "rail", "3": "bus", "4": "ferry",
	"11": "bus", "12": "rail"}

func (m *importer) readNetworks() error {
	routes, err := readTable(m.fsys, "routes.txt", false)
	if err != nil {
		return err
	}
	members, err := readTable(m.fsys, "route_networks.txt", true)
	if err != nil {
		return err
	}
	of := map[string]string{}
	for _, r := range members {
		of[r.get("route_id")] = r.get("network_id")
	}
	for _, r := range routes {
		name := r.get("network_id")
		if n, ok := of[r.get("route_id")]; ok {
			name = n
		}
		mode, ok := routeModes[r.get("route_type")]
		if !ok {
			return r.fail("route type %q has no mode in tariffs", r.get("route_type"))
		}
		n := m.networks[name]
		if n == nil {
			n = &network{name: name, mode: mode}
			m.networks[name] = n
		}
		if n.mode != mode {
			return r.fail("network %q has routes of %s and of %s; split it", name, n.mode, mode)
		}
		line := r.get("route_short_name")
		if line == "" {
			line = r.get("route_id")
		}
		if !slices.Contains(n.lines, line) {
			n.lines = append(n.lines, line)
		}
	}
	return nil
}

func (m *importer) readAreas() error {
	stops, err := readTable(m.fsys, "stops.txt", true)
	if err != nil {
		return err
	}
	names := map[string]string{}
	for _, r := range stops {
		names[r.get("stop_id")] = r.get("stop_name")
	}
	rows, err := readTable(m.fsys, "stop_areas.txt", true)
	if err != nil {
		return err
	}
	for _, r := range rows {
		name := names[r.get("stop_id")]
		if name == "" {
			return r.fail("stop %q has no name in stops.txt", r.get("stop_id"))
		}
		if !slices.Contains(m.areas[name], r.get("area_id")) {
			m.areas[name] = append(m.areas[name], r.get("area_id"))
		}
	}
	m.stations = slices.Sorted(maps.Keys(m.areas))
	return nil
}

// readLegs gives every network its leg rules; a rule without a network is for those that
// have none of their own.
func (m *importer) readLegs() error {
	rows, err := readTable(m.fsys, "fare_leg_rules.txt", false)
	if err != nil {
		return err
	}
	for _, r := range rows {
		switch p := m.products[r.get("fare_product_id")]; {
		case r.get("from_timeframe_group_id") != "" || r.get("to_timeframe_group_id") != "":
			return r.fail("fares by time of day are not in tariffs")
		case r.get("rule_priority") != "" && r.get("rule_priority") != "0":
			return r.fail("rule priorities are not in tariffs")
		case p == nil:
			return r.fail("product %q is not in fare_products.txt", r.get("fare_product_id"))
		case !p.given:
			return p.row.fail("product %s has no amount for the default rider category",
				r.get("fare_product_id"))
		}
		name := r.get("network_id")
		if name != "" && m.networks[name] == nil {
			return r.fail("network %q has no route", name)
		}
		for _, n := range m.networks {
			if n.name == name || name == "" && !named(rows, n.name) {
				n.rules = append(n.rules, r)
			}
		}
	}
	return nil
}

func named(rules []row, network string) bool {
	return slices.ContainsFunc(rules, func(r row) bool { return r.get("network_id") == network })
}

// makeFares makes a fare of each network; of several with one mode the greatest is that of
// the mode, and the others name their lines.
func (m *importer) makeFares() error {
	all := slices.SortedFunc(maps.Values(m.networks), func(a, b *network) int {
		if n := len(b.lines) - len(a.lines); n != 0 {
			return n
		}
		return strings.Compare(a.name, b.name)
	})
	main := map[string]string{}
	for _, n := range all {
		if len(n.rules) == 0 {
			return fmt.Errorf("fare_leg_rules.txt: leaves a gap: network %q has no rule", n.name)
		}
		f := price.Fare{Name: n.name, Mode: n.mode}
		if f.Name == "" {
			f.Name = n.mode
		}
		if other, ok := main[n.mode]; ok {
			f.Lines = n.lines
			m.note("lines that the feed does not name are priced as network %q", other)
		} else {
			main[n.mode] = n.name
		}
		if err := m.fareOf(n, &f); err != nil {
			return err
		}
		m.file.Fares = append(m.file.Fares, f)
		for _, r := range n.rules {
			group := r.get("leg_group_id")
			if m.groups[group] == nil {
				m.groups[group] = map[string]bool{}
			}
			m.groups[group][n.mode] = true
			m.flats[group] = append(m.flats[group], m.products[r.get("fare_product_id")].plain)
		}
	}
	return nil
}

// fareOf makes the fare of a network: flat, or from station to station by their areas.
func (m *importer) fareOf(n *network, f *price.Fare) error {
	fares := map[[2]string]txn.Minor{}
	byArea := false
	for _, r := range n.rules {
		pair := [2]string{r.get("from_area_id"), r.get("to_area_id")}
		amount := m.products[r.get("fare_product_id")].plain
		if old, ok := fares[pair]; ok && old != amount {
			return r.fail("contradicts another rule: %d and %d for the same leg", amount, old)
		}
		fares[pair] = amount
		byArea = byArea || pair != [2]string{}
	}
	if !byArea {
		amount := fares[[2]string{}]
		f.Flat = &amount
		return nil
	}
	f.Matrix = &price.Matrix{Stations: m.stations}
	for _, from := range m.stations {
		var cells []txn.Minor
		for _, to := range m.stations {
			amount, err := m.cell(fares, from, to)
			if err != nil {
				return n.rules[0].fail("network %q: %w", n.name, err)
			}
			cells = append(cells, amount)
		}
		f.Matrix.Rows = append(f.Matrix.Rows, cells)
	}
	return nil
}

// cell returns the fare between two stations; a rule with an area goes before one without.
func (m *importer) cell(fares map[[2]string]txn.Minor, from, to string) (txn.Minor, error) {
	anywhere := []string{""}
	var found []txn.Minor
	for _, areas := range [][2][]string{{m.areas[from], m.areas[to]}, {m.areas[from], anywhere},
		{anywhere, m.areas[to]}, {anywhere, anywhere}} {
		for _, a := range areas[0] {
			for _, b := range areas[1] {
				if amount, ok := fares[[2]string{a, b}]; ok && !slices.Contains(found, amount) {
					found = append(found, amount)
				}
			}
		}
		if len(found) > 0 {
			break
		}
	}
	switch len(found) {
	case 0:
		return 0, fmt.Errorf("leaves a gap: no rule from %s to %s", from, to)
	case 1:
		return found[0], nil
	default:
		return 0, fmt.Errorf("contradicts itself: %v from %s to %s", found, from, to)
	}
}

// makeRiders makes shares of the amounts of rider categories: one share for all products.
func (m *importer) makeRiders() error {
	shares := map[string]price.Share{}
	for _, id := range slices.Sorted(maps.Keys(m.products)) {
		p := m.products[id]
		for _, rider := range slices.Sorted(maps.Keys(p.riders)) {
			if !p.given || p.plain <= 0 {
				continue
			}
			share := price.Share(int64(p.riders[rider]) * int64(price.Whole) / int64(p.plain))
			if old, ok := shares[rider]; ok && old != share {
				return p.row.fail("riders %q pay %s of product %s and %s of another; a tariff has one share",
					rider, share, id, old)
			}
			if int64(p.riders[rider])*int64(price.Whole)%int64(p.plain) != 0 {
				return p.row.fail("riders %q pay a share of product %s that is no whole basis point", rider, id)
			}
			shares[rider] = share
		}
	}
	for _, rider := range slices.Sorted(maps.Keys(shares)) {
		ours, ok := m.o.Riders[rider]
		if !ok {
			m.note("rider category %q is left out; name ours for it", rider)
			continue
		}
		share := shares[rider]
		m.file.Riders = append(m.file.Riders, price.Rider{Rider: ours, Pays: &share})
	}
	return nil
}

// transferCount reads how many rides a chain has at most: 0 is no limit.
func transferCount(s string) (legs int, err error) {
	if s == "" || s == "-1" {
		return 0, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n >= price.LegsMax {
		return 0, fmt.Errorf("transfer_count %q is not -1 or 1 to %d", s, price.LegsMax-1)
	}
	return n + 1, nil
}
