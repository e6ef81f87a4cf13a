package provision

import (
	"fmt"
	"net/http"

	"github.com/tapswitch/tapswitch/switch/disruption"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Kind says what a document is about.
type Kind string

// The kinds.
const (
	KindParameters Kind = "parameters"
	KindTariff     Kind = "tariff"
)

// Kinds returns all kinds in order.
func Kinds() []Kind { return []Kind{KindParameters, KindTariff} }

func (k Kind) known() bool { return k == KindParameters || k == KindTariff }

// Limits of what is kept.
const (
	// DocumentsMax is how many documents of both kinds are kept; old ones leave when they have
	// been replaced for SupersededKeep.
	DocumentsMax = 512
	// OrdersMax is how many orders are kept; old ones leave OrderKeep after their end.
	OrdersMax = 512
	// ContentMax bounds a document's content in bytes.
	ContentMax = 512 << 10
	// VersionMax bounds a version in bytes.
	VersionMax = 32
	// AheadMax is how long before it takes effect a document may be published.
	AheadMax = 400 * day

	// SupersededKeep is how long a document that was replaced is kept: a record may come as
	// late as that and be asked about.
	SupersededKeep = 60 * day
	// OrderKeep is how long an order is kept after its end, for the same reason.
	OrderKeep = 60 * day

	day = txn.Millis(24 * 60 * 60 * 1000)
)

// Document is what is known of a document without its content.
type Document struct {
	Kind      Kind             `json:"kind"`
	Version   string           `json:"version"`
	Scope     disruption.Scope `json:"scope"`
	Effective txn.Millis       `json:"effective_ms"`
	// SHA256 is that of the content, in hexadecimal; Size its length in bytes.
	SHA256      string     `json:"sha256"`
	Size        int        `json:"size"`
	PublishedBy string     `json:"published_by,omitempty"`
	PublishedAt txn.Millis `json:"published_ms,omitempty"`
}

// same reports whether two documents say the same, whoever published them.
func (d *Document) same(o *Document) bool {
	return d.Kind == o.Kind && d.Version == o.Version && d.Scope == o.Scope &&
		d.Effective == o.Effective && d.SHA256 == o.SHA256
}

// Refusal says why something is not done: a value, not a fault.
type Refusal struct {
	Status int    `json:"-"` // of HTTP
	Code   string `json:"code"`
	Field  string `json:"param,omitempty"`
	Reason string `json:"message"`
}

// Error returns code, field and reason.
func (r *Refusal) Error() string {
	if r.Field == "" {
		return r.Code + ": " + r.Reason
	}
	return r.Code + ": " + r.Field + ": " + r.Reason
}

func invalid(field, format string, args ...any) *Refusal {
	return &Refusal{http.StatusUnprocessableEntity, "document_invalid", field,
		fmt.Sprintf(format, args...)}
}

func conflict(code, field, format string, args ...any) *Refusal {
	return &Refusal{http.StatusConflict, code, field, fmt.Sprintf(format, args...)}
}

func notFound(what string) *Refusal {
	return &Refusal{http.StatusNotFound, "not_found", "", "no such " + what}
}

// checkName refuses a version or id that could not stand in a path.
func checkName(field, s string, most int) *Refusal {
	if s == "" || len(s) > most {
		return invalid(field, "%d bytes, want 1 to %d", len(s), most)
	}
	for _, c := range []byte(s) {
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '.', c == '_',
			c == '-':
		default:
			return invalid(field, "only letters, digits, dot, dash and underscore")
		}
	}
	return nil
}
