package price

import (
	"time"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// Share is a part of an amount in basis points: 9500 is written "95%".
type Share int64

// Whole is all of an amount.
const Whole Share = 10_000

// File is one version of a tariff as it stands in its YAML file. In every entry Line is the
// line of the file, for messages; 0 where it did not come from one. Amounts are minor units.
type File struct {
	Line int `yaml:"-"`
	// Tariff names the tariff; its versions share the name. Version names this one.
	Tariff  string `yaml:"tariff"`
	Version string `yaml:"version"`
	// Effective are the service days on which the version holds.
	Effective Effective `yaml:"effective"`
	// UTCOffset is how far local time is ahead of UTC, without daylight saving. The service
	// day begins DayStarts after local midnight.
	UTCOffset time.Duration `yaml:"utc_offset"`
	DayStarts time.Duration `yaml:"day_starts,omitempty"`
	Rounding  Rounding      `yaml:"rounding,omitempty"`
	// BestPrice makes Compile refuse a pass with which a rider could pay less than the caps
	// let him.
	BestPrice bool `yaml:"best_price,omitempty"`

	Fares     []Fare     `yaml:"fares"`
	Riders    []Rider    `yaml:"riders,omitempty"`
	Operators []Operator `yaml:"operators,omitempty"`
	Classes   []ClassOf  `yaml:"classes,omitempty"`
	Transfers []Transfer `yaml:"transfers,omitempty"`
	Tiers     []Tier     `yaml:"monthly_tiers,omitempty"`
	Caps      []Cap      `yaml:"caps,omitempty"`
	Passes    []Pass     `yaml:"passes,omitempty"`
	Groups    []Group    `yaml:"groups,omitempty"`

	Incomplete  *Incomplete  `yaml:"incomplete,omitempty"`
	Overtime    *Overtime    `yaml:"overtime,omitempty"`
	SameStation *SameStation `yaml:"same_station,omitempty"`
}

// Effective is the first and the last service day; without a last one it holds on.
type Effective struct {
	Line  int              `yaml:"-"`
	From  txn.BusinessDate `yaml:"from"`
	Until txn.BusinessDate `yaml:"until,omitempty"`
}

// Rounding is how a share of an amount becomes a payable one.
type Rounding struct {
	Line int       `yaml:"-"`
	Mode string    `yaml:"mode,omitempty"` // down (in the rider's favour), nearest or up
	To   txn.Minor `yaml:"to,omitempty"`   // the smallest coin; 1 unless given
}

// Fare is the full fare of rides. Exactly one way of making it is given. It holds for the
// lines it names, or for the operators, or else for all of the mode.
type Fare struct {
	Line      int      `yaml:"-"`
	Name      string   `yaml:"name"`
	Mode      string   `yaml:"mode"`
	Lines     []string `yaml:"lines,omitempty"`
	Operators []string `yaml:"operators,omitempty"`

	Flat     *txn.Minor `yaml:"flat,omitempty"`
	Zones    *Zones     `yaml:"zones,omitempty"`
	Matrix   *Matrix    `yaml:"matrix,omitempty"`
	Pairs    *Pairs     `yaml:"pairs,omitempty"`
	Distance *Steps     `yaml:"distance,omitempty"` // steps in metres
	Time     *Steps     `yaml:"time,omitempty"`     // steps in minutes
	Given    *Given     `yaml:"given,omitempty"`
}

// Zones charges by how many zones a ride touches: the difference of the numbers, and one.
type Zones struct {
	Line     int            `yaml:"-"`
	Stations map[string]int `yaml:"stations"`
	// Fares has the fare for one zone, for two, and so on.
	Fares []txn.Minor `yaml:"fares"`
}

// Matrix is a fare from every station to every station. A row has either all fares, or
// those from its own station on: then the table holds in both directions.
type Matrix struct {
	Line     int           `yaml:"-"`
	Stations []string      `yaml:"stations"`
	Rows     [][]txn.Minor `yaml:"rows"`
}

// Pairs is a fare between each two stations, in both directions. Otherwise is the fare of all
// that are not named; without it every pair of the named stations must have its own.
type Pairs struct {
	Line      int        `yaml:"-"`
	Fares     []PairFare `yaml:"fares"`
	Otherwise *txn.Minor `yaml:"otherwise,omitempty"`
}

// PairFare is the fare between two stations.
type PairFare struct {
	Line int       `yaml:"-"`
	From string    `yaml:"from"`
	To   string    `yaml:"to"`
	Fare txn.Minor `yaml:"fare"`
}

// Steps charge by length or time: the fare of the first step that reaches so far; beyond the
// last, Add for each Every begun, up to Max.
type Steps struct {
	Line  int       `yaml:"-"`
	Steps []Step    `yaml:"steps"`
	Every int64     `yaml:"every,omitempty"`
	Add   txn.Minor `yaml:"add,omitempty"`
	Max   txn.Minor `yaml:"max,omitempty"`
	// Posts are the places of stations along their line in metres, for distances; without
	// them the terminal says how long a ride was.
	Posts map[string]int `yaml:"posts,omitempty"`
}

// Step is a fare up to a length or time.
type Step struct {
	Line int       `yaml:"-"`
	Upto int64     `yaml:"upto"`
	Fare txn.Minor `yaml:"fare"`
}

// Given takes the full fare from the terminal, which holds a table that is not published, and
// refuses one that cannot be.
type Given struct {
	Line       int       `yaml:"-"`
	Min        txn.Minor `yaml:"min"`
	Max        txn.Minor `yaml:"max"`
	MultipleOf txn.Minor `yaml:"multiple_of,omitempty"`
}

// Rider is what a category of holders pays in some modes: a share, or slices of the fare.
type Rider struct {
	Line      int      `yaml:"-"`
	Rider     string   `yaml:"rider"`
	Modes     []string `yaml:"modes,omitempty"` // all unless given
	Pays      *Share   `yaml:"pays,omitempty"`
	Slices    []Slice  `yaml:"slices,omitempty"`
	Transfers string   `yaml:"transfers,omitempty"` // "none": no transfer discount
}

// Slice is the share that is paid of the part of a fare up to Upto, from where the slice
// before ended; the last one has no end.
type Slice struct {
	Line int       `yaml:"-"`
	Upto txn.Minor `yaml:"upto,omitempty"`
	Pays Share     `yaml:"pays"`
}

// Operator is an operator with rules of its own.
type Operator struct {
	Line     int    `yaml:"-"`
	Operator string `yaml:"operator"`
	// Discounts none: everybody pays the full fare. Transfers none: no transfer discount on
	// its rides.
	Discounts string `yaml:"discounts,omitempty"`
	Transfers string `yaml:"transfers,omitempty"`
}

// ClassOf is a class of travel: the fare times a number. A given fare has it already.
type ClassOf struct {
	Line      int    `yaml:"-"`
	Class     string `yaml:"class"`
	Mode      string `yaml:"mode"`
	Times     int    `yaml:"times"`
	Discounts string `yaml:"discounts,omitempty"` // "none": free riders pay too
}

// Transfer is a discount on a ride that follows another one.
type Transfer struct {
	Line   int           `yaml:"-"`
	Name   string        `yaml:"name"`
	From   []string      `yaml:"from"`
	To     []string      `yaml:"to"`
	Riders []string      `yaml:"riders,omitempty"` // all unless given
	First  []string      `yaml:"first,omitempty"`  // modes with which the chain may begin
	Window time.Duration `yaml:"window"`
	// Measured is where the window begins: at the end of the ride before (last_exit, unless
	// given), at its beginning (last_entry), or at that of the chain's first ride
	// (first_entry). It ends where this ride begins.
	Measured string `yaml:"measured_from,omitempty"`
	// Legs is the most rides of a chain; 0 is no limit.
	Legs int `yaml:"legs,omitempty"`
	// SameLine no: another ride of the same line is no transfer.
	SameLine string     `yaml:"same_line,omitempty"`
	Off      *txn.Minor `yaml:"off,omitempty"`
	Pays     *Share     `yaml:"pays,omitempty"`
}

// Tier is the share that is paid once the full fares of the month have reached From.
type Tier struct {
	Line int       `yaml:"-"`
	From txn.Minor `yaml:"from"`
	Pays Share     `yaml:"pays"`
}

// Cap is the most that a rider pays in a day, week (from Monday) or month.
type Cap struct {
	Line   int       `yaml:"-"`
	Period string    `yaml:"period"`
	Amount txn.Minor `yaml:"amount"`
	Riders []string  `yaml:"riders,omitempty"` // all unless given
}

// Pass is a product that makes rides free: for a day, week or month of the calendar, or for
// some days from its sale, or for some rides.
type Pass struct {
	Line   int       `yaml:"-"`
	Name   string    `yaml:"name"`
	Price  txn.Minor `yaml:"price"`
	Period string    `yaml:"period,omitempty"` // day, week or month
	Days   int       `yaml:"days,omitempty"`
	Rides  int       `yaml:"rides,omitempty"` // 0: any number
	Modes  []string  `yaml:"modes,omitempty"`
	Riders []string  `yaml:"riders,omitempty"`
}

// Group lets several persons ride on one card, who pay a ride each: the holder and who
// accompanies him.
type Group struct {
	Line    int      `yaml:"-"`
	Riders  []string `yaml:"riders,omitempty"` // all unless given
	Persons int      `yaml:"persons"`
}

// Incomplete is what a journey costs of which one end is missing: "maximum", "none" or an
// amount. The rider's share applies, no other discount. An end that a gate tells off line within
// ToldWithin of its time, 72h unless given, completes the journey after all: it is priced as if it
// had come in its time, and what the incomplete journey cost more is given back. With 0s it is
// never.
type Incomplete struct {
	Line         int            `yaml:"-"`
	MissingExit  string         `yaml:"missing_exit"`
	MissingEntry string         `yaml:"missing_entry"`
	ToldWithin   *time.Duration `yaml:"told_within,omitempty"`
	Correction   *Correction    `yaml:"correction,omitempty"`
}

// Correction lets holders name the missing station themselves.
type Correction struct {
	Line     int           `yaml:"-"`
	Within   time.Duration `yaml:"within"`
	PerMonth int           `yaml:"per_month"`
}

// Overtime is charged on top when a ride took longer than After.
type Overtime struct {
	Line   int           `yaml:"-"`
	After  time.Duration `yaml:"after"`
	Charge txn.Minor     `yaml:"charge"`
}

// SameStation is the full fare of a ride that ends where it began: Charge within the time,
// Later after it. A free one is no ride: it begins no chain and breaks none.
type SameStation struct {
	Line   int           `yaml:"-"`
	Within time.Duration `yaml:"within"`
	Charge txn.Minor     `yaml:"charge"`
	Later  txn.Minor     `yaml:"later"`
}
