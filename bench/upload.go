package bench

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tapswitch/tapswitch/bench/load"
	"github.com/tapswitch/tapswitch/bench/report"
	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/keyring"
	epurse "github.com/tapswitch/tapswitch/crypto/purse" // purse is a sum here
	"github.com/tapswitch/tapswitch/switch/gate/frame"
	"github.com/tapswitch/tapswitch/switch/upload/api"
)

// uploadKey is the TAC master key of the benchmark.
const uploadKey = "0123456789ABCDEFFEDCBA9876543210"

// uploader makes the frames of the gates of a rig. It is for one goroutine.
type uploader struct {
	rig     *rig
	master  *epurse.Master // nil makes no TACs
	taps    []uint32       // of each card so far
	seqs    []uint32       // of each gate's module
	batches []uint32
	records []epurse.Record // that were made in the last turn
}

// upload measures gates' days as binary frames: without TACs, with them, and TACs alone.
func upload(ctx context.Context, b *bench) error {
	taps := b.size.BatchTaps
	b.sized("frames of %d records, %d cards, %d rounds of %d frames, %d connections", taps, b.size.Cards,
		b.size.Rounds, b.size.Batches, batchConnections)
	b.note("Each record is committed when the answer is there: its page before and after, its money " +
		"between. The reference is TigerBeetle's own benchmark on such a machine, 345 000/s.")
	key, err := hex.DecodeString(uploadKey)
	if err != nil {
		return err
	}
	master, err := epurse.NewMaster(epurse.TDES(epurse.SerialFactor()), key)
	if err != nil {
		return err
	}
	var alone, ratios []float64
	var off, on series
	err = inScratch(b.dir, func(dir string) error {
		settings, err := tacRing(dir)
		if err != nil {
			return err
		}
		return b.withSwitch(ctx, batchConnections, func(plain *rig) error {
			return b.withSwitch(ctx, batchConnections, func(checked *rig) error {
				without, with := newUploader(plain, nil), newUploader(checked, master)
				for round := range b.size.Rounds {
					if err := b.uploadTurn(ctx, without, &off); err != nil {
						return err
					}
					if err := b.uploadTurn(ctx, with, &on); err != nil {
						return err
					}
					alone = append(alone, verifyAlone(master, with.records))
					ratios = append(ratios, on.rates[round]/min(off.rates[round], alone[round]))
					b.say("round %d of %d: without TACs %.0f, with %.0f, TACs alone %.0f records/s", round+1,
						b.size.Rounds, off.rates[round], on.rates[round], alone[round])
				}
				return nil
			}, settings...)
		})
	})
	if err != nil {
		return err
	}
	b.Add(report.Of("uploads over HTTP, TAC off, durable", "records/s", off.rates...).AtLeast(345_000))
	b.Add(report.Of("uploads over HTTP, TAC off, p50 of a frame", "ms", off.p50...))
	b.Add(report.Of("uploads over HTTP, TAC off, processor time a record", "µs", off.cost...))
	b.Add(report.Of("uploads over HTTP, TAC on, durable", "records/s", on.rates...))
	b.Add(report.Of("uploads over HTTP, TAC on, processor time a record", "µs", on.cost...))
	b.Add(report.Of("TACs alone, all cores", "records/s", alone...))
	b.Add(report.Of("TAC on to the slower of commit and TAC", "ratio", ratios...).AtLeast(0.6))
	return nil
}

// uploadTurn sends prepared frames over a few connections.
func (b *bench) uploadTurn(ctx context.Context, u *uploader, s *series) error {
	requests, err := u.frames(b.size.Batches, b.size.BatchTaps)
	if err != nil {
		return err
	}
	u.rig.settle(ctx, b.size.Settle)
	before := u.rig.usage().cpu
	result, err := load.Run(ctx, load.Options{Addr: u.rig.Addr, Connections: batchConnections,
		Duration: 5 * time.Minute, Requests: requests,
		Wire: load.HTTP(fmt.Sprintf(`"accepted":%d`, b.size.BatchTaps))})
	if err != nil {
		return err
	}
	if err := result.AllGood(); err != nil {
		return err
	}
	s.add(result, (u.rig.usage().cpu-before)/time.Duration(b.size.BatchTaps))
	s.rates[len(s.rates)-1] *= float64(b.size.BatchTaps)
	return nil
}

func newUploader(r *rig, master *epurse.Master) *uploader {
	return &uploader{rig: r, master: master, taps: make([]uint32, r.fleet.cards),
		seqs: make([]uint32, len(r.fleet.terminals)), batches: make([]uint32, len(r.fleet.terminals))}
}

// frames returns n signed uploads of size records each, of the gates in turn.
func (u *uploader) frames(n, size int) (*load.Requests, error) {
	u.records = u.records[:0]
	all := load.NewRequests(n, frame.HeaderSize+size*frame.RecordSize+requestSize)
	for i := range n {
		gate := i % len(u.rig.fleet.terminals)
		t := u.rig.fleet.terminals[gate]
		h := frame.Header{Terminal: t.id, Boot: t.boot, Batch: u.batches[gate], BatchRecords: uint32(size),
			First: uint64(u.seqs[gate]) + 1, SentAt: int64(clockNow()),
			TotalRecords: uint64(u.seqs[gate]) + uint64(size)}
		h.TotalSum = h.TotalRecords * charged
		u.batches[gate]++
		body := frame.Begin(nil, &h)
		var err error
		for range size {
			if body, err = u.append(body, gate); err != nil {
				return nil, err
			}
		}
		whole := t.sign(nil, api.Prefix, frame.End(body))
		head, rest, _ := bytes.Cut(whole, []byte("application/json"))
		all.Add(append(append(bytes.Clone(head), api.Media...), rest...))
	}
	return all, nil
}

