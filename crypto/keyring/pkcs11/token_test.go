//go:build pkcs11

package pkcs11

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	p11 "github.com/miekg/pkcs11"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/keyring"
	"github.com/tapswitch/tapswitch/crypto/keyring/keyringtest"
	"github.com/tapswitch/tapswitch/crypto/mac"
)

// modules are the places of SoftHSM's library in Debian.
var modules = []string{"/usr/lib/softhsm/libsofthsm2.so",
	"/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
	"/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so"}

const userPIN = "27182818"

// softHSM is the module, "" where it is not installed.
var softHSM = findModule()

func findModule() string {
	for _, path := range modules {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}

// labels numbers the tokens.
var labels atomic.Int64

// TestMain sets SoftHSM up in a directory of its own: it reads its configuration once.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "softhsm")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	conf := filepath.Join(dir, "softhsm2.conf")
	err = errors.Join(os.Mkdir(filepath.Join(dir, "tokens"), 0o700),
		os.WriteFile(conf, []byte("directories.tokendir = "+filepath.Join(dir, "tokens")+
			"\nobjectstore.backend = file\nlog.level = ERROR\n"), 0o600),
		os.Setenv("SOFTHSM2_CONF", conf))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// needSoftHSM skips a test where SoftHSM is missing, and says so.
func needSoftHSM(t *testing.T) {
	t.Helper()
	if softHSM != "" {
		return
	}
	reason := fmt.Sprintf("SOFTHSM IS NOT INSTALLED, THE PKCS#11 BACKEND IS NOT TESTED: "+
		"apt-get install softhsm2 (looked for %s)", strings.Join(modules, ", "))
	if os.Getenv("TAPSWITCH_REQUIRE_SOFTHSM") == "1" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

// initToken makes a token with a label in SoftHSM.
func initToken(t *testing.T, label string) {
	t.Helper()
	out, err := exec.Command("softhsm2-util", "--init-token", "--free", "--label", label,
		"--so-pin", "31415926", "--pin", userPIN).CombinedOutput()
	if err != nil {
		t.Fatalf("softhsm2-util: %v\n%s", err, out)
	}
}

func openToken(t *testing.T) *Token {
	t.Helper()
	needSoftHSM(t)
	// Labels have 32 characters at most; a test may run more than once.
	label := fmt.Sprintf("%.16s-%d", strings.ReplaceAll(t.Name(), "/", "-"), labels.Add(1))
	initToken(t, label)
	token, err := Open(Config{Module: softHSM, Token: label, PIN: userPIN})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := token.Close(); err != nil {
			t.Error(err)
		}
	})
	return token
}

func TestConformanceSoftHSM(t *testing.T) {
	tokens := map[string]*Token{}
	keyringtest.Run(t, keyringtest.Backend{
		Device: true,
		Create: func(t *testing.T, path string, o keyring.Options) *keyring.Ring {
			tokens[path] = openToken(t)
			r, err := keyring.CreateOnToken(path, tokens[path], o)
			if err != nil {
				t.Fatal(err)
			}
			return r
		},
		Open: func(t *testing.T, path string, o keyring.Options) *keyring.Ring {
			r, err := keyring.OpenOnToken(path, tokens[path], o)
			if err != nil {
				t.Fatal(err)
			}
			return r
		},
	})
}

