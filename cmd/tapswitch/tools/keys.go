package tools

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/crypto/keyring"
)

// Keys is the command that keeps the key store.
func Keys() *cobra.Command {
	c := &cobra.Command{
		Use: "keys", Short: "Keep the keys: ceremony, import, rotation, destruction",
		Long: "Keeps the key store, a file that is sealed under a master key. The master key is made of\n" +
			"two components in the hands of two custodians, and never stored. A key is named\n" +
			"purpose/scheme or purpose/scheme/version; no command prints a key. Purposes:\n" +
			purposeList(),
		Example: "  tapswitch keys component --out a.component     # custodian A\n" +
			"  tapswitch keys component --out b.component     # custodian B, elsewhere\n" +
			"  tapswitch keys init --store keys --component a.component --component b.component \\\n" +
			"      --actor wang --second chen\n" +
			"  tapswitch keys generate purse_tac/city --activate --store keys … --actor wang",
	}
	c.AddCommand(keysComponentCommand(), keysInitCommand(), keysListCommand(), keysVerifyCommand(),
		keysGenerateCommand(), keysImportCommand(), keysImportBlockCommand(), keysExportBlockCommand(),
		keysStateCommand("activate", "Put a pending key to use, beside those that are active",
			activateKey),
		keysOverlapCommand("rotate", "Put a pending key in the place of the active ones", rotateKey),
		keysOverlapCommand("retire", "Take a key out of use", retireKey),
		keysStateCommand("destroy", "Overwrite a key for good (two persons)", destroyKey),
		keysMasterCommand())
	return c
}

func purposeList() string {
	var names []string
	for _, p := range keyring.Purposes() {
		names = append(names, p.String())
	}
	return strings.Join(names, ", ")
}

// ceremony is what the commands need to open a store, and who is there.
type ceremony struct {
	store, audit string
	components   []string
	generation   uint64
	actor        keyring.Actor
}

func (k *ceremony) add(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&k.store, "store", "", "file of the key store")
	f.StringArrayVar(&k.components, "component", nil, "file of a master key component; twice")
	f.StringVar(&k.audit, "audit", "",
		"file of the audit trail (default: the store's name with .audit)")
	f.Uint64Var(&k.generation, "generation", 0,
		"refuse a store that is older than this; every change prints the number")
	f.StringVar(&k.actor.Name, "actor", "", "who does it")
	f.StringVar(&k.actor.Second, "second", "",
		"the second person, where keys enter, leave or are destroyed")
	for _, name := range []string{"store", "component"} {
		_ = c.MarkFlagRequired(name) // only fails for a flag that does not exist
	}
}

// keyFault gives an error of the ring the exit code of its kind.
func keyFault(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, keyring.ErrUnknown):
		return cli.WithCode(cli.ExitNotFound, err)
	case errors.Is(err, keyring.ErrDuplicate), errors.Is(err, keyring.ErrState),
		errors.Is(err, keyring.ErrExists), errors.Is(err, keyring.ErrConflict):
		return cli.WithCode(cli.ExitConflict, err)
	case errors.Is(err, keyring.ErrRef), errors.Is(err, keyring.ErrActor),
		errors.Is(err, keyring.ErrTwoPersons), errors.Is(err, keyring.ErrAlgorithm):
		return cli.WithCode(cli.ExitUsage, err)
	default:
		return err
	}
}

// ReadPair reads the two components of a master key; the caller closes both. Another number of
// files is a usage error.
func ReadPair(files []string) (a, b *keyring.Component, err error) {
	if len(files) != 2 {
		return nil, nil, cli.WithCode(cli.ExitUsage,
			fmt.Errorf("a master key has two components, %d are named", len(files)))
	}
	if a, err = keyring.ReadComponent(files[0]); err != nil {
		return nil, nil, err
	}
	if b, err = keyring.ReadComponent(files[1]); err != nil {
		a.Close()
		return nil, nil, err
	}
	return a, b, nil
}

