package message

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/mac"
)

// The campaign: golden and sample messages of every spec are taken apart into header, type,
// bitmap and fields, broken in the ways that senders break them, put together again and given
// to everything that reads messages. A seed and a number make an execution, so that any of
// them can be run again.

const (
	// campaignExecsEnv and campaignSeedEnv say how much is run, and from which seed.
	campaignExecsEnv = "TAPSWITCH_FUZZ_EXECS"
	campaignSeedEnv  = "TAPSWITCH_FUZZ_SEED"

	campaignExecs      = 300_000
	campaignExecsShort = 20_000
	campaignSeed       = 8583

	// What one call may take, with how many looks: a call is slow when it is slow each time
	// that it is run, so that a pause of the scheduler is none of its.
	callTimeMax  = 10 * time.Millisecond
	callBytesMax = 64 << 10
	callStrikes  = 10

	// An execution that takes longer than this never ends.
	campaignHangMax = 30 * time.Second
	campaignFaults  = 5
	// campaignGC keeps the collector out of the way: what lives is small.
	campaignGC = 1600
)

// TestFuzzCampaign: no message makes the package panic, take 10 ms or 64 KB in one call, or
// has Peek, View and Parse see different things.
func TestFuzzCampaign(t *testing.T) {
	execs := uint64(campaignExecs)
	if testing.Short() || raceEnabled {
		execs = campaignExecsShort
	}
	c := newCampaign(t, campaignNumber(t, campaignExecsEnv, execs))
	c.seed = campaignNumber(t, campaignSeedEnv, campaignSeed)
	defer debug.SetGCPercent(debug.SetGCPercent(campaignGC))
	start := time.Now()
	c.run(t)
	for _, fault := range c.faults {
		t.Error(fault)
	}
	whole, good := c.done.Load(), c.accepted.Load()
	t.Logf("%d executions in %.1f s from seed %d (%s, %s): %d messages accepted, %d refused, "+
		"%d frames cut, %d looked at twice", whole, time.Since(start).Seconds(), c.seed,
		campaignExecsEnv, campaignSeedEnv, good, whole-good, c.framed.Load(), c.suspects.Load())
	if whole != c.execs && len(c.faults) == 0 {
		t.Errorf("%d executions of %d", whole, c.execs)
	}
	if whole >= campaignExecsShort && (good < whole/20 || good > whole*19/20 ||
		c.framed.Load() < whole/4) {
		t.Errorf("the mutations miss: %d of %d accepted, %d framed", good, whole, c.framed.Load())
	}
}

// What the campaign must see, it sees: a call that panics, one that is slow, one that takes
// memory in one piece or in many, and two readers that differ. What happens once only is no
// fault, as a pause of the scheduler is none.
func TestFuzzCampaignSees(t *testing.T) {
	var sink [][]byte
	spin := func() {
		for end := time.Now().Add(callTimeMax + 2*time.Millisecond); time.Now().Before(end); {
			runtime.Gosched()
		}
	}
	once := sync.OnceFunc(spin)
	for _, k := range []struct {
		name, want string
		plant      func(*trial) error
	}{
		{"panic", "panics: runtime error: index out of range", func(x *trial) error {
			_ = x.frame[len(x.frame)+len(sink)]
			return nil
		}},
		{"slow", "takes", func(*trial) error { spin(); return nil }},
		{"slow once", "", func(*trial) error { once(); return nil }},
		{"memory in one piece", "allocates", func(*trial) error {
			sink = [][]byte{make([]byte, callBytesMax+1)}
			return nil
		}},
		{"memory in pieces", "allocates", func(*trial) error {
			sink = nil
			for range 3 * callBytesMax / 1024 {
				sink = append(sink, make([]byte, 1024))
			}
			return nil
		}},
		{"little memory", "", func(*trial) error { sink = [][]byte{make([]byte, 4096)}; return nil }},
		{"difference", "planted says", func(*trial) error { return errors.New("planted says no") }},
	} {
		t.Run(k.name, func(t *testing.T) {
			c := newCampaign(t, 60)
			c.workers = 1
			c.readings = append(c.readings, reading{"planted", func(x *trial) error {
				if x.number%20 != 7 {
					return nil
				}
				return k.plant(x)
			}, false})
			c.run(t)
			switch {
			case k.want == "" && len(c.faults) > 0:
				t.Error(c.faults)
			case k.want != "" && (len(c.faults) == 0 || !strings.Contains(c.faults[0], "planted") ||
				!strings.Contains(c.faults[0], k.want)):
				t.Errorf("faults %q, want %q", c.faults, k.want)
			}
		})
	}
}

