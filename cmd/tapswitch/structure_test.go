package main_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/tapswitch/tapswitch/"

// lattice names every package of the module and what of the module it may import. It is
// the design: pan < txn < card, fare < store < engine < gate, bank, and the edges never
// import each other. Do not edit it to make a build pass; move the code.
//
// A name that ends in "/..." stands for a package and everything below it.
var lattice = map[string][]string{
	// Cryptography: the standards, each on the ciphers; the key ring on all of them. Only
	// the key ring touches a disk.
	"crypto/block":                    {},
	"crypto/sm":                       {},
	"crypto/tlv":                      {},
	"crypto/pan":                      {},
	"crypto/mac":                      {"crypto/block"},
	"crypto/pinblock":                 {"crypto/block"},
	"crypto/dukpt":                    {"crypto/block", "crypto/mac"},
	"crypto/keyblock":                 {"crypto/block", "crypto/mac"},
	"crypto/purse":                    {"crypto/block", "crypto/purse/internal/fastblock"},
	"crypto/purse/internal/fastblock": {"crypto/block"},
	"crypto/qr":                       {"crypto/pan", "crypto/sm"},
	"crypto/receipt":                  {"crypto/pan", "crypto/sm"},
	"crypto/keyring": {"crypto/block", "crypto/dukpt", "crypto/keyblock", "crypto/mac", "crypto/pan",
		"crypto/pinblock", "crypto/purse", "crypto/receipt", "crypto/sm"},
	"crypto/keyring/pkcs11": {"crypto/block", "crypto/keyring"},
	"crypto/keyring/keyringtest": {"crypto/block", "crypto/keyblock", "crypto/keyring", "crypto/mac",
		"crypto/pinblock", "crypto/purse"},
	"crypto/vector": {"crypto/block", "crypto/dukpt", "crypto/keyblock", "crypto/mac", "crypto/pan",
		"crypto/pinblock", "crypto/purse", "crypto/qr", "crypto/sm", "crypto/tlv"},

	// The words and the rules.
	"switch/txn":     {"crypto/pan"},
	"switch/lease":   {"switch/txn"}, // how long a purse may be served off line
	"switch/card":    {"crypto/pan", "switch/txn", "switch/lease"},
	"switch/account": {"crypto/pan", "switch/txn", "switch/card"},
	"switch/fare":    {"switch/txn", "switch/fare/price"},
	// Tariffs with transfers, caps and passes: the price of a tap, the files, what imports them.
	"switch/fare/price":  {"switch/txn"},
	"switch/fare/tariff": {"switch/txn", "switch/fare/price"},
	"switch/fare/gtfs":   {"switch/txn", "switch/fare/price"},
	"switch/ridedesk":    {"crypto/pan", "switch/txn", "switch/engine", "switch/desk/form"},
	// Taps of QR codes, and what puts them together with their files and commands.
	"switch/qrtap":         {"crypto/pan", "crypto/qr", "switch/disruption", "switch/txn", "switch/engine", "switch/desk/form"},
	"cmd/tapswitch/qrdesk": {"cmd/tapswitch/cli", "crypto/qr", "switch/qrtap", "switch/txn"},
	"switch/store":         {"crypto/pan", "switch/txn"},
	"switch/blacklist":     {"crypto/pan", "switch/txn", "switch/store"},
	"switch/blacklist/list": {"crypto/pan", "crypto/receipt", "crypto/sm", "switch/txn", "switch/store",
		"switch/blacklist/list/fuse"},
	"switch/blacklist/list/fuse": {},
	"switch/engine":              {"crypto/pan", "switch/txn", "switch/card", "switch/disruption", "switch/fare", "switch/fare/price", "switch/lease", "switch/passback", "switch/store"},
	"switch/scheme":              {"crypto/pan", "switch/txn", "switch/account", "switch/lease", "deploy"},
	"switch/passback":            {"switch/txn"},
	"switch/scheme/duty":         {},

	// The hot stores. The local one keeps its list in the replica's compact table.
	"switch/store/local":      {"crypto/pan", "switch/txn", "switch/store", "switch/blacklist"},
	"switch/store/redisstore": {"crypto/pan", "switch/txn", "switch/store"},
	"switch/store/storetest":  {"crypto/pan", "switch/txn", "switch/store"},

	// Freezes, proven.
	"switch/notice": {"crypto/pan", "switch/txn", "switch/store"},

	// The edges.
	"switch/gate/flat":    {"switch/txn"},
	"switch/gate/counter": {},
	"switch/gate/refusal": {"switch/txn"},
	"switch/gate/fields":  {"switch/gate/flat", "switch/gate/refusal", "switch/txn"},
	"switch/gate/adapt":   {},
	"switch/gate/quiet":   {},
	// What gates work by, and the orders of degraded modes, which the engine may know too.
	"switch/disruption": {"switch/txn"},
	"switch/disruption/redress": {"crypto/pan", "switch/card", "switch/disruption", "switch/engine", "switch/fare/price",
		"switch/store", "switch/txn"},
	"switch/gate/provision": {"crypto/receipt", "crypto/sm", "switch/disruption", "switch/store", "switch/txn"},
	"switch/gate/frame":     {"crypto/pan"},
	// Uploads of off-line records: the rules, what books them, their calls.
	"switch/upload": {"crypto/pan", "switch/card", "switch/gate/frame", "switch/txn"},
	"switch/upload/book": {"crypto/pan", "crypto/purse", "switch/card", "switch/engine", "switch/gate/frame", "switch/store",
		"switch/txn", "switch/upload"},
	"switch/upload/api": {"switch/gate/frame", "switch/store", "switch/txn", "switch/upload", "switch/upload/book"},
	"switch/gate": {"switch/disruption", "switch/gate/flat", "switch/gate/fields", "switch/gate/refusal", "switch/gate/counter", "switch/gate/adapt", "switch/gate/quiet", "crypto/pan", "switch/txn", "switch/card", "switch/fare", "switch/store",
		"switch/blacklist", "switch/engine", "switch/lease"},
	"switch/bank/message": {"crypto/block", "crypto/mac", "crypto/pan"},
	"switch/bank/inspect": {"crypto/mac", "crypto/pan", "crypto/tlv", "switch/bank/message"},
	"switch/bank/link":    {},
	"switch/bank/route":   {"crypto/pan", "switch/txn"},
	"switch/bank/emv":     {"crypto/tlv"},
	"switch/bank/flight":  {"crypto/pan", "switch/txn"},
	"switch/bank/intent":  {"switch/bank/message", "switch/bank/route", "switch/txn"},
	"switch/bank/till":    {"switch/txn"},
	"switch/bank/secure": {"crypto/block", "crypto/keyring", "crypto/mac", "crypto/pan", "crypto/pinblock",
		"switch/bank/message", "switch/store"},
	"switch/bank/vector":      {"crypto/block", "crypto/mac", "crypto/pan", "crypto/tlv", "crypto/vector", "switch/bank/message"},
	"switch/bank/advice":      {"crypto/pan", "switch/store", "switch/txn"},
	"switch/bank/audit":       {"switch/store", "switch/txn"},
	"switch/bank/certificate": {},
	"switch/bank/keymail":     {"crypto/keyring", "switch/bank/audit", "switch/bank/message", "switch/bank/secure"},
	"switch/bank/notice":      {"switch/store", "switch/txn"},
	"switch/bank/rota":        {"switch/bank/audit", "switch/store", "switch/txn"},
	"switch/bank/tally":       {"switch/card", "switch/engine", "switch/store", "switch/txn"},
	"switch/bank/count":       {},
	"switch/bank/guise":       {"switch/bank/message", "switch/card", "switch/txn"},
	"switch/bank/kept":        {"switch/bank/link", "switch/store", "switch/txn"},
	"switch/bank/setup": {"crypto/block", "crypto/keyring", "crypto/mac", "crypto/pan", "switch/lease", "switch/bank/certificate",
		"switch/bank/emv", "switch/bank/link", "switch/bank/message", "switch/bank/route", "switch/bank/till", "switch/card",
		"switch/txn"},
	"switch/bank": {"switch/bank/emv", "switch/bank/flight", "switch/bank/intent", "switch/bank/till",
		"switch/bank/message", "switch/bank/link", "switch/bank/route", "switch/bank/secure", "crypto/block", "crypto/keyring", "crypto/mac", "crypto/pan", "switch/txn",
		"switch/card", "switch/store", "switch/engine",
		"switch/bank/advice", "switch/bank/audit", "switch/bank/keymail", "switch/bank/notice", "switch/bank/rota", "switch/bank/setup",
		"switch/bank/tally", "switch/bank/count", "switch/bank/guise", "switch/bank/kept"},

	// The card desk.
	"switch/liability": {"switch/txn", "switch/account"},
	"switch/desk/form": {"crypto/pan", "switch/txn"},
	"switch/desk/finding": {"crypto/pan", "crypto/receipt", "crypto/sm", "switch/txn", "switch/account",
		"switch/store"},
	"switch/desk/share": {"crypto/pan", "crypto/sm", "switch/txn", "switch/account", "switch/scheme",
		"switch/store", "switch/desk", "switch/desk/form"},
	"switch/desk/page":     {"switch/desk/coverage"},
	"switch/desk/coverage": {},
	"switch/desk/intake":   {"crypto/pan", "switch/txn", "switch/store", "switch/engine"},
	"switch/desk/api": {"crypto/pan", "crypto/receipt", "switch/txn", "switch/account", "switch/scheme", "switch/notice",
		"switch/blacklist/list", "switch/desk", "switch/desk/drill", "switch/desk/finding", "switch/desk/foreign",
		"switch/desk/form", "switch/desk/intake", "switch/desk/share"},
	"switch/desk": {"crypto/pan", "crypto/receipt", "switch/txn", "switch/card", "switch/account", "switch/scheme", "switch/notice",
		"switch/blacklist/list", "switch/liability", "switch/store", "switch/engine", "switch/desk/form"},

	// Other cities' freezes, and the record of drills.
	"switch/desk/foreign": {"crypto/pan", "crypto/sm", "switch/txn", "switch/card", "switch/store", "switch/engine"},
	"switch/desk/drill":   {"crypto/pan", "switch/txn", "switch/store"},

	// What drives the switch from outside knows its words, not its insides.
	"switch/sim":     {"crypto/pan", "switch/txn", "switch/fare"},
	"switch/sim/szt": {"crypto/pan", "switch/txn", "switch/sim", "switch/fare/price"},
	"switch/sim/gatesim": {"crypto/pan", "crypto/purse", "crypto/receipt", "switch/blacklist/list", "switch/disruption",
		"switch/fare/price", "switch/fare/tariff", "switch/gate/frame", "switch/gate/provision", "switch/sim", "switch/txn"},
	"switch/sim/faultproxy": {},
	"switch/sim/bankhost":   {"crypto/block", "crypto/mac", "crypto/pan", "crypto/pinblock", "switch/bank/message"},
	"switch/sim/pos":        {"crypto/block", "crypto/mac", "crypto/pan", "crypto/pinblock", "crypto/tlv", "switch/bank/message"},
	"switch/sim/simtest":    {"crypto/pan", "switch/...", "ledger/..."},

	// The ledger reads records; it knows no card and no store but the outbox.
	"ledger/warehouse":               {"crypto/pan", "switch/txn"},
	"ledger/lock":                    {},
	"ledger/person":                  {},
	"ledger/warehouse/local":         {"crypto/pan", "switch/txn", "ledger/lock", "ledger/warehouse"},
	"ledger/warehouse/clickhouse":    {"crypto/pan", "switch/txn", "ledger/warehouse", "deploy"},
	"ledger/warehouse/warehousetest": {"crypto/pan", "switch/txn", "ledger/warehouse"},
	"ledger/feed": {"crypto/pan", "switch/txn", "switch/store", "ledger/warehouse",
		"deploy/kafka/topics"},
	"ledger/feed/recordpb": {},
	"ledger/settle":        {"crypto/pan", "switch/txn", "ledger/warehouse"},
	// Reconciliation: the rules; what reads files, the ledger and claims; what carries millions
	// of rows through and keeps the breaks.
	// Finance: the rules, the files, and the desk that keeps days, runs and certificates.
	"ledger/settle/chart":       {"switch/txn"},
	"ledger/settle/clearing":    {"ledger/settle/chart", "switch/txn"},
	"ledger/settle/terms":       {"deploy", "ledger/settle/chart", "ledger/settle/clearing", "switch/txn"},
	"ledger/settle/journal":     {"switch/txn", "ledger/lock"},
	"ledger/settle/fund":        {"ledger/settle/chart", "switch/txn"},
	"ledger/settle/pack":        {"ledger/settle/chart", "ledger/settle/clearing", "switch/txn"},
	"ledger/settle/certificate": {"crypto/receipt", "crypto/sm", "switch/txn"},
	"ledger/settle/day": {"crypto/receipt", "ledger/person", "ledger/settle/certificate", "ledger/settle/chart", "ledger/settle/clearing",
		"ledger/settle/fund", "ledger/settle/journal", "ledger/settle/pack", "ledger/warehouse", "switch/txn"},
	// The console: pages, and what they must not wait for.
	"ledger/console/session": {},
	"ledger/console/trail":   {},
	"ledger/console/figures": {"switch/txn", "ledger/warehouse", "ledger/settle"},
	"ledger/console/lookup":  {"switch/txn", "ledger/warehouse"},
	"ledger/console": {"crypto/pan", "switch/desk/coverage", "switch/txn", "ledger/warehouse", "ledger/settle", "ledger/console/figures",
		"ledger/console/lookup", "ledger/console/session", "ledger/console/trail"},
	"ledger/recon":        {"switch/txn"},
	"ledger/recon/layout": {"switch/txn", "ledger/recon"},
	"ledger/recon/intake": {"crypto/pan", "switch/txn", "ledger/warehouse", "ledger/recon"},
	"ledger/recon/run":    {"switch/txn", "ledger/recon"},
	"ledger/recon/book":   {"switch/txn", "ledger/lock", "ledger/person", "ledger/recon", "ledger/recon/run"},
	"ledger/recon/plant":  {"switch/txn", "ledger/recon"},

	// The tools and the binary.
	"bench": {"crypto/keyring", "crypto/mac", "crypto/block", "crypto/pan", "crypto/purse", "switch/...", "ledger/...",
		"bench/...", "deploy/stack"},
	"bench/books": {"ledger/warehouse", "ledger/warehouse/local", "ledger/warehouse/warehousetest", "switch/txn"},
	"bench/load":  {},
	"bench/iso": {"bench/load", "crypto/block", "crypto/mac", "switch/bank/message",
		"deploy/stack"},
	"bench/report":            {"bench/load"},
	"deploy":                  {},
	"deploy/tidy":             {},
	"deploy/analyst":          {},
	"deploy/grafana":          {},
	"deploy/kafka/topics":     {},
	"deploy/stack":            {},
	"deploy/stack/stackctl":   {"deploy/stack"},
	"deploy/stack/chdbfront":  {},
	"cmd/tapswitch":           {"..."},
	"cmd/tapswitch/cli":       {},
	"cmd/tapswitch/collector": {},
	"cmd/tapswitch/config":    {},
	"cmd/tapswitch/keyfile":   {"switch/store"},
	"cmd/tapswitch/readers":   {"cmd/tapswitch/cli", "deploy/analyst"},
	// The card agency's part, put together.
	"cmd/tapswitch/agency": {"crypto/pan", "crypto/receipt", "ledger/feed", "ledger/warehouse",
		"switch/bank", "switch/bank/advice", "switch/blacklist/list", "switch/desk", "switch/desk/api", "switch/desk/finding", "switch/desk/intake", "switch/desk/page",
		"deploy", "switch/desk/drill", "switch/desk/foreign", "switch/desk/share", "switch/engine", "switch/notice", "switch/scheme", "switch/store", "switch/txn"},
	// What stands behind the console.
	"cmd/tapswitch/consolewire": {"crypto/pan", "ledger/console", "ledger/console/session", "ledger/console/trail",
		"ledger/recon", "ledger/recon/book", "ledger/recon/run", "ledger/settle/...", "ledger/warehouse", "switch/store", "switch/txn"},
	"cmd/tapswitch/citydemo": {"crypto/pan", "crypto/receipt", "switch/account", "switch/bank/message", "switch/blacklist/list",
		"switch/notice", "switch/scheme", "switch/scheme/duty", "switch/sim", "switch/sim/bankhost", "switch/sim/pos", "switch/txn"},
	// Clients of a running gate.
	"cmd/tapswitch/call": {"cmd/tapswitch/cli"},
	"cmd/tapswitch/desk": {"cmd/tapswitch/call", "cmd/tapswitch/cli", "crypto/receipt"},

	// The agency's commands beside accounts.
	"cmd/tapswitch/office": {"cmd/tapswitch/desk"},
	// Uploads of off-line records, put together, and the commands about them.
	"cmd/tapswitch/uploads": {"cmd/tapswitch/call", "cmd/tapswitch/cli", "crypto/block", "crypto/keyring", "crypto/pan",
		"crypto/purse", "switch/engine", "switch/gate", "switch/store", "switch/txn", "switch/upload",
		"switch/upload/api", "switch/upload/book"},
	// What gates work by, and simulated gates.
	"cmd/tapswitch/gracewire": {"ledger/warehouse", "switch/disruption/redress", "switch/gate", "switch/store", "switch/txn"},
	"cmd/tapswitch/gatedesk":  {"cmd/tapswitch/call", "cmd/tapswitch/cli", "switch/disruption"},
	"cmd/tapswitch/gatesim":   {"cmd/tapswitch/call", "cmd/tapswitch/cli", "switch/sim/gatesim", "switch/txn"},
	// What the bank edge counts, as metrics.
	"cmd/tapswitch/bankfigures": {"switch/bank"},
	"cmd/tapswitch/bankdesk":    {"cmd/tapswitch/call", "cmd/tapswitch/cli", "switch/bank", "switch/bank/audit"},
	// Tariffs: what the commands about fares do, and the table of a replay.
	"cmd/tapswitch/faredesk": {"cmd/tapswitch/call", "cmd/tapswitch/cli", "switch/ridedesk", "crypto/pan", "ledger/warehouse", "deploy",
		"switch/fare/gtfs", "switch/fare/price", "switch/fare/tariff", "switch/sim/szt", "switch/txn"},
	// Reconciliation with counterparties, and the breaks to work on.
	"cmd/tapswitch/recondesk": {"cmd/tapswitch/cli", "deploy", "ledger/recon", "ledger/recon/book",
		"ledger/recon/intake", "ledger/recon/layout", "ledger/recon/plant", "ledger/recon/run",
		"ledger/warehouse", "switch/scheme", "switch/txn"},
	"cmd/tapswitch/benchdesk":   {"cmd/tapswitch/cli", "bench", "bench/iso", "bench/report"},
	"cmd/tapswitch/replaytable": {"cmd/tapswitch/cli", "switch/sim/szt"},
	// Days, settlement and certificates.
	"cmd/tapswitch/finance": {"cmd/tapswitch/cli", "cmd/tapswitch/keyfile", "crypto/receipt", "ledger/feed",
		"ledger/settle/certificate", "ledger/settle/chart", "ledger/settle/clearing", "ledger/settle/day",
		"ledger/settle/fund", "ledger/settle/journal", "ledger/settle/pack", "ledger/settle/terms",
		"ledger/person", "ledger/warehouse", "switch/scheme", "switch/txn"},
	// The commands that need no switch.
	"cmd/tapswitch/tools": {"cmd/tapswitch/cli", "crypto/block", "crypto/keyring", "crypto/mac", "crypto/pan",
		"crypto/vector", "switch/bank/inspect", "switch/bank/message", "switch/bank/vector",
		"switch/scheme", "switch/scheme/duty", "switch/txn", "switch/sim/bankhost", "switch/sim/pos"},
}

