package gtfs

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/tapswitch/tapswitch/switch/fare/price"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// windowMax is the window of a transfer without a limit of time: a chain ends with the
// service day anyway.
const windowMax = 24 * time.Hour

// makeTransfers makes the transfer rules.
func (m *importer) makeTransfers() error {
	rows, err := readTable(m.fsys, "fare_transfer_rules.txt", true)
	if err != nil {
		return err
	}
	for _, key := range []string{"from_leg_group_id", "to_leg_group_id"} {
		m.listed[key] = map[string]bool{}
		for _, r := range rows {
			m.listed[key][r.get(key)] = true
		}
	}
	for _, r := range rows {
		t := price.Transfer{Name: "line " + strconv.Itoa(r.line)}
		if t.From, err = m.modesOf(r, "from_leg_group_id"); err != nil {
			return err
		}
		if t.To, err = m.modesOf(r, "to_leg_group_id"); err != nil {
			return err
		}
		if t.Legs, err = transferCount(r.get("transfer_count")); err != nil {
			return r.fail("%w", err)
		}
		if err := m.window(r, &t); err != nil {
			return err
		}
		if err := m.discount(r, &t); err != nil {
			return err
		}
		m.file.Transfers = append(m.file.Transfers, t)
	}
	return nil
}

// covers reports whether the leg group of a rule's field is group. A rule without one is for the
// groups that no rule names there.
func (m *importer) covers(r row, key, group string) bool {
	id := r.get(key)
	return id == group || id == "" && !m.listed[key][group]
}

// modesOf returns the modes of the leg groups of a rule. Two groups that share a mode cannot be
// told apart.
func (m *importer) modesOf(r row, key string) ([]string, error) {
	id := r.get(key)
	modes := map[string]bool{}
	for group, of := range m.groups {
		if m.covers(r, key, group) {
			maps.Copy(modes, of)
		}
	}
	if len(modes) == 0 {
		return nil, r.fail("leg group %q has no rule in fare_leg_rules.txt", id)
	}
	for group, of := range m.groups {
		for mode := range of {
			if !m.covers(r, key, group) && modes[mode] {
				return nil, r.fail("leg groups %q and %q are both %s; transfers go by mode", id, group, mode)
			}
		}
	}
	return slices.Sorted(maps.Keys(modes)), nil
}

func (m *importer) window(r row, t *price.Transfer) error {
	t.Window = windowMax
	limit := r.get("duration_limit")
	if limit == "" {
		m.note("%s:%d: no time limit; %v is taken", r.file, r.line, windowMax)
		return nil
	}
	n, err := strconv.Atoi(limit)
	if err != nil || n <= 0 {
		return r.fail("duration_limit %q is no number of seconds", limit)
	}
	t.Window = time.Duration(n) * time.Second
	switch r.get("duration_limit_type") {
	case "1":
		t.Measured = "last_entry"
	case "2":
		t.Measured = "last_exit"
	case "0":
		t.Measured = "last_entry"
		m.note("%s:%d: the limit ends where the next ride begins, not where it ends", r.file, r.line)
	case "3":
		t.Measured = "last_exit"
		m.note("%s:%d: the limit ends where the next ride begins, not where it ends", r.file, r.line)
	default:
		return r.fail("duration_limit_type %q is not 0 to 3", r.get("duration_limit_type"))
	}
	return nil
}

// discount makes what the second leg costs: of type 0 the transfer's own price, of type 1
// its own fare and the transfer's price, of type 2 nothing beside a price for both.
func (m *importer) discount(r row, t *price.Transfer) error {
	var amount txn.Minor
	var p *product
	if id := r.get("fare_product_id"); id != "" {
		p = m.products[id]
		if p == nil || !p.given {
			return r.fail("product %q is not in fare_products.txt", id)
		}
		amount = p.plain
	}
	free := price.Share(0)
	first, firstFlat := m.flat(r, "from_leg_group_id")
	second, secondFlat := m.flat(r, "to_leg_group_id")
	switch kind := r.get("fare_transfer_type"); {
	case kind == "1" && amount <= 0:
		off := -amount
		t.Off = &off
	case kind == "0" && amount == 0, kind == "2" && firstFlat && amount == first:
		t.Pays = &free
	case kind == "0" && secondFlat && amount > 0 && amount <= second:
		off := second - amount
		t.Off = &off
	case kind == "2" && firstFlat && secondFlat && amount >= first && amount <= first+second:
		off := first + second - amount
		t.Off, t.Legs = &off, 2 // the price of both is that of two
	default:
		return r.fail("a transfer of type %q for %d cannot be said as a discount on the second ride",
			kind, amount)
	}
	kind := r.get("fare_transfer_type")
	if m.holds(t, kind, p, first, second) {
		return nil
	}
	if kind == "0" && second > 0 && int64(amount)*int64(price.Whole)%int64(second) == 0 {
		share := price.Share(int64(amount) * int64(price.Whole) / int64(second))
		if t.Off, t.Pays = nil, &share; m.holds(t, kind, p, first, second) {
			return nil
		}
	}
	return r.fail("rider categories pay another price for the transfer than the discount on the " +
		"second ride makes; a tariff has one discount for all")
}

// flat returns the one fare that all legs of the groups of a rule cost.
func (m *importer) flat(r row, key string) (amount txn.Minor, ok bool) {
	var all []txn.Minor
	for id, fares := range m.flats {
		if m.covers(r, key, id) {
			all = append(all, fares...)
		}
	}
	slices.Sort(all)
	all = slices.Compact(all)
	if len(all) != 1 {
		return 0, false
	}
	return all[0], true
}