func campaignNumber(t *testing.T, env string, standard uint64) uint64 {
	t.Helper()
	text := os.Getenv(env)
	if text == "" {
		return standard
	}
	n, err := strconv.ParseUint(strings.ReplaceAll(text, "_", ""), 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", env, err)
	}
	return n
}

// campaign is a run of many executions on all processors.
type campaign struct {
	execs, seed uint64
	workers     int
	seeds       []seedMessage
	readings    []reading

	done, accepted, framed, suspects atomic.Uint64
	stop                             atomic.Bool

	// alone is held by everyone who executes, and by one alone who measures.
	alone sync.RWMutex

	mu     sync.Mutex // guards faults
	faults []string
}

// seedMessage is a message in its pieces.
type seedMessage struct {
	spec   *Spec
	chunks []chunk
}

// chunk is a piece of a message: field -1 is what stands in front, 0 the type, 1 the bitmaps.
type chunk struct {
	field      int
	head, body []byte // the length, and what follows it
}

func newCampaign(t testing.TB, execs uint64) *campaign {
	t.Helper()
	c := &campaign{execs: execs, seed: campaignSeed, workers: runtime.GOMAXPROCS(0),
		readings: readings()}
	for _, s := range specsUnderTest(t) {
		frames := seedFrames(t, s)
		for _, g := range goldens(t) {
			if g.Spec == s.Name() {
				frames = append(frames, unhex(t, g.Hex))
			}
		}
		for _, frame := range frames {
			var v View
			if v.Open(s, frame) == nil { // a golden message has the envelope of one spec
				c.seeds = append(c.seeds, cutUp(&v, s, frame))
			}
		}
	}
	if len(c.seeds) < 17+3*8 {
		t.Fatalf("%d messages to begin with", len(c.seeds))
	}
	return c
}

// cutUp takes a message apart.
func cutUp(v *View, s *Spec, frame []byte) seedMessage {
	m := seedMessage{spec: s}
	from := s.Envelope().Size()
	fields := from + s.mtiSize() + s.bitmapSize()
	var rows []chunk
	for n := range fieldMax + 1 {
		if !v.Has(n) || s.field(n) == nil {
			continue
		}
		if len(rows) == 0 {
			fields = int(v.spots[n].from)
		}
		at := v.spots[n]
		end := int(at.content) + s.fields[n].wireSize(int(at.length))
		rows = append(rows, chunk{n, frame[at.from:at.content], frame[at.content:end]})
	}
	m.chunks = append(m.chunks, chunk{-1, nil, frame[:from]},
		chunk{0, nil, frame[from : from+s.mtiSize()]},
		chunk{1, nil, frame[from+s.mtiSize() : fields]})
	m.chunks = append(m.chunks, rows...)
	return m
}

// run executes everything and returns when it is done or there are faults enough. An
// execution that never ends fails the test and is left behind.
func (c *campaign) run(t *testing.T) {
	t.Helper()
	workers := make([]*worker, c.workers)
	var all sync.WaitGroup
	for i := range workers {
		w := newWorker(c, t)
		workers[i] = w
		all.Go(func() { w.work(uint64(i)) })
	}
	ended := make(chan struct{})
	go func() {
		all.Wait()
		close(ended)
	}()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return
		case now := <-tick.C:
			for _, w := range workers {
				// Looked at once: between two executions there is none.
				if at := w.begun.Load(); at != 0 && now.Sub(time.Unix(0, at)) > campaignHangMax {
					t.Fatalf("seed %d execution %d does not end", c.seed, w.number.Load())
				}
			}
		}
	}
}

func (c *campaign) fault(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.faults = append(c.faults, fmt.Sprintf(format, args...)); len(c.faults) >= campaignFaults {
		c.stop.Store(true)
	}
}

// worker is one processor's share of a campaign.
type worker struct {
	c       *campaign
	draft   draft
	trial   trial
	ops     []func(*draft)
	sample  []metrics.Sample
	current string // the step under way

	begun  atomic.Int64 // of the execution, nanoseconds; 0 between two
	number atomic.Uint64
}

