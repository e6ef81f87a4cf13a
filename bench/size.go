package bench

import "time"

// Size says how large the scenarios are.
type Size struct {
	// Rounds is how often ours and the comparison take turns, RunFor how long each turn is.
	Rounds int
	RunFor time.Duration
	// Settle bounds the wait for a server to become idle before the other one's turn.
	Settle time.Duration
	// Connections are the numbers of connections of the tap scenarios.
	Connections []int
	// Cards are enrolled for taps.
	Cards int
	// Listed are the sizes of the blacklist in the check scenario, and RedisListed those
	// that are also put into Redis.
	Listed      []int
	RedisListed []int
	// Probes is how many lookups or decisions one measurement makes.
	Probes int
	// Open is how long the open-loop measurements take.
	Open time.Duration
	// BatchTaps is how many taps a batch holds, Batches how many each turn sends.
	BatchTaps int
	Batches   int
	// Freezes is how many cards are frozen under load.
	Freezes int
	// FeedRows is how many records each turn of the feed carries.
	FeedRows int
	// StartFrozen is how many cards are frozen before the start that is timed, ActiveCards
	// how many are enrolled and used before memory is read.
	StartFrozen int
	ActiveCards int
	// DayRows is how many records the day has whose totals and pages are timed, and how many
	// rows each side of the reconciliation has. CutOver is how long taps go on while a day ends.
	DayRows int
	CutOver time.Duration
}

// FullSize is the size of the numbers in the design.
func FullSize() Size {
	return Size{
		Rounds: 5, RunFor: 4 * time.Second, Settle: 15 * time.Second,
		Connections: []int{64, 256}, Cards: 100_000,
		Listed: []int{10_000, 1_000_000, 10_000_000}, RedisListed: []int{10_000, 1_000_000},
		Probes: 1 << 20, Open: 15 * time.Second, BatchTaps: 5000, Batches: 40, Freezes: 300,
		FeedRows: 300_000, StartFrozen: 10_000_000, ActiveCards: 1_000_000,
		DayRows: 10_000_000, CutOver: 20 * time.Second,
	}
}

// QuickSize runs everything within a minute. Its figures show that the code works and
// little more.
func QuickSize() Size {
	return Size{
		Rounds: 3, RunFor: 600 * time.Millisecond, Settle: time.Second,
		Connections: []int{64, 256}, Cards: 10_000,
		Listed: []int{10_000, 1_000_000}, RedisListed: []int{10_000},
		Probes: 1 << 17, Open: 2 * time.Second, BatchTaps: 5000, Batches: 3, Freezes: 30,
		FeedRows: 20_000, StartFrozen: 500_000, ActiveCards: 50_000,
		DayRows: 200_000, CutOver: 8 * time.Second,
	}
}

// TinySize is for tests: each scenario in about a second.
func TinySize() Size {
	return Size{
		Rounds: 2, RunFor: 150 * time.Millisecond, Settle: time.Millisecond,
		Connections: []int{8}, Cards: 1000,
		Listed: []int{1000}, RedisListed: []int{1000},
		Probes: 1 << 12, Open: 300 * time.Millisecond, BatchTaps: 200, Batches: 2, Freezes: 3,
		FeedRows: 1000, StartFrozen: 10_000, ActiveCards: 2000,
		DayRows: 5000, CutOver: time.Second,
	}
}