// libraries names every library and the one package that may import it. A second name
// needs a reason.
var libraries = map[string][]string{
	"github.com/valyala/fasthttp": {"switch/gate", "switch/gate/adapt", "bench"},
	// The benchmark holds it, as it comes, against our use of it.
	"github.com/moov-io/iso8583":             {"switch/bank/message", "bench/iso"},
	"github.com/redis/go-redis/v9":           {"switch/store/redisstore"},
	"github.com/cockroachdb/pebble/v2":       {"switch/store/local"},
	"github.com/segmentio/kafka-go":          {"ledger/feed"},
	"google.golang.org/protobuf":             {"ledger/feed/recordpb"},
	"github.com/ClickHouse/clickhouse-go/v2": {"ledger/warehouse/clickhouse"},
	// The warehouse of one machine, and the daily pack that analysts read.
	"github.com/parquet-go/parquet-go": {"ledger/warehouse/local", "ledger/settle/pack"},
	"github.com/prometheus/client_golang": { // each shows figures of its own
		"cmd/tapswitch", "cmd/tapswitch/agency", "cmd/tapswitch/bankfigures", "cmd/tapswitch/qrdesk",
		"cmd/tapswitch/uploads"},
	// The commands, in package main and apart, and the flag of the form of their data.
	"github.com/spf13/cobra": {"cmd/tapswitch", "cmd/tapswitch/bankdesk", "cmd/tapswitch/benchdesk", "cmd/tapswitch/call", "cmd/tapswitch/cli", "cmd/tapswitch/desk",
		"cmd/tapswitch/faredesk", "cmd/tapswitch/gatedesk", "cmd/tapswitch/gatesim", "cmd/tapswitch/recondesk", "cmd/tapswitch/office", "cmd/tapswitch/finance", "cmd/tapswitch/readers", "cmd/tapswitch/tools", "cmd/tapswitch/uploads", "cmd/tapswitch/qrdesk"},
	"github.com/vbauerster/mpb/v8":     {"cmd/tapswitch"},
	"github.com/knadh/koanf/v2":        {"cmd/tapswitch/config"},
	"github.com/knadh/koanf/providers": {"cmd/tapswitch/config"},
	// The configuration and the tariff are YAML files, and so are a simulator's behaviour and
	// messages to pack.
	"github.com/knadh/koanf/parsers/yaml": {"cmd/tapswitch/config", "cmd/tapswitch",
		"cmd/tapswitch/tools"},
	// Message specifications are YAML files whose errors name the line; texts are GB18030.
	"go.yaml.in/yaml/v3": {"switch/bank/message", "switch/bank/emv", "switch/bank/setup",
		"switch/scheme", "switch/fare/tariff", "ledger/recon/layout", "ledger/settle/terms"},
	"golang.org/x/text": {"switch/bank/message", "ledger/person", "ledger/recon/layout"},
	// A histogram of latencies: the benchmark's, and what the demo's terminals saw.
	"github.com/HdrHistogram/hdrhistogram-go": {"bench", "bench/load", "switch/sim"},
	// The ciphers take SM4, the signatures SM2 and SM3.
	"github.com/emmansun/gmsm": {"crypto/block", "crypto/sm"},
	// Hardware security modules, behind a build tag.
	"github.com/miekg/pkcs11": {"crypto/keyring/pkcs11"},
	// Test tools, in a package that only tests import.
	"pgregory.net/rapid":                {"switch/store/storetest"},
	"github.com/anishathalye/porcupine": {"switch/store/storetest"},
	// The ClickHouse engine behind its protocol, for tests: a module of its own.
	"github.com/ClickHouse/ch-go":  {"deploy/stack/chdbfront"},
	"github.com/ebitengine/purego": {"deploy/stack/chdbfront"},
	"golang.org/x/sys":             {"deploy/stack/chdbfront"},
}