func newWorker(c *campaign, t testing.TB) *worker {
	t.Helper()
	key, err := mac.New(mac.CUPTDES, unhex(t, "0123456789ABCDEFFEDCBA9876543210"))
	if err != nil {
		t.Fatal(err)
	}
	w := &worker{c: c, ops: mutations(),
		sample: []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}}
	w.draft.all = c.seeds
	w.trial.mac = key
	return w
}

func (w *worker) work(first uint64) {
	for n := first; n < w.c.execs && !w.c.stop.Load(); n += uint64(w.c.workers) {
		w.prepare(n)
		w.execute()
		w.c.done.Add(1)
		if w.trial.peekErr == nil {
			w.c.accepted.Add(1)
		}
		if w.trial.framed {
			w.c.framed.Add(1)
		}
	}
}

// prepare makes the message of an execution.
func (w *worker) prepare(n uint64) {
	d, x := &w.draft, &w.trial
	if d.source == nil {
		d.source = rand.NewPCG(0, 0)
		d.rng = rand.New(d.source)
	}
	d.source.Seed(w.c.seed, n)
	d.begin()
	for again := true; again; again = d.rng.IntN(2) == 0 {
		w.ops[d.rng.IntN(len(w.ops))](d)
	}
	d.assemble()
	d.frameUp()
	x.number, x.spec, x.frame, x.stream = n, d.spec, d.frame, d.stream
	x.framing, x.bite = d.framing, 1+d.rng.IntN(1<<d.rng.IntN(11))
}

// execute runs the readings, and looks again at one that took too much.
func (w *worker) execute() {
	w.number.Store(w.trial.number)
	w.begun.Store(time.Now().UnixNano())
	defer w.begun.Store(0)
	if suspect, ok := w.once(); ok && suspect {
		w.c.suspects.Add(1)
		w.c.alone.Lock()
		defer w.c.alone.Unlock()
		w.measure()
	}
}

// once runs every reading once. It reports whether one was slow or took much memory, the
// other workers' share counted in.
func (w *worker) once() (suspect, ok bool) {
	w.c.alone.RLock()
	defer w.c.alone.RUnlock()
	defer w.recovered()
	w.trial.reset()
	bytes, start := w.allocated(), time.Now()
	for i := range w.c.readings {
		r := &w.c.readings[i]
		w.current = r.name
		if err := r.run(&w.trial); err != nil {
			w.report("%v", err)
			return false, false
		}
		now := time.Now()
		suspect = suspect || now.Sub(start) > callTimeMax
		start = now
		if r.heavy || i == len(w.c.readings)-1 {
			sum := w.allocated()
			suspect = suspect || sum-bytes > callBytesMax
			bytes = sum
		}
	}
	return suspect, true
}

// measure runs every step several times while no other worker runs: the fastest time and
// the smallest allocation count.
func (w *worker) measure() {
	defer w.recovered()
	took := make([]time.Duration, len(w.c.readings))
	sizes := make([]uint64, len(w.c.readings))
	for round := range callStrikes {
		w.trial.reset()
		for i := range w.c.readings {
			w.current = w.c.readings[i].name
			from, start := w.allocated(), time.Now()
			_ = w.c.readings[i].run(&w.trial)
			t, b := time.Since(start), w.allocated()-from
			if round == 0 || t < took[i] {
				took[i] = t
			}
			if round == 0 || b < sizes[i] {
				sizes[i] = b
			}
		}
	}
	for i := range w.c.readings {
		w.current = w.c.readings[i].name
		if took[i] > callTimeMax {
			w.report("takes %v", took[i])
		}
		if sizes[i] > callBytesMax {
			w.report("allocates %d bytes", sizes[i])
		}
	}
}

// allocated is what the process has allocated so far. Small objects count when their span is
// full, so that it lags by some kilobytes.
func (w *worker) allocated() uint64 {
	metrics.Read(w.sample)
	return w.sample[0].Value.Uint64()
}

func (w *worker) recovered() {
	if r := recover(); r != nil {
		w.report("panics: %v", r)
	}
}

func (w *worker) report(format string, args ...any) {
	x := &w.trial
	w.c.fault("seed %d execution %d, %s: %s\n%s %X", w.c.seed, x.number, w.current,
		fmt.Sprintf(format, args...), x.spec.Name(), x.frame)
}

// trial is one execution: a message, the stream that it comes in, and what was read.
type trial struct {
	number  uint64
	spec    *Spec
	frame   []byte
	stream  []byte
	framing Framing
	bite    int // bytes that a read of the stream gives
	mac     *mac.MAC

	framed   bool
	sum      Summary
	peekErr  error
	m        *Message
	parseErr error
	view     View
	writer   Writer
	room     []byte
}