// TestCiphers compares the device with package block, for every algorithm, with imported keys,
// and with themselves for generated ones.
func TestCiphers(t *testing.T) {
	token := openToken(t)
	for a, key := range map[keyring.Algorithm]string{
		keyring.DES: keyringtest.KeyA[:16], keyring.TDES2: keyringtest.KeyA,
		keyring.TDES3:  keyringtest.KeyA + keyringtest.KeyB[:16],
		keyring.AES128: keyringtest.KeyAES, keyring.AES192: keyringtest.KeyAES + keyringtest.KeyA[:16],
		keyring.AES256: keyringtest.KeyAES + keyringtest.KeyA,
	} {
		material := keyringtest.Bytes(t, key)
		label := "data/" + a.String() + "/1"
		if err := token.Put(label, a, material); err != nil {
			t.Errorf("%v: %v", a, err)
			continue
		}
		got, err := token.Cipher(label, a)
		if err != nil {
			t.Fatal(err)
		}
		want, err := block.New(a.Cipher(), material)
		if err != nil {
			t.Fatal(err)
		}
		compare(t, a, got, want)
		if a == keyring.DES {
			continue
		}
		if err := token.Put(label+"0", a, nil); err != nil {
			t.Errorf("generate %v: %v", a, err)
			continue
		}
		own, err := token.Cipher(label+"0", a)
		if err != nil {
			t.Fatal(err)
		}
		b := []byte("sixteen bytes it")
		own.Encrypt(b, b)
		own.Decrypt(b, b)
		if string(b) != "sixteen bytes it" {
			t.Errorf("%v: decrypted is not what was encrypted", a)
		}
	}
}

func compare(t *testing.T, a keyring.Algorithm, got, want interface {
	BlockSize() int
	Encrypt(dst, src []byte)
	Decrypt(dst, src []byte)
}) {
	t.Helper()
	if got.BlockSize() != want.BlockSize() {
		t.Fatalf("%v: blocks of %d bytes, want %d", a, got.BlockSize(), want.BlockSize())
	}
	x, y := []byte("sixteen bytes in"), []byte("sixteen bytes in")
	got.Encrypt(x, x)
	want.Encrypt(y, y)
	if !bytes.Equal(x, y) {
		t.Errorf("%v: encrypts to another block", a)
	}
	got.Decrypt(x, x)
	if string(x) != "sixteen bytes in" {
		t.Errorf("%v: decrypts to another block", a)
	}
}

// TestParallelCiphers runs many blocks through the device at once.
func TestParallelCiphers(t *testing.T) {
	token := openToken(t)
	if err := token.Put("pin/p/1", keyring.TDES2, nil); err != nil {
		t.Fatal(err)
	}
	c, err := token.Cipher("pin/p/1", keyring.TDES2)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			var b [8]byte
			for range 500 {
				c.Encrypt(b[:], b[:])
			}
		})
	}
	wg.Wait()
}

func TestCMAC(t *testing.T) {
	token := openToken(t)
	for a, c := range map[keyring.Algorithm]struct {
		key    string
		cipher block.Algorithm
	}{keyring.AES128: {keyringtest.KeyAES, block.AES}, keyring.TDES2: {keyringtest.KeyA, block.TDES}} {
		key := keyringtest.Bytes(t, c.key)
		label := "mac/" + a.String() + "/1"
		if err := token.Put(label, a, key); err != nil {
			t.Fatal(err)
		}
		m, err := mac.New(mac.Scheme{Algorithm: mac.CMAC, Cipher: c.cipher}, key)
		if err != nil {
			t.Fatal(err)
		}
		got, err := token.CMAC(label, a, []byte("message"))
		if errors.Is(err, keyring.ErrUnsupported) {
			t.Logf("%v: %v", a, err)
			continue
		}
		if err != nil || !bytes.Equal(got, m.Sum(nil, []byte("message"))) {
			t.Errorf("%v: error %v, or another CMAC", a, err)
		}
	}
}

// TestSealed asks the device for the value of keys: it must not give it.
func TestSealed(t *testing.T) {
	token := openToken(t)
	for label, material := range map[string][]byte{"pin/imported/1": keyringtest.Bytes(t,
		keyringtest.KeyA), "pin/generated/1": nil} {
		if err := token.Put(label, keyring.TDES2, material); err != nil {
			t.Fatal(err)
		}
		h, err := token.handle(label)
		if err != nil {
			t.Fatal(err)
		}
		err = token.with(func(s p11.SessionHandle) error {
			_, err := token.ctx.GetAttributeValue(s, h, []*p11.Attribute{
				p11.NewAttribute(p11.CKA_VALUE, nil)})
			return err
		})
		if !errors.Is(err, p11.Error(p11.CKR_ATTRIBUTE_SENSITIVE)) {
			t.Errorf("%s: asking for the value gave %v", label, err)
		}
	}
}

