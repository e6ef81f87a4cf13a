package api

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/crypto/receipt"
	"github.com/tapswitch/tapswitch/switch/desk"
	"github.com/tapswitch/tapswitch/switch/scheme"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// verify serves POST /v1/verifications: an application that costs nothing is used at a
// terminal, under the same freeze as one that does (ZZ7, ZS11).
func (s *server) verify(x *call) error {
	device, err := txn.ParseTerminalID(x.r.Header.Get(HeaderDevice))
	if err != nil || s.o.Engine == nil {
		return refuse(http.StatusUnauthorized, "signature_missing", "a terminal's signature is needed", "缺少终端签名")
	}
	body, err := x.body()
	if err != nil {
		return err
	}
	var in struct {
		ID          string // boot-counter
		Card        pan.Token
		App         txn.App
		ServiceTime txn.Millis
	}
	if err := s.fill(&in, body); err != nil {
		return err
	}
	var boot, counter uint32
	if n, err := fmt.Sscanf(in.ID, "%d-%d", &boot, &counter); n != 2 || err != nil {
		return refuse(http.StatusBadRequest, "id_invalid", "id: want boot-counter, as 3-42", "请求号格式有误")
	}
	if in.Card.IsZero() || in.App == 0 || in.App&(in.App-1) != 0 || in.ServiceTime == 0 {
		return refuse(http.StatusBadRequest, "body_invalid", "want id, card, one app and service_time", "请求内容有误")
	}
	now := s.o.Desk.Now()
	r := &txn.Request{ID: txn.RequestID{Terminal: device, Boot: boot, Counter: counter}, Kind: txn.Verify,
		Card: in.Card, App: in.App, Currency: txn.CNY, ServiceAt: in.ServiceTime, ReceivedAt: now}
	a := s.o.Engine.Authorize(x.ctx, r)
	if a.Err != nil {
		return fmt.Errorf("%w: %w", desk.ErrStore, a.Err)
	}
	text := a.Decision.Reason.Text()
	x.answer(map[string]any{"id": r.ID.String(), "outcome": a.Decision.Outcome.String(), "code": text.Code,
		"message": text.English, "message_zh": text.Chinese, "replay": a.Decision.Replay,
		// For holders who see or hear less well (SY9, ZZ10): what a terminal may do about it.
		"display": map[string]any{"large_text": true, "sound": sound(a.Decision.Outcome), "seconds": 5}})
	return nil
}

func sound(o txn.Outcome) string {
	if o == txn.Approved {
		return "accepted"
	}
	return "refused"
}

// published is the list of services with the outlets where they are done.
type published struct {
	scheme.ServiceList
	Outlets []desk.Outlet `json:"outlets"`
}

