// Package list makes the lists of frozen cards that gates carry, and knows which gate has
// which list.
//
// Publisher follows the store's blacklist and publishes its states as numbered epochs: full
// files, and deltas between any two epochs. NewHandler serves them over HTTP. Tracker notes
// the epoch that each device shows, in polls, acknowledgements and taps, and says for any
// freeze which devices refuse the card by now, and since when. List is the reader that a
// gate has; Open, Apply and Contains never panic on any input.
//
// # Epochs
//
// An epoch is one state of the whole list, with all scopes. Numbers only grow and are never
// used twice, not after a restart, a failover, or the loss of the registry: each is taken
// from the registry by compare-and-set after the list was read, and a process that starts or
// is in doubt jumps beyond all that the registry, the directory of files, the clock (tenths
// of seconds since 2020), the changes of the list and the gates themselves give witness of.
// A gate therefore never goes from a later epoch back to an earlier one: it keeps what it has.
//
// # Files
//
// All integers are big-endian. A file is a header of 160 bytes, the content, a trailer.
//
//	 0   8  "TAPSLIST"
//	 8   1  version, 1
//	 9   1  format: 1 exact, 2 numbers, 3 filter8, 4 filter16, 5 delta
//	10   1  width: bytes of a key: 16 or 8; 10 for numbers; 8 for filters
//	11   1  0
//	12   2  scope: bits of the applications; a card is listed when one of them is closed:
//	        1 transit, 2 purse, 4 bank, 8 identity, 16 library, 32 campus, 64 parking, 128 social
//	14   2  160
//	16  16  scheme, ASCII, padded with zeros
//	32  16  id of the key that makes tokens of card numbers, the same
//	48   8  epoch
//	56   8  base epoch of a delta, else 0
//	64   8  when the epoch was made, milliseconds since 1970 UTC
//	72   8  cards listed at the epoch
//	80   4  delta: keys added      84   4  delta: keys removed
//	88   8  wide check             96   8  narrow check, of the list at the epoch
//	104  8  wide check            112   8  narrow check, of the list at the base epoch
//	120  8  bytes of content
//	128 32  SHA-256 of the content
//
// A token is the first 16 bytes of HMAC-SHA256 over the digits of the card number. Content:
//
//   - exact: the keys in ascending order, none twice. With width 8 a key is the first half of
//     a token; of n cards, one that is not listed is then taken for listed with probability
//     n/2^64, 2e-13 for 3 million.
//   - numbers: card numbers in BCD, padded on the right with F, in ascending order.
//   - filter8, filter16: a binary fuse filter of the first halves of the tokens: seed (8),
//     slots of a segment (4), segments s for a first place (4), number of slots (4), bits of a
//     slot (4), then the slots, of 1 or 2 bytes. With m(x): x ^= x>>33, x *= ff51afd7ed558ccd,
//     x ^= x>>33, x *= c4ceb9fe1a85ec53, x ^= x>>33 (64 bits, overflow dropped), a key k has
//     h = m(k + seed) and the places a = upper 64 bits of h * (s * segment),
//     b = (a + segment) ^ (h>>18 & segment-1), c = (a + 2*segment) ^ (h & segment-1). It is
//     listed when slot[a] ^ slot[b] ^ slot[c] are the low bits of h ^ h>>32. A card that is
//     not listed seems to be with probability 1/256 or 1/65536: a gate that can, then asks.
//     No slots mean no cards.
//   - delta: the keys added, then the keys removed, each in ascending order. It follows a
//     list of the same scheme, scope, token key and width whose epoch and checks are those of
//     the base; on a filter it is kept beside it: who was added is listed, who was removed is
//     not, else the filter counts.
//
// The wide check is the sum modulo 2^64 of m(hi + m(lo)) over the halves of all tokens, the
// narrow check that of m(hi) over the different first halves. After a delta of width 16 (8)
// the wide (narrow) check plus what was added minus what was removed must be the new one: the
// gate then holds what the switch holds.
//
// The trailer is algorithm (1 byte: 0 none, 1 Ed25519, 2 SM2 with SM3), length of the key id
// (1), key id, signature (64). Signed are the 17 characters "tapswitch list v1", a zero byte
// and the header. testdata/vectors.json has a file of each kind.
//
// # HTTP
//
//	GET  /v1/lists/{scope}/current               what is there: epoch, files, sizes, hashes
//	GET  /v1/lists/{scope}/full?format=exact|filter8|filter16[&width=16|8]
//	GET  /v1/lists/{scope}/delta?from=EPOCH[&width=16|8][&wait=30s]
//	POST /v1/lists/ack                           {"epoch":N}: the device holds it now
//
// A delta answers 204 (304 to a matching If-None-Match) when there is nothing new, 410 when
// the epoch is too old and 404 when it was never made: take the full file. With wait it
// answers when there is news, or when the time is over. All files have strong ETags, lengths
// and ranges with If-Range. A request may name the epoch held as X-List-Epoch; answers name
// the current one, and in X-List-Confirmed the milliseconds since 1970 of when the switch
// last heard from its store that it misses nothing.
//
// # Limits, memory, durability
//
// A list has at most 16 million cards. The publisher holds 18 bytes a frozen card, the
// changes of the last 100,000 epochs (at most 2 million, and of 96 hours), and the newest full
// file of each format that was asked for, unless it has a directory for them. Everything is safe
// for concurrent use. What the devices hold is saved every minute and marked as restored after a
// start; which epochs are followed is saved at once. The package starts no goroutine; who calls
// Run owns it.
//
// With Options.HistoryDir deltas outlive the process, kill -9 included: each epoch is in a
// file before a gate can see it. It is synced right after, at most every 5 s: a power cut may
// cost the epochs of that time, which are then refused (410). The file holds 18 bytes a card
// and 24 a change, and is made anew when it has grown beyond twice its first length and 64 MB.
// A process that starts makes the list of the last epoch from it, proves it by count and
// checks, and publishes the difference to what the store says now; nothing has to be known of
// the time between, and a store restored from an older copy is one more difference. The
// registry names the process that made the last epoch. Where that is not the file's, because
// another node took over, or the file or the registry is of another store or time, all of the
// file is dropped, and epochs of before are refused (410). What a torn or changed file still
// says for sure is used, the rest refused in the same way. On a full disk the file is given up
// and tried again each minute. Without a file each gate takes one full file after a start, of
// 16 or 8 bytes a card, or about 1.13 or 2.25 for a filter.
//
// It freezes and releases nothing, keeps no card numbers, authenticates nobody (its caller
// does), and does not say who is liable.
package list
