package api

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/tapswitch/tapswitch/switch/notice"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// roster returns the parties, unless this process sends no notices.
func (s *server) roster() (*notice.Roster, error) {
	if s.o.Notices == nil {
		return nil, refuse(http.StatusNotFound, "notices_off", "this process sends no notices", "未启用通知")
	}
	return s.o.Notices.Roster(), nil
}

// parties serves GET /v1/desk/parties. Secrets are never told.
func (s *server) parties(x *call) error {
	roster, err := s.roster()
	if err != nil {
		return err
	}
	all, err := roster.List(x.ctx)
	if err != nil {
		return err
	}
	x.answer(map[string]any{"parties": all})
	return nil
}

// putParty serves PUT /v1/desk/parties/{name}.
func (s *server) putParty(x *call) error {
	roster, err := s.roster()
	if err != nil {
		return err
	}
	body, err := x.body()
	if err != nil {
		return err
	}
	var p notice.Party
	if err := json.Unmarshal(body, &p); err != nil {
		return badBody(errors.New("want a party: title, kind, scopes, channel, its address, answer, clause"))
	}
	p.Name = x.r.PathValue("name")
	if err := roster.Put(x.ctx, p); err != nil {
		return err
	}
	s.log.Info("operator", "actor", x.actor, "action", "put_party", "party", p.Name, "channel", p.Channel)
	answer := map[string]any{"party": p}
	all, err := roster.List(x.ctx)
	if err != nil {
		return err
	}
	for i := range all {
		if q := &all[i]; q.Name == p.Name && q.Channel == notice.Webhook.String() && len(q.Keys) == 0 {
			answer["warning"] = "its notices are not signed until it has a key: desk parties key " +
				p.Name + " k1"
			s.log.Warn("a party's webhook has no key: its notices are not signed", "party", p.Name)
		}
	}
	x.answer(answer)
	return nil
}

// removeParty serves DELETE /v1/desk/parties/{name}.
func (s *server) removeParty(x *call) error {
	roster, err := s.roster()
	if err != nil {
		return err
	}
	name := x.r.PathValue("name")
	if err := roster.Remove(x.ctx, name); err != nil {
		if errors.Is(err, notice.ErrNoParty) {
			return refuse(http.StatusNotFound, "party_unknown", "no such party", "无此单位")
		}
		return err
	}
	s.log.Info("operator", "actor", x.actor, "action", "remove_party", "party", name)
	x.answer(map[string]any{"removed": name})
	return nil
}

// setKey serves POST /v1/desk/parties/{name}/keys/{id}: a new secret, told once.
func (s *server) setKey(x *call) error {
	roster, err := s.roster()
	if err != nil {
		return err
	}
	name, id := x.r.PathValue("name"), x.r.PathValue("id")
	secret := make([]byte, notice.SecretMin)
	_, _ = rand.Read(secret) // never fails: the runtime ends the process instead
	if err := roster.SetKey(x.ctx, name, id, secret); err != nil {
		if errors.Is(err, notice.ErrNoParty) {
			return refuse(http.StatusNotFound, "party_unknown", "no such party", "无此单位")
		}
		return refuse(http.StatusBadRequest, "key_invalid", err.Error(), "密钥标识有误")
	}
	s.log.Info("operator", "actor", x.actor, "action", "set_party_key", "party", name, "key", id)
	x.answer(map[string]any{"party": name, "key": id, "secret": hex.EncodeToString(secret)})
	return nil
}

// noticesShown is how many notices one answer tells.
const noticesShown = 200

// notices serves GET /v1/desk/notices?cursor=: the open ones; with late=DAYS the parties that
// were late in the last days.
func (s *server) notices(x *call) error {
	if s.o.Notices == nil {
		return refuse(http.StatusNotFound, "notices_off", "this process sends no notices", "未启用通知")
	}
	q := x.r.URL.Query()
	if text := q.Get("late"); text != "" {
		return s.late(x, text, q.Get("cursor"))
	}
	open, next, err := s.o.Notices.Open(x.ctx, q.Get("cursor"), noticesShown)
	if err != nil {
		return err
	}
	all := []*noticeView{}
	for _, st := range open {
		v, err := s.noticeOf(x, st.Notice.ID)
		if err != nil {
			return err
		}
		all = append(all, v)
	}
	f := s.o.Notices.Figures()
	x.answer(map[string]any{"notices": all, "next": next, "figures": f})
	return nil
}

func (s *server) late(x *call, text, cursor string) error {
	days, err := strconv.Atoi(text)
	if err != nil || days < 1 || days > 400 {
		return refuse(http.StatusBadRequest, "late_invalid", "late: want 1 to 400 days", "天数有误")
	}
	now := s.o.Desk.Now()
	clocks, next, err := s.o.Notices.LateParties(x.ctx,
		notice.Period{From: now - txn.Millis(days)*24*3600*1000, To: now + 1}, cursor, noticesShown)
	if err != nil {
		return err
	}
	all := []map[string]any{}
	for i := range clocks {
		c := &clocks[i]
		all = append(all, map[string]any{"notice": c.Notice, "kind": c.Kind.String(), "party": c.Row.Party,
			"start": instant(c.Start), "deadline": instant(c.Deadline), "effective": instant(c.Row.Effective),
			"state": c.State.String()})
	}
	x.answer(map[string]any{"late": all, "next": next})
	return nil
}

// notice serves GET /v1/desk/notices/{id}.
func (s *server) notice(x *call) error {
	v, err := s.noticeOf(x, x.r.PathValue("id"))
	if err != nil {
		return err
	}
	x.answer(v)
	return nil
}

// confirmNotice serves POST /v1/desk/notices/{id}/parties/{party}/confirm: what a person
// learnt by telephone or letter.
func (s *server) confirmNotice(x *call) error {
	if s.o.Notices == nil {
		return refuse(http.StatusNotFound, "notices_off", "this process sends no notices", "未启用通知")
	}
	body, err := x.body()
	if err != nil {
		return err
	}
	var in struct {
		SentAt, ReceivedAt, EffectiveAt txn.Millis
		Note                            string
	}
	if err := s.fill(&in, body); err != nil {
		return err
	}
	r, err := s.o.Notices.Confirm(x.ctx, x.r.PathValue("id"), x.r.PathValue("party"), notice.Confirmation{
		SentAt: in.SentAt, ReceivedAt: in.ReceivedAt, EffectiveAt: in.EffectiveAt, Operator: x.actor, Note: in.Note})
	return s.acknowledged(x, r, err)
}

// reviveNotice serves POST /v1/desk/notices/{id}/parties/{party}/revive.
func (s *server) reviveNotice(x *call) error {
	if s.o.Notices == nil {
		return refuse(http.StatusNotFound, "notices_off", "this process sends no notices", "未启用通知")
	}
	r, err := s.o.Notices.Revive(x.ctx, x.r.PathValue("id"), x.r.PathValue("party"))
	return s.acknowledged(x, r, err)
}

func (s *server) acknowledged(x *call, r notice.Refusal, err error) error {
	switch {
	case err != nil:
		return err
	case r != notice.Accepted:
		return refuse(http.StatusConflict, r.String(), "the clock of the party says otherwise: "+r.String(), "与已记录内容不符")
	}
	v, err := s.noticeOf(x, x.r.PathValue("id"))
	if err != nil {
		return err
	}
	x.answer(v)
	return nil
}
