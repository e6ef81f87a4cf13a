// Package scheme owns what differs between cities: one policy file a city, in which every
// value carries the clause and date of the rule book that it comes from or says that it is a
// product rule; the calendar of working days; the tariff of fees; the published list of
// services.
//
// A file is read strictly: an unknown key, a missing value, a value without source and two
// values that contradict each other are refused with file, line, key and what to do. There are
// no defaults: what a file does not say is not known, so Handan's two hours are nobody's
// default.
//
// Units: amounts in fen, legal periods in days or working days (Term), clocks in
// time.Duration, dates as txn.BusinessDate in the city's own time. A Policy and a Calendar are
// read-only after they were read and safe for concurrent use. The package keeps nothing, asks
// no clock and reads no file of the disk: its caller hands it the text, or takes one of the
// files that package deploy carries in the binary.
package scheme
