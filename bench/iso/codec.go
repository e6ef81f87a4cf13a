package iso

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/moov-io/iso8583"
	"github.com/moov-io/iso8583/encoding"
	"github.com/moov-io/iso8583/field"
	"github.com/moov-io/iso8583/prefix"

	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// errCodec reports a codec that does not give back what it has read.
var errCodec = errors.New("codec does not give back what it has read")

// Codec is one way of reading and writing messages, measured without any socket.
type Codec struct {
	Name string
	// start returns what one goroutine does with one message.
	start func() (func(frame []byte) error, error)
}

// Codecs are moov-io/iso8583 as it comes (its own fields and encodings, every field unpacked into
// an object and packed again), and what the switch and its bank use: fields found in place, and the
// answer to the message written.
func Codecs() []Codec {
	return []Codec{{"moov, unpack and pack", startMoov}, {"view and answer", startView}}
}

// moovSpec is ISO 8583:1987 in ASCII for the fields of the purchase, in moov's own terms: as in its
// Spec87ASCII, whose package would bring a library of its own.
func moovSpec() *iso8583.MessageSpec {
	fixed := func(n int) field.Field {
		return field.NewString(&field.Spec{Length: n, Enc: encoding.ASCII, Pref: prefix.ASCII.Fixed})
	}
	upTo := func(n int) field.Field {
		return field.NewString(&field.Spec{Length: n, Enc: encoding.ASCII, Pref: prefix.ASCII.LL})
	}
	return &iso8583.MessageSpec{Name: "iso87", Fields: map[int]field.Field{
		0: fixed(4),
		1: field.NewBitmap(&field.Spec{Length: 8, Enc: encoding.BytesToASCIIHex,
			Pref: prefix.Hex.Fixed}),
		2: upTo(19), 3: fixed(6), 4: fixed(12), 7: fixed(10), 11: fixed(6), 12: fixed(6),
		13: fixed(4), 14: fixed(4), 18: fixed(4), 22: fixed(3), 25: fixed(2), 32: upTo(11),
		37: fixed(12), 41: fixed(8), 42: fixed(15), 49: fixed(3),
	}}
}

func startMoov() (func([]byte) error, error) {
	spec := moovSpec()
	return func(frame []byte) error {
		m := iso8583.NewMessage(spec)
		if err := m.Unpack(frame); err != nil {
			return fmt.Errorf("unpack: %w", err)
		}
		out, err := m.Pack()
		if err == nil && !bytes.Equal(out, frame) {
			err = errCodec
		}
		return err
	}, nil
}

func startView() (func([]byte) error, error) {
	spec, err := ASCII().spec()
	if err != nil {
		return nil, err
	}
	c := clerk{spec: spec}
	return func(frame []byte) error {
		out, err := c.answer(frame)
		if err == nil && len(out) <= len(frame) {
			err = errCodec
		}
		return err
	}, nil
}

// codecFrames is how many different messages a codec sees in turn.
const codecFrames = 256

// frames are purchases as the load sends them.
func frames() ([][]byte, error) {
	spec, err := ASCII().spec()
	if err != nil {
		return nil, err
	}
	var w message.Writer
	all := make([][]byte, 0, codecFrames)
	for i := range uint64(codecFrames) {
		r := Request{N: i, STAN: uint32(i) + 1, Connection: int(i % 16)}
		copy(r.Sent[:], "0228235959")
		putDigits(r.RRN[:], i)
		frame, err := Purchase(&w, nil, spec, &r)
		if err != nil {
			return nil, err
		}
		all = append(all, frame)
	}
	return all, nil
}

// PerSecond returns how many purchases the codec does a second with so many cores: there are as
// many goroutines, and the process may use no more meanwhile, its collector included.
func (c Codec) PerSecond(ctx context.Context, cores int, d time.Duration) (float64, error) {
	all, err := frames()
	if err != nil {
		return 0, err
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
	counts, faults := make([]int, cores), make([]error, cores)
	var work sync.WaitGroup
	began := time.Now()
	for i := range cores {
		work.Go(func() { counts[i], faults[i] = c.run(ctx, all, d) })
	}
	work.Wait()
	took := time.Since(began)
	if err := errors.Join(faults...); err != nil {
		return 0, fmt.Errorf("%s: %w", c.Name, err)
	}
	sum := 0
	for _, n := range counts {
		sum += n
	}
	return float64(sum) / took.Seconds(), nil
}

// run does messages for d, and returns how many.
func (c Codec) run(ctx context.Context, all [][]byte, d time.Duration) (n int, err error) {
	one, err := c.start()
	if err != nil {
		return 0, err
	}
	for began := time.Now(); time.Since(began) < d && ctx.Err() == nil; {
		for _, frame := range all {
			if err := one(frame); err != nil {
				return n, err
			}
		}
		n += len(all)
	}
	return n, ctx.Err()
}
