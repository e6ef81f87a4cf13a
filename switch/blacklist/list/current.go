package list

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// pathPrefix is where the handler's paths begin.
const pathPrefix = "/v1/lists/"

// scopeName is the scope in paths: "transit", "transit+purse", "all".
func scopeName(scope txn.App) string { return strings.Join(scope.Names(), "+") }

// currentFile is the answer that says what is current, made once for an epoch and a set of
// full files.
type currentFile struct {
	body []byte
	tag  string
	made int64 // builds when it was made
}

// currentDoc is its JSON. Numbers stay below 2^53.
type currentDoc struct {
	Scope  string    `json:"scope"`
	Scheme string    `json:"scheme"`
	KeyID  string    `json:"key_id"`
	Epoch  Epoch     `json:"epoch"`
	MadeAt string    `json:"made_at"`
	Count  uint64    `json:"count"`
	Check  string    `json:"check"`
	Delta  deltaDoc  `json:"delta"`
	Full   []fullDoc `json:"full"`
}

type deltaDoc struct {
	URL    string `json:"url"`
	Oldest Epoch  `json:"oldest_epoch"`
}

// fullDoc is one full file on offer. Epoch, size, hash and tag are of the file that is at
// hand; without them it is made when it is asked for.
type fullDoc struct {
	Format string `json:"format"`
	Width  int    `json:"width"`
	URL    string `json:"url"`
	Epoch  Epoch  `json:"epoch,omitempty"`
	Size   int64  `json:"size,omitempty"`
	SHA256 string `json:"sha256,omitempty"`
	ETag   string `json:"etag,omitempty"`
}

// current returns the answer for a scope at the view.
func (p *Publisher) current(v *view, scope txn.App) (*currentFile, error) {
	builds := p.fulls.builds.Load()
	v.mu.Lock()
	defer v.mu.Unlock()
	if c := v.currents[scope]; c != nil && c.made == builds {
		return c, nil
	}
	body, err := json.Marshal(p.describe(v, scope))
	if err != nil {
		return nil, fmt.Errorf("list: the current epoch cannot be told: %w", err)
	}
	c := &currentFile{body: append(body, '\n'), made: builds}
	c.tag = tagOf(sha256.Sum256(c.body))
	v.currents[scope] = c
	return c, nil
}

func (p *Publisher) describe(v *view, scope txn.App) currentDoc {
	base := pathPrefix + scopeName(scope)
	doc := currentDoc{Scope: scopeName(scope), Scheme: p.o.Scheme, KeyID: p.o.KeyID, Epoch: v.epoch,
		MadeAt: v.at.Time().Format(time.RFC3339Nano), Delta: deltaDoc{URL: base + "/delta?from="}}
	p.mu.RLock()
	doc.Delta.Oldest = p.history.states[0].epoch
	if i, ok := p.history.find(v.epoch); ok {
		sum := p.history.states[i].summaries[slices.Index(p.o.Scopes, scope)]
		doc.Count, doc.Check = sum.count, fmt.Sprintf("%016x", sum.check.Wide)
	}
	p.mu.RUnlock()
	kinds := []Kind{{Exact, Wide}, {Exact, Narrow}, {Filter8, Narrow}, {Filter16, Narrow}}
	if p.o.Resolver != nil {
		kinds = append(kinds, Kind{Numbers, numberWidth})
	}
	for _, k := range kinds {
		d := fullDoc{Format: k.Format.String(), Width: k.Width,
			URL: fmt.Sprintf("%s/full?format=%s&width=%d", base, k.Format, k.Width)}
		if f := p.fulls.get(fullKey{scope, k}); f != nil && p.young(f) {
			d.Epoch, d.Size, d.SHA256, d.ETag = f.Epoch, f.Size, hex.EncodeToString(f.Hash[:]), f.ETag
		}
		doc.Full = append(doc.Full, d)
	}
	return doc
}
