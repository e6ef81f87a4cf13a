package gtfs

import (
	"maps"
	"slices"

	"github.com/tapswitch/tapswitch/switch/fare/price"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// of returns what a rider category pays for a product; one without an amount of its own pays
// that of everybody.
func (p *product) of(rider string) txn.Minor {
	if amount, ok := p.riders[rider]; ok {
		return amount
	}
	return p.plain
}

// makeRiders makes shares of the amounts of rider categories: for each mode one share of all
// the products that are fares of its rides.
func (m *importer) makeRiders() error {
	riders := map[string]bool{}
	for _, products := range m.sold {
		for id := range products {
			for rider := range m.products[id].riders {
				riders[rider] = true
			}
		}
	}
	for _, rider := range slices.Sorted(maps.Keys(riders)) {
		ours, ok := m.o.Riders[rider]
		if !ok {
			m.note("rider category %q is left out; name ours for it", rider)
			continue
		}
		m.shares[rider] = map[string]price.Share{}
		for _, mode := range slices.Sorted(maps.Keys(m.sold)) {
			share, err := m.share(rider, mode)
			if err != nil {
				return err
			}
			if m.shares[rider][mode] = share; share != price.Whole {
				m.file.Riders = append(m.file.Riders, price.Rider{Rider: ours, Modes: []string{mode},
					Pays: &share})
			}
		}
	}
	return nil
}

// share returns the share that a rider category pays of all products of a mode.
func (m *importer) share(rider, mode string) (share price.Share, err error) {
	first := ""
	for _, id := range slices.Sorted(maps.Keys(m.sold[mode])) {
		p := m.products[id]
		pays := p.of(rider)
		if p.plain == 0 && pays == 0 {
			continue
		}
		if p.plain == 0 || int64(pays)*int64(price.Whole)%int64(p.plain) != 0 {
			return 0, p.row.fail("riders %q pay a share of product %s that is no whole basis point",
				rider, id)
		}
		of := price.Share(int64(pays) * int64(price.Whole) / int64(p.plain))
		if first != "" && of != share {
			return 0, p.row.fail("riders %q pay %s of product %s and %s of %s; a tariff has one share "+
				"for a mode", rider, of, id, share, first)
		}
		share, first = of, id
	}
	if first == "" {
		return price.Whole, nil
	}
	return share, nil
}

// holds reports whether the discount t is what the feed says for each rider category that is
// imported: p is the product of the transfer, nil for none.
func (m *importer) holds(t *price.Transfer, kind string, p *product, first, second txn.Minor) bool {
	if p == nil {
		p = &product{}
	}
	for rider, shares := range m.shares {
		for _, from := range t.From {
			for _, to := range t.To {
				if !m.same(t, kind, p.of(rider), part(first, shares[from]), part(second, shares[to])) {
					return false
				}
			}
		}
	}
	return true
}

// same holds for one rider category: amount is that of the transfer, first and second the
// fares of the two rides.
func (m *importer) same(t *price.Transfer, kind string, amount, first, second txn.Minor) bool {
	if kind == "1" { // the second fare may be any
		return -amount == *t.Off
	}
	charged := txn.Minor(0)
	if t.Off != nil {
		charged = max(second-*t.Off, 0)
	} else {
		charged = part(second, *t.Pays)
	}
	if kind == "2" {
		amount -= first
	}
	return charged == amount
}

func part(amount txn.Minor, share price.Share) txn.Minor {
	return amount * txn.Minor(share) / txn.Minor(price.Whole)
}
