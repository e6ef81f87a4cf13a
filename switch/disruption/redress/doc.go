// Package redress gives back what journeys were charged that an order of a degraded mode
// forgives, where the order was confirmed only after they had been charged.
//
// An order is read against the ledger: every charge for an incomplete journey or for overtime
// since the order began is a Journey, if disruption.Forgive forgives it now. One operator
// proposes the list, which is kept as it was shown; another one confirms it, naming its number
// and sum. Then each journey is given back by a Correction of the engine, an entry of the open
// day that names the charge, the order and both persons: a day that has ended is not touched.
//
// A journey is given back once. The id of its correction is made of the charge's place in the
// ledger, so that all processes, runs and orders mean the same request: the card knows it while
// it is young, and before each round the ledger is asked when it has everything that was
// committed before; a request that was not carried out within AskedMax of that question never
// is. What the holder corrects himself (package ridedesk) and what is given back here exclude
// each other: what the ledger shows of the one, the engine looks after on the card for the other.
//
// Whatever fails is tried again, also after a restart, until each journey is given back or
// refused; a refused one is for a person. It owns the registry keys below grace/. Amounts are
// minor units, instants Unix milliseconds. Safe for concurrent use, in several processes. It
// neither gives orders nor prices a ride, and what is given back still counts towards the caps
// of its day: that is in the holder's favour.
package redress