// pure are the packages that decide, and all that they may import of the standard library:
// nothing that reads a clock, a disk, a network or a setting.
var pure = map[string][]string{
	"crypto/pan": {"bytes", "crypto/hmac", "crypto/rand", "crypto/sha256", "encoding/binary",
		"encoding/csv", "encoding/hex", "errors", "fmt", "hash", "io", "log/slog", "strconv", "sync"},
	"switch/txn": {"crypto/sha256", "encoding/binary", "errors", "fmt", "math", "strconv", "strings",
		"time"},
	"switch/card":       {"encoding/binary", "errors", "fmt", "slices"},
	"switch/fare":       {"cmp", "fmt", "maps", "slices", "time"},
	"switch/disruption": {"errors", "fmt", "strings"},
	"switch/fare/price": {"cmp", "encoding/binary", "errors", "fmt", "slices", "strconv", "strings",
		"time"},
	"switch/account": {"crypto/sha256", "encoding/binary",
		"encoding/hex", "encoding/json", "errors", "fmt", "slices"},
	"switch/liability":    {"fmt"},
	"ledger/settle/chart": {"cmp", "errors", "fmt", "math", "slices", "strings"},
	"ledger/settle/clearing": {"cmp", "errors", "fmt", "maps", "math", "math/bits", "slices", "strings",
		"time"},
	"ledger/recon": {"cmp", "crypto/sha256", "encoding/hex", "encoding/json", "errors", "fmt",
		"slices", "strconv", "time"},
	"switch/store": {"context", "errors", "fmt", "time"},
	"switch/engine": {"bytes", "cmp", "context", "errors", "fmt", "maps", "slices", "sync", "sync/atomic",
		"time"},
}