// services serves GET /public/services: the published list with conditions, steps and time
// limits (ZZ7, SY9, ZS14), by its version.
func (s *server) services(x *call) error {
	list := published{ServiceList: s.o.Policy.ServiceList(), Outlets: []desk.Outlet{}}
	all, err := s.o.Desk.Outlets(x.ctx)
	if err != nil {
		return err
	}
	for _, o := range all {
		if !o.Closed {
			list.Outlets = append(list.Outlets, o)
		}
	}
	if len(list.Outlets) > 0 {
		text, err := json.Marshal(list)
		if err != nil {
			return fmt.Errorf("list of services: %w", err)
		}
		sum := sha256.Sum256(text)
		list.Version = hex.EncodeToString(sum[:8])
	}
	tag := `"` + list.Version + `"`
	x.w.Header().Set("Etag", tag)
	if x.r.Header.Get("If-None-Match") == tag {
		x.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	x.answer(list)
	return nil
}

// keys serves GET /public/keys: the public key with which anybody verifies receipts and lists,
// in the form that the receipt's reader takes.
func (s *server) keys(x *call) error {
	if s.o.Signer == nil {
		return refuse(http.StatusNotFound, "receipts_off", "no key for receipts is configured", "未配置凭证密钥")
	}
	body, err := receipt.EncodeKeys([]receipt.Key{{ID: s.o.Signer.KeyID(), Algorithm: s.o.Signer.Algorithm(),
		Public: s.o.Signer.PublicKey()}})
	if err != nil {
		return fmt.Errorf("public keys: %w", err)
	}
	x.w.Header().Set("Content-Type", "application/json")
	_, _ = x.w.Write(body) // the client has gone
	return nil
}

// receipt serves GET /v1/desk/accounts/{token}/receipts/{case}: a signed statement for the
// holder of when the report was received, who was told, and from when the card was refused.
func (s *server) receipt(x *call) error {
	token, err := pathToken(x, "token")
	if err != nil {
		return err
	}
	no, err := caseNumber(x)
	switch {
	case err != nil:
		return err
	case s.o.Signer == nil:
		return refuse(http.StatusNotFound, "receipts_off", "no key for receipts is configured", "未配置凭证密钥")
	}
	losses, err := s.o.Desk.Losses(x.ctx, token)
	if err != nil {
		return err
	}
	for _, l := range losses {
		if l.Case == no && len(l.Carriers) > 0 {
			return s.seal(x, l)
		}
	}
	return refuse(http.StatusNotFound, "loss_unknown", "no loss report of the account has this number", "无此挂失记录")
}

func (s *server) seal(x *call, l *desk.Loss) error {
	c := l.Carriers[0]
	card, err := pan.ParseToken(c.Token)
	if err != nil {
		return err
	}
	entry, _, err := s.o.Desk.Entry(x.ctx, card)
	if err != nil {
		return err
	}
	now := s.o.Desk.Now()
	f := &receipt.Freeze{Issuer: s.o.Desk.City(), Number: l.Account[:8] + "-" + strconv.Itoa(int(l.Case)),
		IssuedAt: at(now), Token: card, ReceivedAt: at(l.Received), ListSeq: uint64(c.ListSeq), Actor: "desk",
		Boundary: receipt.Boundary{Rule: s.o.Desk.Rules().Loss.Boundary.String()}}
	boundary, own, err := s.o.Desk.BoundaryOf(x.ctx, l, c)
	if err != nil {
		return err
	}
	if boundary == 0 && own == nil {
		boundary = c.Frozen // the rule's moment has not come
	}
	f.Boundary.At = at(boundary)
	f.Reason, f.Scope = frozenFor(entry.Mark)
	if s.o.Notices != nil && c.Notice != "" {
		st, err := s.o.Notices.Status(x.ctx, c.Notice)
		if err != nil {
			return err
		}
		f.Masked = "****" + st.Notice.Last4.String()
		for i := range st.Clocks {
			r := &st.Clocks[i].Row
			f.Parties = append(f.Parties, receipt.Party{Name: r.Party, ReceivedAt: at(r.Received),
				EffectiveAt: at(r.Effective), BoundaryAt: at(own[r.Party])})
		}
	}
	s.gatesOf(f, card, c)
	envelope, err := receipt.Seal(f, s.o.Signer)
	if err != nil {
		return fmt.Errorf("freeze receipt: %w", err)
	}
	body, err := envelope.Encode()
	if err != nil {
		return fmt.Errorf("freeze receipt: %w", err)
	}
	s.log.Info("operator", "actor", x.actor, "action", "freeze_receipt", "account", l.Account, "case", l.Case)
	x.w.Header().Set("Content-Type", "application/json")
	_, _ = x.w.Write(body) // the client has gone
	return nil
}

// frozenFor is the reason of a loss and what it closed, of a card with this mark. What else the
// card is frozen for by now is not the case's: the entry of one that was replaced says so.
func frozenFor(now txn.Mark) (reason string, scope []string) {
	if now.Reason == txn.Lost || now.Reason == txn.PreReported {
		return now.Reason.String(), now.Scope.Names()
	}
	return txn.Lost.String(), []string{"all"}
}

// gatesOf tells how the gates learnt.
func (s *server) gatesOf(f *receipt.Freeze, card pan.Token, c desk.LostCarrier) {
	if s.o.Lists == nil || s.o.Tracker == nil || c.ListSeq == 0 {
		return
	}
	first, ok := s.o.Lists.EpochOf(txn.BucketOf(card), c.ListSeq)
	if !ok {
		return
	}
	f.ListEpoch = uint64(first.Epoch)
	shares, _ := s.o.Tracker.Timeline(first.Epoch, s.o.Desk.Now())
	for _, p := range shares {
		f.Gates = append(f.Gates, receipt.Coverage{At: at(p.At), Covered: uint64(p.Covered), Total: uint64(p.Total)})
	}
}

func at(m txn.Millis) time.Time {
	if m == 0 {
		return time.Time{}
	}
	return m.Time().UTC()
}
