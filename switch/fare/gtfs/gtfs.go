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
	"cmp"
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
	sold     map[string]map[string]bool // fare products of the rides of a mode
	shares   map[string]map[string]price.Share
	listed   map[string]map[string]bool // leg groups that transfer rules name, by field
}

// Import reads the feed at the root of fsys. It returns the tariff, which compiles, and notes
// on what the feed left open.
func Import(fsys fs.FS, o Options) (*price.File, []string, error) {
	m := importer{fsys: fsys, o: o, products: map[string]*product{}, networks: map[string]*network{},
		areas: map[string][]string{}, groups: map[string]map[string]bool{},
		flats: map[string][]txn.Minor{}, sold: map[string]map[string]bool{},
		shares: map[string]map[string]price.Share{}, listed: map[string]map[string]bool{}}
	m.file = price.File{Tariff: o.Tariff, Version: o.Version,
		Effective: price.Effective{From: o.From}, UTCOffset: o.UTCOffset}
	for _, step := range []func() error{m.checkFeed, m.readProducts, m.readNetworks, m.readAreas,
		m.readLegs, m.makeFares, m.makeRiders, m.makeTransfers} {
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

// checkFeed refuses feeds without fares of the second version, with fares that no tariff can
// say, or of another local time.
func (m *importer) checkFeed() error {
	if _, err := fs.Stat(m.fsys, "fare_products.txt"); err != nil {
		return fmt.Errorf("no fare_products.txt at the root of the feed; the fares of version 1 "+
			"(fare_attributes.txt) are not read: %w", err)
	}
	if joins, err := readTable(m.fsys, "fare_leg_join_rules.txt", true); err != nil {
		return err
	} else if len(joins) > 0 {
		return joins[0].fail("rides that count as one are not in tariffs")
	}
	agencies, err := readTable(m.fsys, "agency.txt", true)
	if err != nil {
		return err
	}
	for _, r := range agencies {
		zone, err := time.LoadLocation(r.get("agency_timezone"))
		if err != nil {
			m.note("%s:%d: time zone %q is not known here; UTC offset %v is taken", r.file, r.line,
				r.get("agency_timezone"), m.o.UTCOffset)
			continue
		}
		if !m.o.From.Valid() {
			continue // the tariff refuses it
		}
		from := int(m.o.From)
		_, ahead := time.Date(from/10000, time.Month(from/100%100), from%100, 12, 0, 0, 0, zone).Zone()
		if offset := time.Duration(ahead) * time.Second; offset != m.o.UTCOffset {
			return r.fail("%s is %v ahead of UTC on %v; the UTC offset asked for is %v", zone, offset,
				m.o.From, m.o.UTCOffset)
		}
	}
	return nil
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
	m.noteMedia(rows)
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

// noteMedia names the fare media by which products are sold: a tariff has one, the card.
func (m *importer) noteMedia(products []row) {
	media := map[string]bool{}
	for _, r := range products {
		if id := r.get("fare_media_id"); id != "" {
			media[id] = true
		}
	}
	for _, id := range slices.Sorted(maps.Keys(media)) {
		m.note("fare medium %q is left out: its products are fares of the card", id)
	}
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
	m.inherit(stops, rows)
	alone := map[string]bool{}
	for _, name := range names {
		if name != "" && m.areas[name] == nil {
			alone[name] = true
		}
	}
	if len(m.areas) > 0 && len(alone) > 0 {
		m.note("%d stations are in no area, as %q: rides there have no fare where fares go by area",
			len(alone), slices.Min(slices.Collect(maps.Keys(alone))))
	}
	m.stations = slices.Sorted(maps.Keys(m.areas))
	return nil
}

// inherit puts platforms that are in no area themselves into those of their station.
func (m *importer) inherit(stops, rows []row) {
	areas := map[string][]string{}
	for _, r := range rows {
		areas[r.get("stop_id")] = append(areas[r.get("stop_id")], r.get("area_id"))
	}
	for _, r := range stops {
		name := r.get("stop_name")
		if name == "" || areas[r.get("stop_id")] != nil {
			continue
		}
		for _, area := range areas[r.get("parent_station")] {
			if !slices.Contains(m.areas[name], area) {
				m.areas[name] = append(m.areas[name], area)
			}
		}
	}
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
		case p.plain < 0:
			return p.row.fail("product %s costs less than nothing and is the fare of a ride",
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
			if m.sold[n.mode] == nil {
				m.sold[n.mode] = map[string]bool{}
			}
			m.sold[n.mode][r.get("fare_product_id")] = true
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
	f.Matrix = &price.Matrix{Stations: m.stationsOf(n)}
	m.noteFilled(n, f.Matrix.Stations)
	for _, from := range f.Matrix.Stations {
		var cells []txn.Minor
		for _, to := range f.Matrix.Stations {
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

// noteFilled tells of rides that a rule without an area prices although another rule names the
// area: the feed means such a rule for the areas that no rule names.
func (m *importer) noteFilled(n *network, stations []string) {
	listed := map[string]map[string]bool{"from_area_id": {}, "to_area_id": {}}
	for _, r := range n.rules {
		for key := range listed {
			listed[key][r.get(key)] = true
		}
	}
	means := func(r row, key, station string) bool {
		areas, id := m.areas[station], r.get(key)
		return slices.Contains(areas, id) ||
			id == "" && !slices.ContainsFunc(areas, func(a string) bool { return listed[key][a] })
	}
	filled, first := 0, ""
	for _, from := range stations {
		for _, to := range stations {
			if !slices.ContainsFunc(n.rules, func(r row) bool {
				return means(r, "from_area_id", from) && means(r, "to_area_id", to)
			}) {
				filled, first = filled+1, cmp.Or(first, from+" to "+to)
			}
		}
	}
	if filled > 0 {
		m.note("network %q: %d rides, as %s, have no rule for their areas; that without an area is taken",
			n.name, filled, first)
	}
}

// stationsOf returns the stations of a network that has fares by area. Those in areas that only
// other networks name are theirs, unless a rule is for all areas; one in an area that nobody
// names is a gap.
func (m *importer) stationsOf(n *network) []string {
	var own []string
	all := slices.ContainsFunc(n.rules, func(r row) bool {
		return r.get("from_area_id") == "" || r.get("to_area_id") == ""
	})
	for _, station := range m.stations {
		others := func(o *network) bool { return o != n && o.names(m.areas[station]) }
		networks := slices.Collect(maps.Values(m.networks))
		if all || n.names(m.areas[station]) || !slices.ContainsFunc(networks, others) {
			own = append(own, station)
		}
	}
	if missing := len(m.stations) - len(own); missing > 0 {
		m.note("network %q: %d stations are only in areas that other networks name; it has no fare there",
			n.name, missing)
	}
	return own
}

// names reports whether a rule of the network names one of the areas.
func (n *network) names(areas []string) bool {
	return slices.ContainsFunc(n.rules, func(r row) bool {
		return slices.Contains(areas, r.get("from_area_id")) ||
			slices.Contains(areas, r.get("to_area_id"))
	})
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
