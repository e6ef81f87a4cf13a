// Package gatesim is gates that behave like real ones: each serves cards by itself, keeps what
// it did in a queue on disk, and uploads when there is a network.
//
// A gate decides off line by what it downloaded and has verified: the list of frozen cards
// (exact or filter, full or delta, signature, epoch), parameters and orders of degraded modes
// (package provision), the tariff. It knows how old its list is, asks on line where a purse's
// lease has ended (the switch's answers say when) or the floor limit is reached, refuses pass-back, and stops serving when its
// queue is full. Its clock is off and drifts, it boots, loses the network for hours, uploads in
// batches, goes on where it was interrupted, and sends batches twice on purpose.
//
// A card is a chip in a file: balance, offline counter, what it proved last, and its TAC key.
// Every tap is an intent in the queue, the debit of the chip, and the proof in the queue, each
// on disk before the next; what a kill tears in between is found at the next boot by asking the
// chip, as GET TRANSACTION PROVE does. A card has one home gate, or it is the city's.
//
// The city is the last gates of a world: metro stations, buses and trams, to which the same cards
// come. A chip of the city remembers its rides, by which the tariff prices the next one with its
// transfers; a record says where the ride began, how long it was, by what mode and class. The
// chips lie in one file, and one goroutine plays all gates of the city tap by tap, so that a kill
// leaves one torn tap at most; a lock keeps a second process out. Some debits the plan tears: the
// card is away before it answers, debited or not. The record goes up grey; when the card is shown
// there again before it paid elsewhere its proof follows, else its next record tells the switch,
// which the gate hears at the end.
//
// Time is the plan's: tap n of a gate happens at Base + n intervals, whatever the machine does,
// and with the same seed, documents and list a gate does the same to the last byte. Only faults
// that are not in the plan (a switch that does not answer) make a difference: the gate goes on
// off line. Signatures of calls have the machine's time.
//
// A Report counts what a gate did. Settled is what the switch must have booked for it. Amounts
// are fen, instants Unix milliseconds. Each gate belongs to one goroutine and one process: a
// lock on its directory sees to it. Keys are test keys, card numbers test numbers (310498…),
// which no file, error or report holds.
package gatesim
