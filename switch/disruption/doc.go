// Package disruption holds the orders by which an operator or the agency lets gates work
// otherwise than the tariff says, and what follows from them for a journey: a train fault, a
// closed station, an emergency release, entry or exit waived, time waived.
//
// An Order says where (Scope), from when until when, why, and by whom. What waives money takes
// two persons. The two modes that are about safety reach the gates before the second person has
// confirmed, since nobody waits for a signature to open a door; the grace that they give counts
// only once it is confirmed. FlagsAt says which modes a tap was made under, Forgive what of a
// journey must not be charged.
//
// The package is pure: it reads no clock, keeps nothing and changes no order that it is given.
// Instants are Unix milliseconds. It does not price anything and does not decide who bears the
// money that is not earned.
package disruption
