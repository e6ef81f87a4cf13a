package purse

import (
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
)

// Record is an offline transaction as clearing gets it: what the TAC covers, what its key
// comes from, and the fields that a TAC does not cover but clearing checks (balances and
// the card's counter of a purchase).
type Record struct {
	Card
	KeyVersion uint8
	KeyIndex   uint8
	// Algorithm is the card's algorithm id. It is not trusted: the scheme of the issuer's
	// key decides.
	Algorithm uint8
	Values
	TAC [4]byte
}

// Verdict is what verification says about a record.
type Verdict uint8

// The verdicts. Only Good says that the card made the record.
const (
	// Undecided: the master key's holder failed. Try again.
	Undecided Verdict = iota
	// Good: the TAC is right.
	Good
	// WrongTAC: the TAC is not that of the record's data and card. Do not pay.
	WrongTAC
	// UnknownKey: there is no TAC key of the record's issuer, version and index. Suspend
	// the record until the key is loaded.
	UnknownKey
	// Malformed: the record cannot be one of a card: no such date, time or serial number,
	// or a transaction type that has no TAC.
	Malformed
	verdictEnd
)

// String returns the verdict as in reports: "good", "wrong-tac", ...
func (v Verdict) String() string {
	if v >= verdictEnd {
		return "unknown"
	}
	return [verdictEnd]string{"undecided", "good", "wrong-tac", "unknown-key", "malformed"}[v]
}

// Counts has the number of records of each verdict.
type Counts [verdictEnd]int

// KeyID names a TAC master key. A zero Issuer is every issuer that has no key of its own.
type KeyID struct {
	Issuer  [8]byte
	Version uint8
	Index   uint8
}

// Keys finds TAC master keys. Implementations are safe for concurrent use, are asked once
// a record, and return the same *Master as long as the key is the same: the cache goes by
// it.
type Keys interface {
	// TACMaster returns nil when there is no such key.
	TACMaster(id KeyID) *Master
}

// KeyTable is Keys in a map that is not changed while it is in use.
type KeyTable map[KeyID]*Master

// TACMaster returns the key of the issuer, else that of every issuer.
func (t KeyTable) TACMaster(id KeyID) *Master {
	if m := t[id]; m != nil {
		return m
	}
	return t[KeyID{Version: id.Version, Index: id.Index}]
}

var _ Keys = KeyTable(nil)

// Limits of a Verifier.
const (
	// CardsDefault is the number of card keys that are kept unless told otherwise: about
	// 12 MB, and the cards of a middling city's hour.
	CardsDefault = 1 << 16
	// CardsMax is the most: about 3 GB.
	CardsMax = 1 << 24
	// BatchMax is the most records of one VerifyAll, which is a second of work.
	BatchMax = 1 << 20
	// issuersMax is the number of keys between master and card that are kept.
	issuersMax = 1 << 10
	// chunk is how many records a worker takes at a time.
	chunk = 256
	// group is how many records are begun before the first of them is finished.
	group = 16
)

// ErrBatch reports a batch that VerifyAll cannot take.
var ErrBatch = errors.New("batch of records cannot be verified")

// Options of a Verifier. The zero value is good.
type Options struct {
	// Cards is the number of card keys that are kept, 0 for CardsDefault, negative for
	// none, at most CardsMax.
	Cards int
	// Workers is the number of goroutines of one VerifyAll, 0 for all cores.
	Workers int
}

// Verifier verifies TACs. It keeps the TAC key schedules of the cards that it saw last, and
// the keys of issuers between the master's and the cards'. Safe for concurrent use.
type Verifier struct {
	keys    Keys
	workers int
	cards   *cache[macKey]
	issuers *cache[*node]
}

