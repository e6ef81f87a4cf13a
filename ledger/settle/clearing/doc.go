// Package clearing decides what the parties of a business day owe each other: gross figures,
// fees with tax, concessions and who funds them, revenue shared between operators, the net of
// each party and the payment orders that settle it.
//
// A Gatherer takes the records of the day, once each and in any order; Settle turns the sums
// into a Statement. The same records, terms and prior orders give the same Statement, line for
// line. Every entry sums to zero, shares sum to what was shared, and orders to the net.
//
// Amounts are int64 minor units with a currency, credits positive; products are computed in 128
// bits and rounded half away from zero, once a fee; what does not fit is ErrOverflow. The
// package is pure: no network, disk, clock or goroutine; working days come from the caller. A
// Gatherer is for one goroutine. It never spreads a rounding over parties that are not named,
// and never nets currencies.
package clearing