// topLevel is the fixed top of the tree; files are listed, so that none slips in.
var topLevel = []string{"bench", "cmd", "crypto", "deploy", "ledger", "switch"}

// goPackage is one package outside tests.
type goPackage struct {
	dir     string
	imports []string
}

// packages parses the imports of every package below the root of the module.
func packages(t *testing.T) []goPackage {
	t.Helper()
	byDir := map[string]map[string]bool{}
	root := os.DirFS(filepath.Join("..", ".."))
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata"):
			return fs.SkipDir
		case d.IsDir() || path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		content, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, content, parser.ImportsOnly)
		if err != nil {
			return err
		}
		dir := path.Dir(name)
		if byDir[dir] == nil {
			byDir[dir] = map[string]bool{}
		}
		for _, spec := range f.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			byDir[dir][imported] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var all []goPackage
	for dir, imports := range byDir {
		p := goPackage{dir: dir}
		for name := range imports {
			p.imports = append(p.imports, name)
		}
		slices.Sort(p.imports)
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b goPackage) int { return strings.Compare(a.dir, b.dir) })
	return all
}

func covers(pattern, name string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "..."); ok {
		return strings.HasPrefix(name+"/", prefix)
	}
	return pattern == name
}

func TestImportLattice(t *testing.T) {
	for _, p := range packages(t) {
		allowed, ok := lattice[p.dir]
		if !ok {
			t.Errorf("package %s has no place in the lattice", p.dir)
			continue
		}
		for _, name := range p.imports {
			own, ok := strings.CutPrefix(name, module)
			if ok && !slices.ContainsFunc(allowed, func(a string) bool { return covers(a, own) }) {
				t.Errorf("%s imports %s", p.dir, own)
			}
		}
	}
}