func (x *trial) reset() {
	x.framed, x.sum, x.peekErr, x.m, x.parseErr = false, Summary{}, nil, nil, nil
}

// reading is a call that is measured. An error is a fault of the package.
type reading struct {
	name string
	run  func(*trial) error
	// heavy readings allocate so much that what they and the ones before take is looked at.
	heavy bool
}

func readings() []reading {
	return []reading{{"framing", (*trial).cut, false}, {"Peek", (*trial).peek, false},
		{"Parse", (*trial).parse, true}, {"agreement", (*trial).agree, false},
		{"View", (*trial).look, false}, {"Append", (*trial).pack, true},
		{"Writer", (*trial).rewrite, false}, {"Describe", (*trial).describe, true},
		{"Refusal", (*trial).refuse, false}, {"Verify", (*trial).verify, false},
		{"sub-fields", (*trial).parts, false}}
}

// cut finds the frames of the stream, whole and in pieces, and must find the same.
func (x *trial) cut() error {
	rest := x.stream
	r := NewReader(&chopped{x.stream, x.bite}, x.framing)
	for {
		whole, size, err := x.framing.Next(rest)
		piece, readErr := r.Next()
		switch {
		case err != nil:
			if !errors.Is(readErr, ErrFrame) {
				return fmt.Errorf("whole: %w, in pieces: %v", err, readErr)
			}
			return nil
		case size == 0:
			if !errors.Is(readErr, io.EOF) && !errors.Is(readErr, io.ErrUnexpectedEOF) {
				return fmt.Errorf("whole: no frame, in pieces: %v", readErr)
			}
			return nil
		case !bytes.Equal(whole, piece):
			return fmt.Errorf("frames of %d and %d bytes, %v", len(whole), len(piece), readErr)
		}
		x.framed = x.framed || bytes.Equal(whole, x.frame)
		rest = rest[size:]
	}
}

func (x *trial) peek() error {
	x.sum, x.peekErr = Peek(x.spec, x.frame)
	return nil
}

func (x *trial) parse() error {
	x.m, x.parseErr = Parse(x.spec, x.frame)
	return nil
}

// agree holds Peek against Parse.
func (x *trial) agree() error {
	if (x.peekErr == nil) != (x.parseErr == nil) {
		return fmt.Errorf("peek says %v, parse %v", x.peekErr, x.parseErr)
	}
	if x.peekErr != nil {
		var a, b *FormatError
		if !errors.As(x.peekErr, &a) || !errors.As(x.parseErr, &b) {
			return fmt.Errorf("no format errors: %v, %v", x.peekErr, x.parseErr)
		}
		exact := b.Field != bitmapField && b.Offset >= 0
		if a.Field != b.Field || exact && (a.Reason != b.Reason || a.Offset != b.Offset) {
			return fmt.Errorf("peek says %v, parse %v", a, b)
		}
		return nil
	}
	amount, _ := x.m.Amount()
	stan, _ := x.m.STAN()
	if x.sum.MTI != x.m.MTI() || x.sum.PAN != x.m.PAN() || x.sum.TPDU != x.m.TPDU ||
		x.sum.Header != x.m.Header || x.sum.Amount != amount || x.sum.STAN != stan {
		return errors.New("peek and parse see other values")
	}
	for n := range fieldMax + 2 {
		if x.sum.Has(n) != x.m.Has(n) {
			return fmt.Errorf("field %d: peek says %v, parse %v", n, x.sum.Has(n), x.m.Has(n))
		}
	}
	return nil
}

// look holds View against Parse, field by field.
func (x *trial) look() error {
	err := x.view.Open(x.spec, x.frame)
	if (err == nil) != (x.parseErr == nil) {
		return fmt.Errorf("view says %v, parse %v", err, x.parseErr)
	}
	if err != nil {
		return nil
	}
	sum, err := x.view.Summary()
	if err != nil || sum != x.sum {
		return fmt.Errorf("the summary of the view is another: %w", err)
	}
	for _, n := range x.m.Numbers() {
		x.room = x.view.Append(x.room[:0], n)
		if want, _ := x.m.Bytes(n); !bytes.Equal(x.room, want) {
			return fmt.Errorf("field %d: %d bytes by view, %d by parse", n, len(x.room), len(want))
		}
	}
	return nil
}

