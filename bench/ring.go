package bench

import (
	"bytes"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/tapswitch/tapswitch/bench/iso"
	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/keyring"
	"github.com/tapswitch/tapswitch/crypto/mac"
)

// ringActor are the two persons whom a key ring wants.
var ringActor = keyring.Actor{Name: "bench", Second: "bench-too"}

// bankRing makes a key ring below dir that holds the MAC keys of an acquirer and a bank, and
// returns the settings that name it.
func bankRing(dir string) (settings []string, err error) {
	var parts [2]*keyring.Component
	var files []string
	for i := range parts {
		if parts[i], _, err = keyring.NewComponent(nil); err != nil {
			return nil, fmt.Errorf("key ring: %w", err)
		}
		files = append(files, filepath.Join(dir, fmt.Sprintf("component%d", i+1)))
		if err := parts[i].WriteFile(files[i]); err != nil {
			return nil, fmt.Errorf("key ring: %w", err)
		}
	}
	path := filepath.Join(dir, "ring")
	ring, err := keyring.CreateStore(path, parts[0], parts[1], keyring.Options{Actor: ringActor})
	if err != nil {
		return nil, fmt.Errorf("key ring: %w", err)
	}
	defer ring.Close()
	for name, key := range map[string][]byte{"mac/acquirer": iso.AcquirerKey(),
		"mac/bank": iso.BankKey()} {
		if err := importKey(ring, name, key); err != nil {
			return nil, fmt.Errorf("key %s: %w", name, err)
		}
	}
	return []string{"keys.ring_file=" + path,
		"keys.ring_components=" + strings.Join(files, ",")}, nil
}

// importKey imports a key of AES in two components and activates it.
func importKey(ring *keyring.Ring, name string, key []byte) error {
	ref, err := keyring.ParseRef(name)
	if err != nil {
		return err
	}
	one := bytes.Repeat([]byte("\x35\x5a\x7f\xa4"), len(key)/4)
	two := make([]byte, len(key))
	subtle.XORBytes(two, key, one)
	k := keyring.ClearKey{Ref: ref, Algorithm: keyring.AES128}
	for _, part := range [][]byte{one, two} {
		kcv, err := checkValue(part)
		if err != nil {
			return err
		}
		k.Components = append(k.Components, keyring.NewKeyComponent(part, kcv))
	}
	info, err := ring.Import(k, ringActor)
	if err != nil {
		return err
	}
	return ring.Activate(info.Ref, ringActor)
}

// checkValue is the check value of a key of AES: the left of its CMAC over zeros.
func checkValue(key []byte) (keyring.KCV, error) {
	m, err := mac.New(mac.Scheme{Algorithm: mac.CMAC, Cipher: block.AES, Size: 16}, key)
	if err != nil {
		return "", err
	}
	sum := m.Sum(nil, make([]byte, 16))
	return keyring.KCV(strings.ToUpper(hex.EncodeToString(sum[:4]))), nil
}