// with opens the store, or creates it, and runs do on the ring.
func (k *ceremony) with(create bool, do func(*keyring.Ring) error) (err error) {
	a, b, err := ReadPair(k.components)
	if err != nil {
		return err
	}
	defer a.Close()
	defer b.Close()
	name := k.audit
	if name == "" {
		name = k.store + ".audit"
	}
	sink, err := keyring.OpenFileSink(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sink.Close()) }()
	o := keyring.Options{Actor: k.actor, Audit: sink, Generation: k.generation}
	open := keyring.Open
	if create {
		open = keyring.CreateStore
	}
	ring, err := open(k.store, a, b, o)
	if err != nil {
		return keyFault(err)
	}
	defer ring.Close()
	return keyFault(do(ring))
}

func keysComponentCommand() *cobra.Command {
	var out string
	c := &cobra.Command{
		Use: "component", Short: "Make one component of a master key, for one custodian",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			component, kcv, err := keyring.NewComponent(nil)
			if err != nil {
				return err
			}
			defer component.Close()
			if err := component.WriteFile(out); err != nil {
				return keyFault(err)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "component written to %s, check value %s\n", out, kcv)
			return err
		},
	}
	c.Flags().StringVar(&out, "out", "", "file to write, of mode 0600; it must not exist")
	_ = c.MarkFlagRequired("out")
	return c
}

func keysInitCommand() *cobra.Command {
	var k ceremony
	c := &cobra.Command{
		Use: "init", Short: "Make an empty key store (two persons)", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return k.with(true, func(r *keyring.Ring) error {
				return printStore(c.OutOrStdout(), r)
			})
		},
	}
	k.add(c)
	return c
}

// printStore says which master key the store is under and which generation it is.
func printStore(w io.Writer, r *keyring.Ring) error {
	_, err := fmt.Fprintf(w, "master key check value %s, generation %d, %d keys\n", r.MasterKCV(),
		r.Generation(), len(r.List()))
	return err
}

func keysVerifyCommand() *cobra.Command {
	var k ceremony
	c := &cobra.Command{
		Use: "verify", Short: "Open the store and prove that it is whole", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return k.with(false, func(r *keyring.Ring) error {
				return printStore(c.OutOrStdout(), r)
			})
		},
	}
	k.add(c)
	return c
}

func keysListCommand() *cobra.Command {
	var k ceremony
	var form cli.Output
	c := &cobra.Command{
		Use: "list", Short: "List the keys with their states and check values", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return k.with(false, func(r *keyring.Ring) error {
				if form == cli.JSON {
					return cli.PrintJSON(c.OutOrStdout(), r.List())
				}
				return printKeys(c.OutOrStdout(), r.List())
			})
		},
	}
	k.add(c)
	form.Add(c)
	return c
}

func printKeys(w io.Writer, list []keyring.Info) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "key\talgorithm\tcheck value\tstate\torigin\tcreated\tuntil")
	for _, i := range list {
		until := "-"
		if !i.Until.IsZero() {
			until = i.Until.Format(time.DateTime)
		}
		fmt.Fprintf(t, "%v\t%v\t%s\t%v\t%s\t%s\t%s\n", i.Ref, i.Algorithm, i.KCV, i.State, i.Origin,
			i.Created.Format(time.DateTime), until)
	}
	return t.Flush()
}

// printMade says what was made.
func printMade(w io.Writer, i keyring.Info, r *keyring.Ring) error {
	_, err := fmt.Fprintf(w, "%v: %v, check value %s (%v), %v; generation %d\n", i.Ref, i.Algorithm,
		i.KCV, i.KCVKind, i.State, r.Generation())
	return err
}

// newKeyFlags are the flags of commands that make a key.
type newKeyFlags struct {
	algorithm            string
	exportable, activate bool
}

