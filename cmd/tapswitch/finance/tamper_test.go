package finance

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/crypto/receipt"
	"github.com/tapswitch/tapswitch/ledger/settle/certificate"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/ledger/warehouse/local"
	"github.com/tapswitch/tapswitch/ledger/warehouse/warehousetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// evidence is a directory with two certified days: warehouse, runs, certificates and keys.
type evidence struct {
	t   *testing.T
	dir string
}

// Add implements Source.
func (e *evidence) Add(*cobra.Command) {}

// Open implements Source: Parquet files, and no switch.
func (e *evidence) Open(context.Context) (*Place, error) {
	reader, err := local.OpenReader(filepath.Join(e.dir, "warehouse"))
	return &Place{Reader: reader, Done: func() error { return nil },
		Dir: filepath.Join(e.dir, "finance"), Zone: time.UTC}, err
}

const firstDay, secondDay = warehousetest.Day, warehousetest.Day + 1

// command runs a command as the binary would, and returns its exit code and what it said.
func (e *evidence) command(c *cobra.Command, args ...string) (int, string) {
	e.t.Helper()
	var said bytes.Buffer
	c.SetOut(&said)
	c.SetErr(&said)
	c.SetArgs(args)
	c.SilenceUsage = true
	err := c.ExecuteContext(e.t.Context())
	return cli.Code(err), said.String()
}

func (e *evidence) must(c *cobra.Command, args ...string) {
	e.t.Helper()
	if code, said := e.command(c, args...); code != 0 {
		e.t.Fatalf("%v: exit code %d: %s", args, code, said)
	}
}

// verify runs ledger verify.
func (e *evidence) verify(args ...string) (int, string) {
	e.t.Helper()
	c := &cobra.Command{Use: "ledger"}
	c.AddCommand(Ledger(e)...)
	return e.command(c, append([]string{"verify", "--keys", e.path("finance", KeysFile)}, args...)...)
}

func (e *evidence) path(below ...string) string {
	return filepath.Join(append([]string{e.dir}, below...)...)
}

func (e *evidence) certificate(day txn.BusinessDate) string {
	return e.path("finance", "certificates", day.String()+".json")
}

func (e *evidence) run(day txn.BusinessDate) string {
	return e.path("finance", "runs", day.String(), "001")
}

func (e *evidence) chain(day txn.BusinessDate) string {
	return filepath.Join(e.run(day), certificate.FileName)
}

// part is the Parquet file of a day.
func (e *evidence) part(day txn.BusinessDate) string {
	e.t.Helper()
	all, err := filepath.Glob(e.path("warehouse", day.String(), "*.parquet"))
	if err != nil || len(all) != 1 {
		e.t.Fatalf("parts of %s: %v %v", day, all, err)
	}
	return all[0]
}

func (e *evidence) read(path string) []byte {
	e.t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		e.t.Fatal(err)
	}
	return text
}

func (e *evidence) write(path string, text []byte) {
	e.t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		e.t.Fatal(err)
	}
}

// replace edits a text file in one place.
func (e *evidence) replace(path, from, to string) {
	e.t.Helper()
	text := string(e.read(path))
	if !strings.Contains(text, from) {
		e.t.Fatalf("%s holds no %s", path, from)
	}
	e.write(path, []byte(strings.Replace(text, from, to, 1)))
}

func (e *evidence) swap(a, b string) {
	e.t.Helper()
	one, two := e.read(a), e.read(b)
	e.write(a, two)
	e.write(b, one)
}

// rows rewrites the Parquet file of the first day.
func (e *evidence) rows(change func([]warehouse.Row) []warehouse.Row) {
	e.t.Helper()
	path := e.part(firstDay)
	rows, err := parquet.ReadFile[warehouse.Row](path)
	if err == nil {
		err = parquet.WriteFile(path, change(rows))
	}
	if err != nil {
		e.t.Fatal(err)
	}
}

// frame is one record of a chain file as it stands there.
type frame struct {
	record txn.Record
	bytes  []byte
}

// frames rewrites the chain file of the first day and leaves the links as they were.
func (e *evidence) frames(change func([]frame) []frame) {
	e.t.Helper()
	head, all := e.framed(firstDay)
	for _, f := range change(all) {
		head = append(head, f.bytes...)
	}
	e.write(e.chain(firstDay), head)
}

