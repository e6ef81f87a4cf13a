package scheme

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// ServiceList is the list that the city publishes (ZZ7, SY9, ZS14): the functions of the card
// and the services of the desk, with conditions, steps and time limits.
type ServiceList struct {
	City string `json:"city"`
	Card Words  `json:"card"`
	// Version is a hash of the content: it changes when and only when the list does.
	Version   string            `json:"version"`
	Functions []ListedFunction  `json:"functions"`
	Services  []ListedService   `json:"services"`
	Fees      []ListedTariffFee `json:"fees"`
}

// ListedFunction is a function of the card. Everything but the dates is for people.
type ListedFunction struct {
	App       string   `json:"application"`
	Name      Words    `json:"name"`
	Start     string   `json:"start"`
	Channels  []string `json:"channels"`
	NeedsBank bool     `json:"needs_bank_activation"`
	Source    string   `json:"source"`
}

// ListedService is a service of the desk.
type ListedService struct {
	ID         string  `json:"id"`
	Name       Words   `json:"name"`
	Conditions Words   `json:"conditions"`
	Steps      []Words `json:"steps"`
	TimeLimit  Words   `json:"time_limit"`
	Source     string  `json:"source"`
}

// ListedTariffFee is a fee with the tariff that sets it; the amount is in fen.
type ListedTariffFee struct {
	Tariff string `json:"tariff"`
	From   string `json:"from"`
	Event  string `json:"event"`
	Amount int64  `json:"amount_fen"`
	Source string `json:"source"`
}

// ServiceList returns the list as it is published. It names no person and no address.
func (p *Policy) ServiceList() ServiceList {
	l := ServiceList{City: p.City, Card: p.Name.Words, Functions: []ListedFunction{},
		Services: []ListedService{}, Fees: []ListedTariffFee{}}
	for _, a := range p.Applications {
		l.Functions = append(l.Functions, ListedFunction{App: a.App.Names()[0], Name: a.Name,
			Start: a.Start.V.String(), Channels: names(a.Channels.V), NeedsBank: a.NeedsBank.V,
			Source: a.Source.String()})
	}
	for _, s := range p.Services {
		l.Services = append(l.Services, ListedService{ID: s.ID, Name: s.Name,
			Conditions: s.Conditions, Steps: s.Steps, TimeLimit: s.TimeLimit,
			Source: s.Source.String()})
	}
	for _, t := range p.Tariffs {
		for _, f := range t.Fees {
			l.Fees = append(l.Fees, ListedTariffFee{Tariff: t.Version, From: t.From.String(),
				Event: f.Event.String(), Amount: int64(f.Amount), Source: f.Source.String()})
		}
	}
	text, err := json.Marshal(l)
	if err != nil {
		panic("scheme: internal error: " + err.Error())
	}
	sum := sha256.Sum256(text)
	l.Version = hex.EncodeToString(sum[:8])
	return l
}

func names[T fmt.Stringer](values []T) []string {
	all := make([]string, len(values))
	for i, v := range values {
		all[i] = v.String()
	}
	return all
}
