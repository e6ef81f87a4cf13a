// Package flat reads JSON as the gate takes it: flat objects of strings, integers and
// arrays of strings, in one pass and without allocating. It also reads RFC 3339 instants.
//
// The Scanner is stricter than the standard: strings must be UTF-8 and surrogates paired.
// It tells integers from other numbers, knows no recursion, and looks at no byte twice.
// Results point into the text and die with it.
//
// The package does not know field names, does not convert to Go values beyond int64, and
// writes nothing.
package flat