func (n *newKeyFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&n.algorithm, "algorithm", "",
		"algorithm, where it is not the purpose's usual one")
	c.Flags().BoolVar(&n.exportable, "exportable", false, "allow export-block, now or never")
	c.Flags().BoolVar(&n.activate, "activate", false, "put the key to use at once")
}

// parse reads the key's name and its algorithm.
func (n *newKeyFlags) parse(name string) (ref keyring.Ref, a keyring.Algorithm, err error) {
	if ref, err = keyring.ParseRef(name); err != nil {
		return ref, a, cli.WithCode(cli.ExitUsage, err)
	}
	if n.algorithm != "" {
		if a, err = keyring.ParseAlgorithm(n.algorithm); err != nil {
			return ref, a, cli.WithCode(cli.ExitUsage, err)
		}
	}
	return ref, a, nil
}

// finish activates the new key where asked to and says what there is.
func (n *newKeyFlags) finish(w io.Writer, r *keyring.Ring, i keyring.Info, who keyring.Actor) error {
	if n.activate {
		if err := r.Activate(i.Ref, who); err != nil {
			return err
		}
		var err error
		if i, err = r.Info(i.Ref); err != nil {
			return err
		}
	}
	return printMade(w, i, r)
}

func keysGenerateCommand() *cobra.Command {
	var k ceremony
	var n newKeyFlags
	c := &cobra.Command{
		Use: "generate KEY", Short: "Make a new random key", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ref, algorithm, err := n.parse(args[0])
			if err != nil {
				return err
			}
			return k.with(false, func(r *keyring.Ring) error {
				i, err := r.Generate(keyring.NewKey{Ref: ref, Algorithm: algorithm,
					Exportable: n.exportable}, k.actor)
				if err != nil {
					return err
				}
				return n.finish(c.OutOrStdout(), r, i, k.actor)
			})
		},
	}
	k.add(c)
	n.add(c)
	return c
}

func keysImportCommand() *cobra.Command {
	var k ceremony
	var n newKeyFlags
	var parts []string
	var kcv, kind string
	c := &cobra.Command{
		Use: "import KEY", Short: "Take in a key of components (two persons)", Args: cobra.ExactArgs(1),
		Long: "Takes in a key that is the XOR of its components. Each component is a file of mode 0600\n" +
			"that holds the component in hexadecimal and, behind a blank, its check value.",
		RunE: func(c *cobra.Command, args []string) error {
			ref, algorithm, err := n.parse(args[0])
			if err != nil {
				return err
			}
			in := keyring.ClearKey{Ref: ref, Algorithm: algorithm, Exportable: n.exportable,
				KCV: keyring.KCV(kcv)}
			if kind != "" {
				if in.Kind, err = keyring.ParseKCVKind(kind); err != nil {
					return cli.WithCode(cli.ExitUsage, err)
				}
			}
			if in.Components, err = readParts(parts); err != nil {
				return cli.WithCode(cli.ExitUsage, err)
			}
			return k.with(false, func(r *keyring.Ring) error {
				i, err := r.Import(in, k.actor)
				if err != nil {
					return err
				}
				return n.finish(c.OutOrStdout(), r, i, k.actor)
			})
		},
	}
	k.add(c)
	n.add(c)
	c.Flags().StringArrayVar(&parts, "part", nil, "file of a component of the key; at least twice")
	c.Flags().StringVar(&kcv, "kcv", "", "check value of the whole key, where it is known")
	c.Flags().StringVar(&kind, "kcv-kind", "",
		"kind of all check values, where it is not the usual one")
	_ = c.MarkFlagRequired("algorithm")
	return c
}

// partMax bounds the file of a component in bytes.
const partMax = 1024

func readParts(files []string) ([]keyring.KeyComponent, error) {
	var all []keyring.KeyComponent
	for _, name := range files {
		part, err := readPart(name)
		if err != nil {
			return nil, fmt.Errorf("component %s: %w", name, err)
		}
		all = append(all, part)
	}
	return all, nil
}

