// Package price says what one tap costs under a tariff with transfers, caps, passes,
// concessions and incomplete journeys, and why.
//
// A File is the tariff as a person writes it; Compile refuses one that contradicts itself or
// leaves a gap, and names the line. A Tariff is read only and safe for concurrent use. Price
// is a function of the card's State, the tap and the tariff: it reads no clock, keeps nothing,
// allocates nothing and takes less than a microsecond. Amounts are minor units, instants
// milliseconds since 1970 UTC, shares basis points.
//
// The best price is a property, not a hope. A ride may continue the rider's chain of transfers
// or begin a new one, and which is cheaper can depend on rides that are still to come. State
// therefore keeps, for the service day, the least total for every length of the current chain,
// and a ride is charged the growth of the least of them: after every tap the rider has paid
// exactly what the cheapest legal combination of all rides of the day costs. Caps act on that
// total. Three rules of the tariff make this exact: a chain ends with the service day, a cap
// counts all modes, and tiers count full fares. A pass is used wherever it holds.
//
// The package does not move money, know the order of records or repair it: taps of a card
// come in the order of time, and one that does not is refused.
package price