// pack writes the message again: as long as it was, and with the same fields.
func (x *trial) pack() (err error) {
	if x.parseErr != nil {
		return nil
	}
	if x.room, err = x.m.Append(x.room[:0]); err != nil || len(x.room) != len(x.frame) {
		return fmt.Errorf("%d bytes became %d: %w", len(x.frame), len(x.room), err)
	}
	if sum, err := Peek(x.spec, x.room); err != nil || sum.set != x.sum.set ||
		sum.PAN != x.sum.PAN || sum.Amount != x.sum.Amount || sum.STAN != x.sum.STAN {
		return fmt.Errorf("packed again it says something else: %w", err)
	}
	return nil
}

// rewrite forwards the message field by field.
func (x *trial) rewrite() (err error) {
	if x.parseErr != nil || x.m.body().second && x.m.body().set[1] == 0 {
		return nil // a Writer writes no empty bitmap
	}
	w := &x.writer
	w.TPDU, w.Header, w.CUPS = x.m.TPDU, x.m.Header, x.m.CUPS
	w.Begin(x.room[:0], x.spec, x.view.MTI())
	for _, n := range x.m.Numbers() {
		w.Copy(&x.view, n)
	}
	if x.room, err = w.Finish(); err != nil || len(x.room) != len(x.frame) {
		return fmt.Errorf("%d bytes became %d: %w", len(x.frame), len(x.room), err)
	}
	return nil
}

// describe shows the message, without a control character.
func (x *trial) describe() error {
	if x.parseErr != nil {
		return nil
	}
	text := x.m.Describe()
	if i := strings.IndexFunc(text, func(r rune) bool { return r < ' ' && r != '\n' }); i >= 0 {
		return fmt.Errorf("a control character at %d of %d", i, len(text))
	}
	return nil
}

// refuse answers what cannot be read; the answer can.
func (x *trial) refuse() error {
	if x.peekErr == nil {
		return nil
	}
	answer, ok := Refusal(x.spec, x.frame, "30")
	if !ok {
		return nil
	}
	mti, known := PeekType(x.spec, x.frame)
	sum, err := Peek(x.spec, answer)
	if err != nil || !known || !sum.MTI.IsResponse() || sum.MTI.Class() != mti.Class() ||
		string(sum.Response[:]) != "30" {
		return fmt.Errorf("the refusal of a %v is a %v: %w", mti, sum.MTI, err)
	}
	return nil
}

// verify computes the MAC over whatever there is.
func (x *trial) verify() error {
	_ = Verify(x.spec, x.frame, x.mac)
	return nil
}

// parts takes the sub-fields of a field apart, by the layout of any field, and puts them
// together again.
func (x *trial) parts() error {
	if x.parseErr != nil {
		return nil
	}
	private := [...]int{48, 53, 54, 60, 61, 62, 63, 90}
	for i, n := range private {
		text, ok := x.m.Text(n)
		if !ok {
			continue
		}
		raw, _ := x.m.Bytes(n)
		as := n
		if x.number%4 == 0 {
			as = private[(i+int(x.number/4))%len(private)]
		}
		if err := part(as, raw, text); err != nil {
			return fmt.Errorf("field %d as %d: %w", n, as, err)
		}
	}
	return nil
}

// part reads content as field n has it. What is laid out so is written the same again.
func part(n int, raw []byte, text string) (err error) {
	back := text
	switch n {
	case 48:
		_, _ = ParseSettlement(text)
		_, _ = ParseUpload(text)
	case 53:
		_, _ = ParseSecurity(text)
	case 54:
		_, _ = ParseBalances(text)
	case 60:
		if p, broken := ParsePrivate(text); broken == nil && decimal(text) {
			back, err = p.Digits()
		}
	case 61:
		if p, broken := ParseOriginal(text); broken == nil && decimal(text) {
			back, err = p.Digits()
		}
	case 62:
		_, _ = ParseSequence(raw)
		if p, broken := ParseWorkingKeys(raw); broken == nil {
			_, err = p.Bytes()
		}
	case 63:
		_, _ = ParseNotice(raw)
	default:
		_, _ = ParseOriginalElements(text)
	}
	if err != nil || back != text {
		return fmt.Errorf("not written again: %w", err)
	}
	return nil
}

func decimal(text string) bool { return strings.Trim(text, "0123456789") == "" }