// NewVerifier returns a Verifier with the keys.
func NewVerifier(keys Keys, o Options) *Verifier {
	if o.Cards == 0 {
		o.Cards = CardsDefault
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	return &Verifier{
		keys:    keys,
		workers: o.Workers,
		cards:   newCache[macKey](min(o.Cards, CardsMax)),
		issuers: newCache[*node](issuersMax),
	}
}

// Purge overwrites all keys that the Verifier has kept, as after a master key has been
// withdrawn. Verifications that are running may leave keys of their own.
func (v *Verifier) Purge() {
	v.cards.purge()
	v.issuers.purge()
}

// Verify returns the verdict on one record. It allocates nothing, once the key of the card's
// issuer is known.
func (v *Verifier) Verify(r *Record) Verdict {
	var p pending
	if verdict := v.prepare(r, &p); verdict != Good {
		return verdict
	}
	return v.finish(r, &p)
}

// pending is a record between prepare and finish.
type pending struct {
	message Message
	key     cacheKey
	factors int // how many of key.factor count
	hash    uint64
}

// prepare does what needs no key schedule. Good means that finish has to say.
func (v *Verifier) prepare(r *Record, p *pending) Verdict {
	message, ok := r.wellFormed()
	if !ok {
		return Malformed
	}
	m := v.keys.TACMaster(KeyID{Issuer: r.Issuer, Version: r.KeyVersion, Index: r.KeyIndex})
	if m == nil {
		return UnknownKey
	}
	p.message, p.key = message, cacheKey{master: m}
	p.factors = len(m.factors(&p.key.factor, &r.Card))
	p.hash = p.key.hash()
	return Good
}

// finish computes the TAC of a prepared record.
func (v *Verifier) finish(r *Record, p *pending) Verdict {
	var key macKey
	if !v.cardKey(p, &key) {
		return Undecided
	}
	s := p.key.master.scheme
	var room [DataMax + padMax]byte
	mac := key.mac(s, s.Template(p.message).Append(room[:0], &r.Values))
	if subtle.ConstantTimeEq(int32(mac), int32(binary.BigEndian.Uint32(r.TAC[:]))) == 0 {
		return WrongTAC
	}
	return Good
}

// wellFormed returns the message of the record's TAC, and whether a card can have made it.
func (r *Record) wellFormed() (Message, bool) {
	m, ok := r.Type.TACMessage()
	if !ok || r.OldLimit > limitMax || r.NewLimit > limitMax {
		return m, false
	}
	digits := binary.BigEndian.Uint64(r.Serial[2:])
	if digits == 0 || !isBCD(r.Serial[:]) {
		return m, false
	}
	return m, isDate(r.Date) && isTime(r.Time)
}

// cardKey makes key the TAC key of the card; it fails only with a Deriver.
func (v *Verifier) cardKey(p *pending, key *macKey) bool {
	if v.cards.get(&p.key, p.hash, key) {
		return true
	}
	m := p.key.master
	hi, lo, err := v.derive(m, p.key.factor[:p.factors])
	if err != nil {
		return false
	}
	key.expandTAC(m.scheme, hi, lo)
	v.cards.put(&p.key, p.hash, key)
	return true
}

// derive is Master.cardKey with the keys above the last level from the cache.
func (v *Verifier) derive(m *Master, factors []uint64) (hi, lo uint64, err error) {
	if len(factors) < 2 {
		return m.cardKey(factors)
	}
	last := len(factors) - 1
	k := cacheKey{master: m}
	copy(k.factor[:], factors[:last])
	hash := k.hash()
	var n *node
	if !v.issuers.get(&k, hash, &n) {
		if hi, lo, err = m.cardKey(factors[:last]); err != nil {
			return 0, 0, err
		}
		n = &node{alg: m.scheme.Cipher}
		n.expand(hi, lo)
		v.issuers.put(&k, hash, &n)
	}
	hi, lo = n.derive(factors[last])
	return hi, lo, nil
}

// VerifyAll writes the verdict on each record to verdicts, which is as long, and returns how
// many there are of each. It uses the Verifier's workers, ends when all are done, and
// allocates for the workers only. At most BatchMax records.
func (v *Verifier) VerifyAll(records []Record, verdicts []Verdict) (Counts, error) {
	if len(records) > BatchMax || len(verdicts) != len(records) {
		return Counts{}, fmt.Errorf("%w: %d records, room for %d verdicts, at most %d",
			ErrBatch, len(records), len(verdicts), BatchMax)
	}
	workers := min(v.workers, (len(records)+chunk-1)/chunk)
	if workers <= 1 {
		v.verifyRun(records, verdicts)
	} else {
		v.verifyParallel(records, verdicts, workers)
	}
	var counts Counts
	for _, verdict := range verdicts {
		counts[verdict]++
	}
	return counts, nil
}

// verifyParallel shares the records among workers by the chunk, so that none waits for one
// that met more unknown cards.
func (v *Verifier) verifyParallel(records []Record, verdicts []Verdict, workers int) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for {
				from := int(next.Add(chunk)) - chunk
				if from >= len(records) {
					return
				}
				to := min(from+chunk, len(records))
				v.verifyRun(records[from:to], verdicts[from:to])
			}
		})
	}
	wg.Wait()
}

// verifyRun verifies records by the group: the entries of all cards of a group are fetched
// from memory together, instead of one after the other.
func (v *Verifier) verifyRun(records []Record, verdicts []Verdict) {
	var p [group]pending
	for len(records) > 0 {
		n := min(group, len(records))
		for i := range n {
			verdicts[i] = v.prepare(&records[i], &p[i])
		}
		for i := range n {
			v.cards.touch(p[i].hash)
		}
		for i := range n {
			if verdicts[i] == Good {
				verdicts[i] = v.finish(&records[i], &p[i])
			}
		}
		records, verdicts = records[n:], verdicts[n:]
	}
}