// framed cuts a chain file into its first line and its records.
func (e *evidence) framed(day txn.BusinessDate) (head []byte, all []frame) {
	e.t.Helper()
	text := e.read(e.chain(day))
	at := bytes.IndexByte(text, '\n') + 1
	head = slices.Clone(text[:at])
	for at < len(text) {
		size, n := binary.Uvarint(text[at:])
		end := at + n + int(size) + 32 // the link
		r, err := txn.DecodeRecord(text[at+n : at+n+int(size)])
		if n <= 0 || err != nil {
			e.t.Fatalf("byte %d: %v", at, err)
		}
		all = append(all, frame{r, slices.Clone(text[at:end])})
		at = end
	}
	return head, all
}

// relinked rewrites the chain file of the first day with links that fit.
func (e *evidence) relinked(change func([]txn.Record) []txn.Record) {
	e.t.Helper()
	_, all := e.framed(firstDay)
	var records []txn.Record
	for _, f := range all {
		if f.record.Kind == txn.EpochMarker {
			f.record.Previous.Bucket = f.record.Position.Bucket // the encoding leaves it out
		}
		records = append(records, f.record)
	}
	var b bytes.Buffer
	c, err := certificate.NewChain(&b, firstDay)
	for _, r := range change(records) {
		if err == nil {
			err = c.Add(&r)
		}
	}
	if err == nil {
		_, err = c.Finish()
	}
	if err != nil {
		e.t.Fatal(err)
	}
	e.write(e.chain(firstDay), b.Bytes())
}