// append appends the next record of a gate, with its TAC.
func (u *uploader) append(dst []byte, gate int) ([]byte, error) {
	f := u.rig.fleet
	card := f.nextCard()
	u.seqs[gate]++
	tap := frame.Tap{Kind: "bus_boarding", TTI: uint8(epurse.Compound), Card: frame.Digits(f.card(card)),
		PSAM: fmt.Sprintf("%012d", gate+1), TermSeq: u.seqs[gate], Counter: uint16(u.taps[card]),
		Amount: charged, Fare: fullFare, Before: purseOf(u.taps[card]),
		At: f.tick().In(f.zone).Format("20060102150405"), KeyVersion: 1, KeyIndex: 1,
		ListEpoch: 1234, Line: "M100", Station: "B-10234"}
	u.taps[card]++
	at := len(dst)
	dst, err := tap.Append(dst)
	if err != nil || u.master == nil {
		return dst, err
	}
	r := frame.Record(dst[at:])
	record := epurse.Record{Card: epurse.Card{Issuer: r.Issuer(), Region: r.Region(), Serial: r.Serial()},
		KeyVersion: 1, KeyIndex: 1, Values: epurse.Values{Type: epurse.Compound, Amount: r.Amount(),
			TermSeq: r.TermSeq(), Terminal: r.PSAM(), Date: r.Date(), Time: r.Time()}}
	key, err := u.master.Card(&record.Card)
	if err != nil {
		return nil, err
	}
	defer key.Clear()
	record.TAC = key.TAC().MAC(epurse.PurchaseTAC, &record.Values)
	copy(r[56:60], record.TAC[:])
	u.records = append(u.records, record)
	return dst, nil
}

// purseOf is what a card has after so many taps.
func purseOf(taps uint32) uint32 { return purse - taps*charged }

// verifyAlone verifies records with nothing else, and returns how many a second.
func verifyAlone(master *epurse.Master, records []epurse.Record) float64 {
	v := epurse.NewVerifier(epurse.KeyTable{{Version: 1, Index: 1}: master}, epurse.Options{})
	verdicts := make([]epurse.Verdict, len(records))
	began := time.Now()
	counts, err := v.VerifyAll(records, verdicts)
	if err != nil || counts[epurse.Good] != len(records) {
		panic(fmt.Sprintf("bench: internal error: TACs: %v %v", counts, err))
	}
	return float64(len(records)) / time.Since(began).Seconds()
}

// tacRing makes a key ring with the TAC key below dir, and returns the settings that name it.
func tacRing(dir string) (settings []string, err error) {
	var parts [2]*keyring.Component
	var files []string
	for i := range parts {
		if parts[i], _, err = keyring.NewComponent(nil); err != nil {
			return nil, fmt.Errorf("key ring: %w", err)
		}
		files = append(files, filepath.Join(dir, fmt.Sprintf("tac-component%d", i+1)))
		if err := parts[i].WriteFile(files[i]); err != nil {
			return nil, fmt.Errorf("key ring: %w", err)
		}
	}
	path, file := filepath.Join(dir, "tac-ring"), filepath.Join(dir, "tac.json")
	ring, err := keyring.CreateStore(path, parts[0], parts[1], keyring.Options{Actor: ringActor})
	if err != nil {
		return nil, fmt.Errorf("key ring: %w", err)
	}
	defer ring.Close()
	if err := importTAC(ring); err != nil {
		return nil, fmt.Errorf("TAC key: %w", err)
	}
	text := `[{"index":1,"keys":"bench","cipher":"tdes","levels":["serial"],"truncation":"left4","tac_key":"fold"}]`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return []string{"keys.ring_file=" + path, "keys.ring_components=" + strings.Join(files, ","),
		"uploads.tac_file=" + file}, nil
}

// importTAC imports the TAC key in two components and activates it.
func importTAC(ring *keyring.Ring) error {
	ref, err := keyring.ParseRef("purse_tac/bench")
	key, bad := hex.DecodeString(uploadKey)
	if err = errors.Join(err, bad); err != nil {
		return err
	}
	one := bytes.Repeat([]byte("\x35\x5a\x7f\xa4"), len(key)/4)
	two := make([]byte, len(key))
	subtle.XORBytes(two, key, one)
	k := keyring.ClearKey{Ref: ref, Algorithm: keyring.TDES2}
	for _, part := range [][]byte{one, two} {
		c, err := block.New(block.TDES, part)
		if err != nil {
			return err
		}
		zeros := make([]byte, 8)
		c.Encrypt(zeros, zeros)
		kcv := keyring.KCV(strings.ToUpper(hex.EncodeToString(zeros[:4])))
		k.Components = append(k.Components, keyring.NewKeyComponent(part, kcv))
	}
	info, err := ring.Import(k, ringActor)
	if err != nil {
		return err
	}
	return ring.Activate(info.Ref, ringActor)
}
