// Package sim is the world around the switch, from one seed: a city with operators,
// stations, terminals and cards, the requests of a morning, and what should come of them.
//
// A Plan holds an ordered script for every card. Each step carries the answer that an
// independent model expects, a few lines of arithmetic that share nothing with the engine.
// Only the order within a card matters, so the figures are the same for any number of
// workers, any store, and any crash in between. A Driver plays the plan over HTTP through a
// Client that signs, retries with the same request id and compares later copies of an
// answer with the first.
//
// Amounts are minor units (fen). Card numbers are test numbers (310499…) in a type that
// cannot be printed. A Plan is only read once it is made; Client and Driver are safe for
// concurrent use. Sub-packages: faultproxy breaks connections on purpose, szt replays
// real taps.
//
// The package keeps no files and knows no switch but the one it is pointed at. It refuses
// plans beyond CardsMax.
package sim
