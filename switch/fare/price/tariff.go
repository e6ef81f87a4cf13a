package price

import "github.com/tapswitch/tapswitch/switch/txn"

const (
	rulesMax  = 16        // transfers, tiers, caps, passes, each
	faresMax  = 4096      // fares
	namesMax  = 4096      // stations, lines or operators of one entry
	fareMax   = 1_000_000 // minor units of one ride
	stepsMax  = 512
	shareMax  = 2 * Whole // a peak fare may cost more
	lengthMax = 1 << 31   // metres or minutes of a ride, or what stands for more
	ridersN   = 8         // categories that there is room for
)

// Tariff is a compiled File. It is read only and safe for concurrent use.
type Tariff struct {
	file      File
	offset    txn.Millis // of local time less the start of the day
	from      int32      // service days
	until     int32
	roundTo   txn.Minor
	roundUp   int64 // what is added before the division, in basis points of a coin
	fares     []fareRule
	byLine    map[selector]int16
	byOp      map[selector]int16
	byMode    [modeEnd]int16
	riders    [ridersN][modeEnd]riderRule
	operators map[Name]operatorRule
	classes   [classEnd][modeEnd]classRule
	transfers []transferRule
	tiers     []Tier
	caps      [ridersN][periodEnd]txn.Minor // never: no cap
	passes    []passRule
	missing   missingRule
	persons   [ridersN]uint8 // on one card, 0: one
	// depth is how many rides of a chain can matter: the most legs of a transfer.
	depth int
}

type selector struct {
	mode Mode
	name Name
}

type fareRule struct {
	flat    txn.Minor
	kind    fareKind
	zones   map[Name]int
	byZones []txn.Minor
	index   map[Name]int // of the matrix
	matrix  []txn.Minor
	pairs   map[[2]Name]txn.Minor
	others  *txn.Minor // the fare of pairs that are not named
	steps   *Steps
	posts   map[Name]int
	given   *Given
	max     txn.Minor // the dearest ride
}

type fareKind uint8

const (
	flatFare fareKind = iota
	zoneFare
	matrixFare
	distanceFare
	timeFare
	givenFare
	pairFare
)

type riderRule struct {
	entry       int16 // in File.Riders, -1: pays the full fare
	noTransfers bool
	slices      []Slice
}

type operatorRule struct{ noDiscounts, noTransfers bool }

type classRule struct {
	times       txn.Minor // 0: the class is not sold
	noDiscounts bool
}

type transferRule struct {
	from, to, first uint8 // bits of modes
	riders          uint8
	window          txn.Millis
	measured        measure
	legs            int
	otherLine       bool
	off             txn.Minor
	pays            Share
}

type measure uint8

const (
	lastExit measure = iota
	lastEntry
	firstEntry
)

type passRule struct {
	name   Name
	period Period
	days   int32
	rides  int32
	price  txn.Minor
	modes  uint8
	riders uint8
}

type missingRule struct {
	exit, entry amount
	within      txn.Millis
	perMonth    int
	told        txn.Millis // how late a missing end may be told
}

// amount is a sum, the dearest ride, or nothing.
type amount struct {
	set, dearest bool
	sum          txn.Minor
}

// Name returns the tariff's name and Version that of its version.
func (t *Tariff) Name() string { return t.file.Tariff }

// Version returns the name of the version.
func (t *Tariff) Version() string { return t.file.Version }

// File returns what the tariff was compiled from. It must not be changed.
func (t *Tariff) File() *File { return &t.file }

// Pass returns the number of a pass by its name, -1 when there is none.
func (t *Tariff) Pass(name string) int {
	for i := range t.file.Passes {
		if t.file.Passes[i].Name == name {
			return i
		}
	}
	return -1
}

// LooksBack reports whether what a ride costs can depend on rides before it: with transfers,
// caps, tiers, passes or corrections. Without, no State need be kept but one with a past.
func (t *Tariff) LooksBack() bool {
	f := &t.file
	return len(f.Transfers)+len(f.Caps)+len(f.Tiers)+len(f.Passes) > 0 || t.missing.within > 0
}

// Overtime reports whether a long stay in the paid area has its price.
func (t *Tariff) Overtime() bool { return t.file.Overtime != nil }

// Persons returns how many persons may ride on the card of a rider, 1 unless the tariff has a
// group for him.
func (t *Tariff) Persons(rider txn.RiderCategory) int {
	if rider >= ridersN {
		return 1
	}
	return max(1, int(t.persons[rider]))
}

// Holds reports whether the version holds at an instant.
func (t *Tariff) Holds(at txn.Millis) bool {
	day := t.dayAt(at)
	return day >= t.from && day <= t.until
}

// ServiceDay returns the service day of an instant.
func (t *Tariff) ServiceDay(at txn.Millis) txn.BusinessDate { return dateOf(t.dayAt(at)) }