// The lattice itself keeps its direction: nothing below an edge may name one, and no edge
// another.
func TestLatticeHasADirection(t *testing.T) {
	edges := []string{"switch/gate", "switch/bank"}
	for dir, allowed := range lattice {
		top := strings.HasPrefix(dir, "cmd/") || dir == "bench" || dir == "switch/sim/simtest"
		for _, a := range allowed {
			if !top && slices.ContainsFunc(edges, func(e string) bool { return covers(a, e) }) {
				t.Errorf("%s may import the edge %s", dir, a)
			}
			if !top && strings.Contains(a, "...") {
				t.Errorf("%s may import %s", dir, a)
			}
		}
		if reaches(dir, dir, map[string]bool{}) && !top {
			t.Errorf("%s may import itself by way of others", dir)
		}
	}
}

func reaches(from, to string, seen map[string]bool) bool {
	if seen[from] {
		return false
	}
	seen[from] = true
	for _, next := range lattice[from] {
		if next == to || !strings.Contains(next, "...") && reaches(next, to, seen) {
			return true
		}
	}
	return false
}

func TestOneLibraryOnePackage(t *testing.T) {
	for _, p := range packages(t) {
		for _, name := range p.imports {
			first, _, _ := strings.Cut(name, "/")
			if !strings.Contains(first, ".") || strings.HasPrefix(name, module) {
				continue
			}
			owners, library := ownersOf(name)
			switch {
			case library == "":
				t.Errorf("%s imports %s, which belongs to no package", p.dir, name)
			case !slices.Contains(owners, p.dir):
				t.Errorf("%s imports %s, which belongs to %v", p.dir, library, owners)
			}
		}
	}
}