// readPart reads "HEX CHECKVALUE". Its errors show nothing of it.
func readPart(name string) (p keyring.KeyComponent, err error) {
	f, err := os.Open(name)
	if err != nil {
		return p, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return p, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return p, fmt.Errorf("%w: mode %04o, want 0600", keyring.ErrOpenToOthers, info.Mode().Perm())
	}
	text, err := io.ReadAll(io.LimitReader(f, partMax))
	if err != nil {
		return p, err
	}
	defer clear(text)
	words := strings.Fields(string(text))
	if len(words) != 2 {
		return p, errors.New("want the component in hexadecimal and its check value")
	}
	value, err := hex.DecodeString(words[0])
	if err != nil {
		return p, errors.New("the component is not hexadecimal")
	}
	return keyring.NewKeyComponent(value, keyring.KCV(words[1])), nil
}

// changeState is a step in the life of a key.
type changeState func(r *keyring.Ring, ref keyring.Ref, overlap time.Duration,
	who keyring.Actor) error

func activateKey(r *keyring.Ring, ref keyring.Ref, _ time.Duration, who keyring.Actor) error {
	return r.Activate(ref, who)
}

func rotateKey(r *keyring.Ring, ref keyring.Ref, overlap time.Duration, who keyring.Actor) error {
	return r.Rotate(ref, overlap, who)
}

func retireKey(r *keyring.Ring, ref keyring.Ref, overlap time.Duration, who keyring.Actor) error {
	return r.Retire(ref, overlap, who)
}

func destroyKey(r *keyring.Ring, ref keyring.Ref, _ time.Duration, who keyring.Actor) error {
	return r.Destroy(ref, who)
}

// keysStateCommand is a command that takes a key to another state.
func keysStateCommand(name, short string, change changeState) *cobra.Command {
	c, _ := stateCommand(name, short, change)
	return c
}

// keysOverlapCommand is one after which old keys go on to verify for a while.
func keysOverlapCommand(name, short string, change changeState) *cobra.Command {
	c, overlap := stateCommand(name, short, change)
	c.Flags().DurationVar(overlap, "overlap", 0,
		"how long the keys taken out of use still verify and decipher, like 72h")
	return c
}

func stateCommand(name, short string, change changeState) (*cobra.Command, *time.Duration) {
	var k ceremony
	var overlap time.Duration
	c := &cobra.Command{
		Use: name + " KEY", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ref, err := keyring.ParseRef(args[0])
			if err != nil {
				return cli.WithCode(cli.ExitUsage, err)
			}
			return k.with(false, func(r *keyring.Ring) error {
				if err := change(r, ref, overlap, k.actor); err != nil {
					return err
				}
				return printVersions(c.OutOrStdout(), r, ref)
			})
		},
	}
	k.add(c)
	return c, &overlap
}

// printVersions lists the keys of one purpose and scheme.
func printVersions(w io.Writer, r *keyring.Ring, ref keyring.Ref) error {
	var same []keyring.Info
	for _, i := range r.List() {
		if i.Ref.Purpose == ref.Purpose && i.Ref.Scheme == ref.Scheme {
			same = append(same, i)
		}
	}
	if err := printKeys(w, same); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "generation %d\n", r.Generation())
	return err
}

func keysMasterCommand() *cobra.Command {
	var k ceremony
	var next []string
	c := &cobra.Command{
		Use: "change-master", Short: "Seal the store under another master key (two persons)",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			a, b, err := ReadPair(next)
			if err != nil {
				return err
			}
			defer a.Close()
			defer b.Close()
			return k.with(false, func(r *keyring.Ring) error {
				if err := r.ChangeMaster(a, b, k.actor); err != nil {
					return err
				}
				return printStore(c.OutOrStdout(), r)
			})
		},
	}
	k.add(c)
	c.Flags().StringArrayVar(&next, "new", nil, "file of a component of the new master key; twice")
	return c
}