func TestPutListDestroy(t *testing.T) {
	token := openToken(t)
	for _, label := range []string{"pin/a/1", "pin/a/2", "pin/a/2/left"} {
		if err := token.Put(label, keyring.AES128, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := token.Put("pin/a/1", keyring.AES128, nil); !errors.Is(err, keyring.ErrExists) {
		t.Errorf("a label twice: %v", err)
	}
	labels, err := token.List()
	slices.Sort(labels)
	if err != nil || !slices.Equal(labels, []string{"pin/a/1", "pin/a/2", "pin/a/2/left"}) {
		t.Errorf("labels %q, error %v", labels, err)
	}
	for range 2 { // one that is gone is destroyed
		if err := token.Destroy("pin/a/2"); err != nil {
			t.Error(err)
		}
	}
	if _, err := token.Cipher("pin/a/2", keyring.AES128); !errors.Is(err, keyring.ErrUnknown) {
		t.Errorf("a destroyed key: %v", err)
	}
	for _, a := range []keyring.Algorithm{keyring.SM4, keyring.SM2, keyring.Ed25519,
		keyring.HMACSHA256, keyring.AlgorithmNone} {
		if err := token.Put("pin/x/1", a, nil); !errors.Is(err, keyring.ErrUnsupported) {
			t.Errorf("%v: %v", a, err)
		}
	}
	if err := token.Put("mac/x/1", keyring.DES, nil); !errors.Is(err, keyring.ErrUnsupported) {
		t.Errorf("generated DES: %v", err)
	}
	if err := token.Put("pin/x/1", keyring.AES128, []byte{1, 2, 3}); err == nil {
		t.Error("a key of three bytes was taken")
	}
}

// TestFault uses a cipher after its key was destroyed: the ring must get an error.
func TestFault(t *testing.T) {
	token := openToken(t)
	r, err := keyring.CreateOnToken(filepath.Join(t.TempDir(), "keys"), token,
		keyring.Options{Actor: keyringtest.Two})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	keyringtest.Import(t, r, "mac/link", keyring.TDES2, keyringtest.KeyA)
	ref := keyringtest.Ref(t, "mac/link")
	if _, err := r.MAC(ref, mac.X919, nil, nil); err != nil {
		t.Fatal(err)
	}
	for _, label := range []string{"mac/link/1", "mac/link/1/left", "mac/link/1/right"} {
		if err := token.Destroy(label); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.MAC(ref, mac.X919, nil, nil); err == nil {
		t.Error("a destroyed key made a MAC")
	}
	p, err := r.Verify()
	if err != nil || len(p.Problems) != 1 {
		t.Errorf("report %+v, error %v", p, err)
	}
}

func TestOpenErrors(t *testing.T) {
	needSoftHSM(t)
	label := fmt.Sprintf("open-errors-%d", labels.Add(1))
	initToken(t, label)
	for _, c := range []Config{
		{Module: "/nowhere/lib.so", Token: label, PIN: userPIN},
		{Module: softHSM, Token: "nobody", PIN: userPIN},
		{Module: softHSM, Token: label, PIN: "99887766"},
	} {
		token, err := Open(c)
		if err == nil {
			_ = token.Close()
			t.Errorf("%v opened", c)
			continue
		}
		if strings.Contains(err.Error()+fmt.Sprintf("%v %+v %#v", c, c, c), c.PIN) {
			t.Error("the PIN is in the text")
		}
	}
	token, err := Open(Config{Module: softHSM, Token: label, PIN: userPIN})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := token.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := token.List(); !errors.Is(err, keyring.ErrClosed) {
		t.Errorf("a closed token: %v", err)
	}
}