// ownersOf returns who may import a package of a library.
func ownersOf(name string) (owners []string, library string) {
	for l, o := range libraries {
		if (name == l || strings.HasPrefix(name, l+"/")) && len(l) > len(library) {
			owners, library = o, l
		}
	}
	return owners, library
}

func TestPurePackages(t *testing.T) {
	seen := 0
	for _, p := range packages(t) {
		allowed, ok := pure[p.dir]
		if !ok {
			continue
		}
		seen++
		for _, name := range p.imports {
			if !strings.HasPrefix(name, module) && !slices.Contains(allowed, name) {
				t.Errorf("%s imports %s: it decides, and must not reach outside", p.dir, name)
			}
		}
	}
	if seen != len(pure) {
		t.Errorf("%d of %d pure packages found", seen, len(pure))
	}
}

func TestTopLevelIsFixed(t *testing.T) {
	entries, err := os.ReadDir(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	var dirs []string
	for _, e := range entries {
		name := e.Name()
		if e.IsDir() && !strings.HasPrefix(name, ".") && !ignored(t, name) {
			dirs = append(dirs, name)
		}
		if !e.IsDir() && path.Ext(name) == ".go" {
			t.Errorf("%s stands at the top", name)
		}
	}
	if !slices.Equal(dirs, topLevel) {
		t.Errorf("top level %v, want %v", dirs, topLevel)
	}
	// switch and crypto cannot be package names of ours.
	for _, dir := range []string{"switch", "crypto", "ledger", "cmd"} {
		files, err := filepath.Glob(filepath.Join("..", "..", dir, "*.go"))
		if err != nil || len(files) > 0 {
			t.Errorf("%s holds Go files: %v %v", dir, files, err)
		}
	}
}

// ignored reports whether git ignores a directory at the top.
func ignored(t *testing.T, name string) bool {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "..", ".gitignore"))
	if err != nil {
		t.Fatal(err)
	}
	return slices.Contains(strings.Split(string(content), "\n"), "/"+name+"/")
}
