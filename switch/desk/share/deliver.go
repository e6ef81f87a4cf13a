package share

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/tapswitch/tapswitch/crypto/sm"
	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Delivery is a batch as it arrives. Signature is over Body.
type Delivery struct {
	Supplier  string
	Format    Format
	Body      []byte
	Signature []byte
}

// RejectsMax bounds the rejected lines that a report names; all are counted.
const RejectsMax = 500

// Reject is a line that was not taken. It names the line and holds nothing of it.
type Reject struct {
	Line   int    `json:"line"`
	Reason string `json:"reason"`
}

// Report is what became of a batch.
type Report struct {
	Refusal  Refusal    `json:"-"`
	Why      string     `json:"-"` // of BatchInvalid
	Replay   bool       `json:"-"` // the batch had been delivered before; this is its report
	Supplier string     `json:"supplier"`
	Seq      uint64     `json:"seq"`
	Kind     Kind       `json:"kind"`
	Received txn.Millis `json:"received"`
	Lag      txn.Millis `json:"lag_ms"`   // from making to receipt
	LagDays  int        `json:"lag_days"` // from the oldest event to receipt
	Total    int        `json:"total"`    // announced
	Accepted int        `json:"accepted"`
	// Unchanged are among the accepted: what they say was so already.
	Unchanged int            `json:"unchanged"`
	Rejected  int            `json:"rejected"`
	Missing   int            `json:"missing"`
	Rejects   []Reject       `json:"rejects,omitempty"`
	Effects   map[string]int `json:"effects,omitempty"` // steps that lines became
}

const deliveryPrefix = "share/delivery/"

// delivery is what is kept of a batch: its hash and report.
type delivery struct {
	Hash   string `json:"hash"`
	Report Report `json:"report"`
}

func deliveryKey(supplier string, seq uint64) string {
	return fmt.Sprintf("%s%s/%020d", deliveryPrefix, supplier, seq)
}

// Deliver takes a batch: each line becomes a command on one account or a reject. After an
// error some lines may be in force; the same batch again does the rest, and once each.
func (s *Service) Deliver(ctx context.Context, d Delivery) (Report, error) {
	p, err := s.supplier(ctx, d.Supplier)
	if err != nil {
		return Report{}, err
	}
	if p == nil {
		return Report{Refusal: SupplierUnknown}, nil
	}
	verify, err := p.verifier()
	if err != nil {
		return Report{}, err
	}
	if len(d.Body) > BatchBytesMax || !verify(d.Body, d.Signature) {
		return Report{Refusal: SignatureWrong}, nil
	}
	b, err := ReadBatch(d.Format, d.Body)
	switch {
	case err != nil:
		return Report{Refusal: BatchInvalid, Why: err.Error()}, nil
	case b.Supplier != p.Name:
		return Report{Refusal: BatchInvalid, Why: "the batch names another supplier"}, nil
	case !supplies(p, b.Kind):
		return Report{Refusal: KindNotAgreed}, nil
	}
	return s.take(ctx, b, d.Body)
}

func supplies(p *Supplier, kind Kind) bool {
	for _, k := range p.Kinds {
		if k == kind {
			return true
		}
	}
	return false
}

// take carries a batch out unless it was before.
func (s *Service) take(ctx context.Context, b *Batch, body []byte) (Report, error) {
	hash := sm.SM3(body)
	next := delivery{Hash: hex.EncodeToString(hash[:])}
	key := deliveryKey(b.Supplier, b.Seq)
	var old delivery
	version, err := s.read(ctx, key, &old)
	switch {
	case err != nil:
		return Report{}, err
	case version > 0 && old.Hash != next.Hash:
		return Report{Refusal: BatchReused}, nil
	case version > 0:
		old.Report.Replay = true
		return old.Report, nil
	}
	next.Report = Report{Supplier: b.Supplier, Seq: b.Seq, Kind: b.Kind, Received: s.now(), Total: b.Total,
		Effects: map[string]int{}}
	r := &next.Report
	r.Lag = max(0, r.Received-txn.MillisOf(b.Made))
	if err := s.lines(ctx, b, r); err != nil {
		return Report{}, err
	}
	s.log.Info("data supplied", "supplier", b.Supplier, "batch", b.Seq, "kind", b.Kind, "lines", b.Total,
		"accepted", r.Accepted, "rejected", r.Rejected, "missing", r.Missing, "lag_ms", r.Lag)
	return *r, s.write(ctx, key, &next, 0)
}

func (s *Service) lines(ctx context.Context, b *Batch, r *Report) error {
	seen := make(map[int]bool, len(b.Lines))
	for i := range b.Lines {
		l := &b.Lines[i]
		reason := "line_duplicate"
		if !seen[l.No] {
			var err error
			if reason, err = s.line(ctx, b, l, r); err != nil {
				return err
			}
		}
		if l.No >= 1 && l.No <= b.Total {
			seen[l.No] = true
		}
		if reason == "" {
			r.Accepted++
			continue
		}
		if r.Rejected++; len(r.Rejects) < RejectsMax {
			r.Rejects = append(r.Rejects, Reject{Line: l.No, Reason: reason})
		}
	}
	r.Missing = b.Total - len(seen)
	return nil
}

