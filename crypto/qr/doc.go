// Package qr reads, verifies and makes the transit QR code of version 81h (JT/T standard,
// DOMAIN.md section 5) and the two files behind it, the CA file and the issuer certificate.
//
// A code is a chain of three SM2 signatures: the CA signs the issuer's certificate, the
// issuer signs the card, the limit and the user's key (the authorisation), and the user's
// phone signs the code of the moment. Verifier checks the chain, the times and the limits.
// It keeps issuer keys and authorisations that it has verified in two bounded caches, so
// that a card that comes back costs one signature; neither cache outlives a CA that was
// taken out, and a revocation is looked up each time.
//
// Amounts are in fen; times in a code are seconds since the profile's epoch. What differs
// between cities is a Profile. A refusal is a Refusal, a value with the code that validators'
// libraries show; errors hold neither card numbers nor key bytes, and a Code cannot be
// printed. All types are safe for concurrent use.
//
// The package asks no clock and keeps nothing: the caller gives the time, and remembers
// each ReplayKey for as long as the code is valid. Frozen cards are the switch's matter. Only
// the 81h layout is known; other versions are refused.
package qr