// newEvidence settles and certifies two days with the commands.
func newEvidence(t *testing.T) *evidence {
	t.Helper()
	e := &evidence{t: t, dir: t.TempDir()}
	chain := warehousetest.NewChain(81)
	w, err := local.Open(local.Options{Dir: e.path("warehouse")})
	if err != nil {
		t.Fatal(err)
	}
	for _, date := range []txn.BusinessDate{firstDay, secondDay} {
		records := append(chain.Batch(1200), chain.CloseDay()...)
		if err := w.Append(t.Context(), records); err != nil {
			t.Fatal(err)
		}
		if len(records) == 0 || records[len(records)-1].BusinessDate != date {
			t.Fatalf("records of %s", date)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for _, date := range []string{firstDay.String(), secondDay.String()} {
		e.must(Day(e), "close", "--day", date)
		e.must(Settle(e), "run", "--day", date)
		e.must(Day(e), "certify", "--day", date)
	}
	return e
}

// copyOf is a copy of the evidence for a test to spoil.
func (e *evidence) copyOf(t *testing.T) *evidence {
	t.Helper()
	other := &evidence{t: t, dir: filepath.Join(t.TempDir(), "copy")}
	if err := os.CopyFS(other.dir, os.DirFS(e.dir)); err != nil {
		t.Fatal(err)
	}
	return other
}

// victim is a record in the middle of its bucket and the one after it: a ride that was paid.
func victim(t *testing.T, all []frame) (at int) {
	t.Helper()
	at = slices.IndexFunc(all, func(f frame) bool {
		return f.record.Position.Seq >= 4 && f.record.Charged > 0 && f.record.Kind == txn.BusBoarding
	})
	if at < 0 || all[at+1].record.Position != next(all[at].record.Position) {
		t.Fatal("the seed has no such record")
	}
	return at
}

func next(p txn.Position) txn.Position {
	p.Seq++
	return p
}

// TestTampering: ledger verify, with files only, tells every way of changing a certified day and
// names the first wrong record or file.
func TestTampering(t *testing.T) {
	good := newEvidence(t)
	full := func(e *evidence) []string {
		return []string{"--run", e.run(firstDay), "--compare", e.certificate(firstDay)}
	}
	if code, said := good.verify(full(good)...); code != 0 ||
		!strings.Contains(said, "every file of the run") {
		t.Fatalf("genuine: %d %s", code, said)
	}
	if code, said := good.verify("--run", good.run(secondDay), "--previous", good.certificate(firstDay),
		good.certificate(secondDay)); code != 0 || !strings.Contains(said, "it follows") {
		t.Fatalf("genuine: %d %s", code, said)
	}
	_, all := good.framed(firstDay)
	at := victim(t, all)
	here, then := all[at].record.Position, all[at+1].record.Position
	last := all[len(all)-1].record.Position
	row := func(rows []warehouse.Row) int {
		return slices.IndexFunc(rows, func(r warehouse.Row) bool {
			return uint64(r.Bucket) == uint64(here.Bucket) && uint64(r.Epoch) == uint64(here.Epoch) &&
				uint64(r.Seq) == uint64(here.Seq)
		})
	}
	record := func(p txn.Position) string { return "first bad record " + p.String() + ":" }
	for _, tt := range []struct {
		name   string
		tamper func(e *evidence)
		args   func(e *evidence) []string // full when nil
		want   string
	}{
		// The file of records, each link left as it was.
		{"value changed", func(e *evidence) {
			e.frames(func(f []frame) []frame { f[at].bytes[len(f[at].bytes)-33] ^= 1; return f })
		}, nil, record(here)},
		{"record removed", func(e *evidence) {
			e.frames(func(f []frame) []frame { return slices.Delete(f, at, at+1) })
		}, nil, record(here)},
		{"record added", func(e *evidence) {
			e.frames(func(f []frame) []frame { return slices.Insert(f, at+1, f[at]) })
		}, nil, record(then)},
		{"records swapped", func(e *evidence) {
			e.frames(func(f []frame) []frame { f[at], f[at+1] = f[at+1], f[at]; return f })
		}, nil, record(here)},
		{"chain cut at the end", func(e *evidence) {
			e.frames(func(f []frame) []frame { return f[:len(f)-1] })
		}, nil, record(last)},
		{"chain longer at the end", func(e *evidence) {
			e.frames(func(f []frame) []frame { return append(f, f[len(f)-1]) })
		}, nil, record(next(last))},
		{"chain written anew", func(e *evidence) {
			e.relinked(func(r []txn.Record) []txn.Record { r[at].Charged++; return r })
		}, nil, record(here)},
		{"chain of the other day", func(e *evidence) { e.swap(e.chain(firstDay), e.chain(secondDay)) },
			nil, "the file is of " + secondDay.String()},
		{"chain removed", func(e *evidence) { _ = os.Remove(e.chain(firstDay)) }, nil,
			certificate.FileName},
		// The Parquet file.
		{"value changed in Parquet", func(e *evidence) {
			e.rows(func(r []warehouse.Row) []warehouse.Row { r[row(r)].BalanceAfter++; return r })
		}, nil, record(here)},
		{"record removed in Parquet", func(e *evidence) {
			e.rows(func(r []warehouse.Row) []warehouse.Row { return slices.Delete(r, row(r), row(r)+1) })
		}, nil, record(here)},
		{"record added in Parquet", func(e *evidence) {
			e.rows(func(r []warehouse.Row) []warehouse.Row { return slices.Insert(r, row(r), r[row(r)]) })
		}, nil, record(here)},
		{"records swapped in Parquet", func(e *evidence) {
			e.rows(func(r []warehouse.Row) []warehouse.Row {
				i := row(r)
				r[i], r[i+1] = r[i+1], r[i]
				return r
			})
		}, nil, record(here)},
		{"last record removed in Parquet", func(e *evidence) {
			e.rows(func(r []warehouse.Row) []warehouse.Row { return r[:len(r)-1] })
		}, nil, record(last)},
		{"two days of Parquet swapped", func(e *evidence) { e.swap(e.part(firstDay), e.part(secondDay)) },
			nil, record(all[0].record.Position)},
		{"an older Parquet file", func(e *evidence) {
			e.rows(func(r []warehouse.Row) []warehouse.Row { return r[:row(r)] })
		}, nil, record(here)},
		{"Parquet file removed", func(e *evidence) { _ = os.Remove(e.part(firstDay)) }, nil,
			filepath.Base(good.part(firstDay))},
		{"Parquet file cut", func(e *evidence) {
			text := e.read(e.part(firstDay))
			e.write(e.part(firstDay), text[:len(text)/2])
		}, nil, filepath.Base(good.part(firstDay))},
		{"a value that no record has", func(e *evidence) {
			e.rows(func(r []warehouse.Row) []warehouse.Row { r[row(r)].Outcome = "perhaps"; return r })
		}, nil, here.String()},
		// Certificates.
		{"two days' certificates swapped", func(e *evidence) {
			e.swap(e.certificate(firstDay), e.certificate(secondDay))
		}, nil, "the file is of " + firstDay.String()},
		{"certificates in the wrong order", func(*evidence) {}, func(e *evidence) []string {
			return []string{"--previous", e.certificate(secondDay), e.certificate(firstDay)}
		}, "does not follow"},
		{"certificate of another key", func(e *evidence) { e.resign(firstDay) }, nil,
			"certificate " + firstDay.String() + ".json"},
		{"certificate edited", func(e *evidence) {
			e.replace(e.certificate(firstDay), `"number":1`, `"number":2`)
		}, nil, "certificate " + firstDay.String() + ".json"},
		{"books edited in the certificate", func(e *evidence) {
			e.replace(e.certificate(firstDay), `"books":"`, `"books":"00`)
		}, nil, "certificate " + firstDay.String() + ".json"},
		{"certificate before edited", func(e *evidence) {
			e.replace(e.certificate(firstDay), `"amount_fen":`, `"amount_fen":1`)
		}, func(e *evidence) []string {
			return []string{"--previous", e.certificate(firstDay), e.certificate(secondDay)}
		}, "certificate " + firstDay.String() + ".json"},
		// The books.
		{"a fee changed", func(e *evidence) {
			path := filepath.Join(e.run(firstDay), "net.csv")
			e.write(path, append(e.read(path), '\n'))
		}, nil, "first wrong file net.csv:"},
		{"a fee changed with its manifest", func(e *evidence) {
			e.replace(filepath.Join(e.run(firstDay), "manifest.json"), `"debit": `, `"debit": 1`)
		}, nil, "first wrong file manifest.json:"},
		{"a file of the run removed", func(e *evidence) {
			_ = os.Remove(filepath.Join(e.run(firstDay), "orders.csv"))
		}, nil, "first wrong file orders.csv: it is missing"},
		{"a file put into the run", func(e *evidence) {
			e.write(filepath.Join(e.run(firstDay), "orders-new.csv"), []byte("x"))
		}, nil, "first wrong file orders-new.csv:"},
		{"the run of the other day", func(*evidence) {}, func(e *evidence) []string {
			return []string{"--run", e.run(secondDay), e.certificate(firstDay), e.chain(firstDay)}
		}, "first wrong file manifest.json:"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := good.copyOf(t)
			tt.tamper(e)
			if tt.args == nil {
				tt.args = full
			}
			code, said := e.verify(tt.args(e)...)
			said = strings.ReplaceAll(said, e.path("finance", "certificates")+"/", "")
			if code != cli.ExitBreaks || !strings.Contains(said, tt.want) {
				t.Errorf("exit code %d, said %s\nwant %s", code, said, tt.want)
			}
		})
	}
}

// TestCertificateWithoutBooks: a certificate from before books were certified verifies as it did, is
// followed by one that names them, and does not pass for the books.
func TestCertificateWithoutBooks(t *testing.T) {
	e := newEvidence(t)
	key := e.path("finance", "certificate.key")
	e.sign(firstDay, key, func(d *receipt.Day) { d.Books = [32]byte{} })
	if code, said := e.verify(e.certificate(firstDay), e.chain(firstDay)); code != 0 ||
		strings.Contains(said, "file of the run") {
		t.Errorf("its records: %d %s", code, said)
	}
	code, said := e.verify("--run", e.run(firstDay), e.certificate(firstDay))
	if code != cli.ExitUsage || !strings.Contains(said, "vouches for the records only") {
		t.Errorf("its books: %d %s", code, said)
	}
	code, said = e.verify("--run", e.run(firstDay)+"x", e.certificate(firstDay))
	if code != cli.ExitNotFound {
		t.Errorf("a directory that is not there: %d %s", code, said)
	}
	first, err := receipt.Hash(e.made(firstDay))
	if err != nil {
		t.Fatal(err)
	}
	e.sign(secondDay, key, func(d *receipt.Day) { d.Previous = first })
	if code, said := e.verify("--run", e.run(secondDay), "--previous", e.certificate(firstDay),
		e.certificate(secondDay)); code != 0 || !strings.Contains(said, "it follows") {
		t.Errorf("the one after it: %d %s", code, said)
	}
}

// resign signs the certificate of a day with another key of the same name.
func (e *evidence) resign(day txn.BusinessDate) {
	e.t.Helper()
	path := e.path("other.key")
	e.write(path, []byte(hex.EncodeToString(bytes.Repeat([]byte{7}, 32))+"\n"))
	e.sign(day, path, func(*receipt.Day) {})
}

// made is the certificate of a day.
func (e *evidence) made(day txn.BusinessDate) *receipt.Day {
	e.t.Helper()
	keys := &verification{keys: e.path("finance", KeysFile)}
	trusted, err := keys.trusted()
	if err != nil {
		e.t.Fatal(err)
	}
	made, err := readDay(trusted, e.certificate(day))
	if err != nil {
		e.t.Fatal(err)
	}
	return made
}

// sign changes the certificate of a day and signs it with a key.
func (e *evidence) sign(day txn.BusinessDate, key string, change func(*receipt.Day)) {
	e.t.Helper()
	made := e.made(day)
	change(made)
	by, err := (&desk{by: "a", key: key}).certifier(&Place{Dir: e.dir}, "city") // publishes elsewhere
	if err != nil {
		e.t.Fatal(err)
	}
	envelope, err := receipt.Seal(made, by.Signer)
	if err != nil {
		e.t.Fatal(err)
	}
	text, err := envelope.Encode()
	if err != nil {
		e.t.Fatal(fmt.Errorf("sealing: %w", err))
	}
	e.write(e.certificate(day), text)
}