func (t *Tariff) dayAt(at txn.Millis) int32 {
	local := at + t.offset
	if local < 0 {
		return int32((local - msPerDay + 1) / msPerDay)
	}
	return int32(local / msPerDay)
}

// fareOf returns the fare rule of a ride, -1 for none: of its line, its operator, its mode.
func (t *Tariff) fareOf(mode Mode, line, operator Name) int16 {
	if mode >= modeEnd {
		return -1
	}
	if line != 0 && len(t.byLine) > 0 {
		if i, ok := t.byLine[selector{mode, line}]; ok {
			return i
		}
	}
	if operator != 0 && len(t.byOp) > 0 {
		if i, ok := t.byOp[selector{mode, operator}]; ok {
			return i
		}
	}
	return t.byMode[mode]
}

// ride is a whole ride.
type ride struct {
	mode       Mode
	class      Class
	rider      txn.RiderCategory
	from, to   Name
	line       Name
	operator   Name
	start, end txn.Millis
	metres     int64
	given      txn.Minor
	late       bool // comes after later rides: it joins no chain
}

// ruleFare returns the full fare of a ride by a rule.
func (t *Tariff) ruleFare(f *fareRule, r *ride) (txn.Minor, Reason) {
	switch f.kind {
	case flatFare:
		return f.flat, OK
	case zoneFare:
		a, ok := f.zones[r.from]
		b, found := f.zones[r.to]
		if !ok || !found {
			return 0, NoStation
		}
		return f.byZones[max(a, b)-min(a, b)], OK
	case matrixFare:
		a, ok := f.index[r.from]
		b, found := f.index[r.to]
		if !ok || !found {
			return 0, NoStation
		}
		return f.matrix[a*len(f.index)+b], OK
	case distanceFare:
		metres, ok := f.length(r)
		if !ok {
			return 0, NoDistance
		}
		return f.steps.at(metres), OK
	case pairFare:
		return f.pair(r.from, r.to)
	case timeFare:
		return f.steps.at((int64(max(r.end-r.start, 0)) + msPerMinute - 1) / msPerMinute), OK
	default:
		return r.given, t.plausible(f, r)
	}
}

// pair returns the fare between two stations.
func (f *fareRule) pair(from, to Name) (txn.Minor, Reason) {
	if a, ok := f.pairs[[2]Name{from, to}]; ok {
		return a, OK
	}
	if f.others == nil {
		return 0, NoStation
	}
	return *f.others, OK
}

// length returns how long a ride was, by the posts of its stations or by the terminal.
func (f *fareRule) length(r *ride) (metres int64, ok bool) {
	a, ok := f.posts[r.from]
	b, found := f.posts[r.to]
	if ok && found {
		return int64(max(a, b) - min(a, b)), true
	}
	return r.metres, r.metres > 0
}

// plausible checks a given fare. One of a class has a part of its way multiplied, and which
// part the terminal knows alone.
func (t *Tariff) plausible(f *fareRule, r *ride) Reason {
	times := t.classes[r.class][r.mode].times
	if r.given < f.given.Min*times || r.given > f.given.Max*times ||
		f.given.MultipleOf > 0 && r.given%f.given.MultipleOf != 0 {
		return FareImpossible
	}
	return OK
}

// at returns the fare of a length or time.
func (s *Steps) at(n int64) txn.Minor {
	for i := range s.Steps {
		if n <= s.Steps[i].Upto {
			return s.Steps[i].Fare
		}
	}
	last := &s.Steps[len(s.Steps)-1]
	if s.Every == 0 {
		return last.Fare
	}
	begun := (min(n, lengthMax) - last.Upto + s.Every - 1) / s.Every
	return min(last.Fare+txn.Minor(begun)*s.Add, s.Max)
}

// round makes a payable amount of n basis points of minor units.
func (t *Tariff) round(n int64) txn.Minor {
	coin := int64(Whole) * int64(t.roundTo)
	return txn.Minor((n+t.roundUp)/coin) * t.roundTo
}

func (t *Tariff) share(a txn.Minor, s Share) txn.Minor {
	if s == Whole {
		return a
	}
	return t.round(int64(a) * int64(s))
}

// pays returns what a rider pays of a full fare.
func (t *Tariff) pays(full txn.Minor, rule *riderRule) txn.Minor {
	if rule.entry < 0 {
		return full
	}
	var sum int64
	low := txn.Minor(0)
	for i := range rule.slices {
		s := &rule.slices[i]
		high := full
		if s.Upto > 0 {
			high = min(full, s.Upto)
		}
		sum += int64(max(high-low, 0)) * int64(s.Pays)
		low = max(low, high)
	}
	return t.round(sum)
}
