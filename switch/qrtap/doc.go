// Package qrtap takes the taps of QR codes: it verifies the code, and asks the engine about the
// card that the code stands for.
//
// Handler serves POST /v1/qr-taps for one tap and POST /v1/qr-taps/batches for those that a
// validator took off line. Which device asks stands in a header that the gate sets after it has
// checked a signature; the package trusts it and must not be reached but through it. A code taken
// on line is verified at the switch's clock, one taken off line at its service time; then the
// engine charges the card account under its freeze, and marks the code as used in the same
// commit. A request sent again with its id gets the stored answer, also when the code has expired
// since.
//
// A refusal is an answer with status 200: its reason, and the code that validators show for it.
// What is refused before its signatures are proven leaves no record and tells nothing of the
// card, since anybody can write a card number into a code. Amounts are minor units. The package
// keeps nothing, holds a card number no longer than it takes to make the token, and prices
// nothing. Safe for concurrent use.
package qrtap