// line carries one line out; the reason is empty when it is in force.
func (s *Service) line(ctx context.Context, b *Batch, l *Line, r *Report) (reason string, err error) {
	on, ok := day(l.On)
	switch {
	case l.No < 1 || l.No > b.Total:
		return "line_number", nil
	case l.ID == "":
		return "id_missing", nil
	case !ok || on == 0:
		return "date_invalid", nil
	case on > s.today():
		return "date_in_future", nil
	}
	r.LagDays = max(r.LagDays, int(s.today().Time().Sub(on.Time())/(24*time.Hour)))
	token, doc, err := s.o.Desk.AccountOf(ctx, s.o.Desk.HolderToken(l.ID))
	if err != nil {
		return "", err
	}
	if doc == nil {
		return "person_unknown", nil
	}
	step, reason, err := s.stepOf(ctx, b, l, doc)
	if err != nil || reason != "" {
		return reason, err
	}
	if step == nil {
		r.Unchanged++
		return "", nil
	}
	a, err := s.o.Desk.Do(ctx, token, account.Command{ID: s.commandOf(b, l), Made: s.now(),
		By: account.Staff{ID: b.Supplier, Role: "supplier", Outlet: b.Supplier}, Step: step})
	switch {
	case err != nil:
		return "", err
	case a.Outcome.Refusal == account.CaseOpen: // it is being done already
		r.Unchanged++
	case a.Outcome.Refusal != account.RefusalNone:
		return a.Outcome.Refusal.String(), nil
	default:
		r.Effects[step.Name()]++
	}
	return "", nil
}

// commandOf names the command of a line, the same however often the batch comes.
func (s *Service) commandOf(b *Batch, l *Line) account.CommandID {
	return account.CommandID(s.o.Tokenizer.Derive("delivery",
		fmt.Sprintf("%s/%d/%d", b.Supplier, b.Seq, l.No)))
}

// stepOf is what a line asks of an account; no step where it is so already.
func (s *Service) stepOf(ctx context.Context, b *Batch, l *Line, doc *account.Account) (account.Step, string, error) {
	switch b.Kind {
	case Death:
		return s.death(ctx, b, l, doc)
	case Eligibility:
		step, reason := concession(b.Supplier, l, doc)
		return step, reason, nil
	case Residence:
		return s.correction(account.Address, l)
	default:
		return s.correction(account.HolderName, l)
	}
}

var bySupplier = account.Who{Actor: account.Authority, Channel: account.AtUnit}

// death opens the cancellation ex officio where the scheme allows one (HD24, WZ18), and a
// case for a person where it does not. Nothing is closed by it alone: heirs come first.
func (s *Service) death(ctx context.Context, b *Batch, l *Line, doc *account.Account) (account.Step, string, error) {
	if !s.o.Desk.Rules().Cancellation.ExOfficio {
		for i := range doc.Cases {
			if doc.Cases[i].Kind == account.CaseCorrection && doc.Cases[i].Field == account.OtherField {
				return nil, "", nil
			}
		}
		return account.OpenCorrection{Who: bySupplier, Field: account.OtherField,
			New: s.digestOf("death", l.On)}, "", nil
	}
	open, err := s.o.Desk.Affairs(ctx, doc)
	if err != nil {
		return nil, "", err
	}
	decision := fmt.Sprintf("%s-%d-%d", b.Supplier, b.Seq, l.No)
	return account.RequestCancellation{Who: account.Who{Actor: account.Agency}, Open: open,
		Decision: decision[max(0, len(decision)-account.NameMax):]}, "", nil
}

// correction routes a datum to the department that is responsible for it (HD27).
func (s *Service) correction(f account.Field, l *Line) (account.Step, string, error) {
	if l.Value == "" {
		return nil, "value_missing", nil
	}
	return account.OpenCorrection{Who: bySupplier, Field: f, New: s.digestOf(f.String(), l.Value)}, "", nil
}

// concession sets or ends what a department vouches for; one never touches what another
// vouches for.
func concession(supplier string, l *Line, doc *account.Account) (account.Step, string) {
	until, ok := day(l.Until)
	if !ok {
		return nil, "date_invalid"
	}
	want := account.Rider{Source: supplier, Until: until}
	if l.Value == "ended" {
		want = account.Rider{Category: txn.RiderOrdinary}
	} else if want.Category, ok = txn.ParseRiderCategory(l.Value); !ok || want.Category == txn.RiderOrdinary {
		return nil, "value_invalid"
	}
	switch {
	case doc.Rider.Category != txn.RiderOrdinary && doc.Rider.Source != supplier:
		return nil, "other_source"
	case doc.Rider == want:
		return nil, ""
	default:
		return account.SetRider{Rider: want}, ""
	}
}

// digestOf is a keyed digest of a datum: it proves a value to who has it, and holds none.
func (s *Service) digestOf(domain, value string) (d account.Digest) {
	token := s.o.Tokenizer.Derive("field/"+domain, value)
	copy(d[:], token[:])
	return d
}
