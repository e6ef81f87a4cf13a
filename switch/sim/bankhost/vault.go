package bankhost

import (
	"crypto/cipher"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/mac"
	"github.com/tapswitch/tapswitch/crypto/pinblock"
	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// terminalsMax is how many terminals may hold keys.
const terminalsMax = 1 << 16

// vault holds the keys of a host: test keys all.
type vault struct {
	seed    uint64
	pos     bool
	scheme  mac.Scheme
	master  cipher.Block // nil: no keys go out
	pinWant []byte

	mu sync.RWMutex
	// current makes the MACs of a bank's link; previous is still believed; offered waits for
	// the peer's answer; all guarded by mu.
	current, previous, offered *mac.MAC
	// answered says that offered went out in an answer: it is accepted by its first use.
	answered bool
	// pinKeys are those of PIN blocks, the newest first: all of them are tried.
	pinKeys   [2]cipher.Block
	changes   uint64
	terminals map[[8]byte]*terminalKeys
}

type terminalKeys struct {
	mac, previous *mac.MAC
	pin           cipher.Block
	signOns       uint64
}

func newVault(o *Options) (*vault, error) {
	v := &vault{seed: o.Seed, pos: o.Spec.Dialect() == message.POS, scheme: o.MACScheme,
		pinWant: []byte(o.PIN), terminals: map[[8]byte]*terminalKeys{}}
	var err error
	if o.MasterKey != nil {
		if v.master, err = block.New(block.TDES, o.MasterKey); err != nil {
			return nil, fmt.Errorf("%w: master key: %w", ErrOptions, err)
		}
	}
	if o.PINKey != nil {
		if v.pinKeys[0], err = block.New(desOf(o.PINKey), o.PINKey); err != nil {
			return nil, fmt.Errorf("%w: PIN key: %w", ErrOptions, err)
		}
	}
	if !v.pos {
		v.current = o.MAC
	}
	return v, nil
}

func desOf(key []byte) block.Algorithm {
	if len(key) == 8 {
		return block.DES
	}
	return block.TDES
}

// wanted reports whether financial messages need a MAC.
func (v *vault) wanted() bool {
	if v.pos {
		return v.master != nil
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.current != nil
}

// verify checks the MAC of a request under the current and the previous key.
func (v *vault) verify(s *message.Spec, frame []byte, sum *message.Summary) bool {
	v.mu.RLock()
	keys := [3]*mac.MAC{v.current, v.offered, v.previous}
	if t := v.terminals[sum.Terminal]; v.pos {
		keys = [3]*mac.MAC{}
		if t != nil {
			keys = [3]*mac.MAC{t.mac, t.previous}
		}
	}
	v.mu.RUnlock()
	for _, m := range keys {
		if m != nil && message.VerifySummary(s, frame, sum, m) == nil {
			v.used(m)
			return true
		}
	}
	return false
}

// used puts a key into force that went out in an answer, once the peer uses it.
func (v *vault) used(m *mac.MAC) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.answered && m == v.offered {
		v.acceptLocked()
	}
}

// answerKey makes a new key that an answer brings. With a wrong check value nothing changes
// here. by makes the MAC of the answer.
func (v *vault) answerKey(pin, wrong bool) (w message.WrappedKey, by *mac.MAC, ok bool) {
	if wrong {
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.pos || v.master == nil {
			return w, nil, false
		}
		v.changes++
		var err error
		if w, err = v.wrap(v.newKey("wrong", v.changes, 16)); err != nil {
			return w, nil, false
		}
		w.Check[0] ^= 1
		return w, v.current, true
	}
	if pin {
		return v.offerPIN()
	}
	if w, by, ok = v.offer(); ok {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.answered = true
	}
	return w, by, ok
}

// offerPIN makes a new PIN key. The one before goes on to be tried. by makes the MAC of the
// message that brings it, nil none.
func (v *vault) offerPIN() (w message.WrappedKey, by *mac.MAC, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.pos || v.master == nil || v.pinKeys[0] == nil {
		return w, nil, false
	}
	v.changes++
	key := v.newKey("zonepin", v.changes, 16)
	c, err := block.New(block.TDES, key)
	if err != nil {
		return w, nil, false
	}
	if w, err = v.wrap(key); err != nil {
		return w, nil, false
	}
	v.pinKeys = [2]cipher.Block{c, v.pinKeys[0]}
	return w, v.current, true
}

// signer returns what the answer is signed with, nil for nothing.
func (v *vault) signer(terminal [8]byte) *mac.MAC {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if !v.pos {
		return v.current
	}
	if t := v.terminals[terminal]; t != nil {
		return t.mac
	}
	return nil
}

// newKey makes a key that depends on the seed, what it is for, and how many came before.
func (v *vault) newKey(salt string, n uint64, size int) []byte {
	h := v.seed ^ saltKey
	for _, c := range []byte(salt) {
		h = mix(h ^ uint64(c))
	}
	var key []byte
	for i := uint64(0); len(key) < size; i++ {
		key = binary.BigEndian.AppendUint64(key, mix(h^n<<8^i))
	}
	key = key[:size]
	block.SetOddParity(key)
	return key
}

// wrap encrypts a working key and computes its check value.
func (v *vault) wrap(key []byte) (w message.WrappedKey, err error) {
	w.Key = make([]byte, len(key))
	if err = block.EncryptECB(v.master, w.Key, key); err != nil {
		return w, err
	}
	w.Check, err = checkValue(key)
	return w, err
}

// checkValue is the left of eight zero bytes under a DES key.
func checkValue(key []byte) (check [4]byte, err error) {
	c, err := block.New(desOf(key), key)
	if err != nil {
		return check, err
	}
	var zero [8]byte
	c.Encrypt(zero[:], zero[:])
	copy(check[:], zero[:])
	return check, nil
}

// signOn makes working keys for a terminal: network code 001 single ones, 003 double ones,
// 004 with a key for tracks too. It returns field 62, nil without a master key.
func (v *vault) signOn(terminal [8]byte, network string) ([]byte, error) {
	if v.master == nil {
		return nil, nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	t := v.terminals[terminal]
	if t == nil {
		if len(v.terminals) >= terminalsMax {
			return nil, fmt.Errorf("%d terminals hold keys, no more is allowed", terminalsMax)
		}
		t = &terminalKeys{}
		v.terminals[terminal] = t
	}
	t.signOns++
	size, scheme := 16, mac.CUPTDES
	if network == "001" {
		size, scheme = 8, mac.CUPDES
	}
	if v.scheme.Algorithm != 0 {
		scheme = v.scheme
	}
	id := string(terminal[:])
	pin, macKey := v.newKey("pin"+id, t.signOns, size), v.newKey("mac"+id, t.signOns, size)
	made, err := mac.New(scheme, macKey)
	if err != nil {
		return nil, fmt.Errorf("working key for %v: %w", scheme, err)
	}
	if t.pin, err = block.New(desOf(pin), pin); err != nil {
		return nil, err
	}
	t.previous, t.mac = t.mac, made
	var keys message.WorkingKeys
	if keys.PIN, err = v.wrap(pin); err != nil {
		return nil, err
	}
	if keys.MAC, err = v.wrap(macKey); err != nil {
		return nil, err
	}
	if network == "004" {
		if keys.Track, err = v.wrap(v.newKey("track"+id, t.signOns, size)); err != nil {
			return nil, err
		}
	}
	return keys.Bytes()
}

// keyPrefix begins field 48 where it brings a key.
const keyPrefix = "NK"

// KeyField is field 48 of a key change on a bank's link (0800, network code 101): NK, the key
// encrypted under the zone key, and the first four bytes of zeros encrypted under it, in
// upper-case hex. A key of 8 bytes stands in field 96 and only its check value here.
func KeyField(w message.WrappedKey) (f48 string, f96 []byte) {
	check := strings.ToUpper(hex.EncodeToString(w.Check[:]))
	if len(w.Key) == 8 {
		return keyPrefix + check, w.Key
	}
	return keyPrefix + strings.ToUpper(hex.EncodeToString(w.Key)) + check, nil
}

// ParseKeyField reads what KeyField writes, with or without the prefix.
func ParseKeyField(f48 string, f96 []byte) (w message.WrappedKey, ok bool) {
	raw, err := hex.DecodeString(strings.TrimPrefix(f48, keyPrefix))
	if err != nil || len(raw) < len(w.Check) {
		return w, false
	}
	at := len(raw) - len(w.Check)
	copy(w.Check[:], raw[at:])
	if w.Key = raw[:at]; at == 0 {
		w.Key = f96
	}
	return w, len(w.Key) == 8 || len(w.Key) == 16 || len(w.Key) == 24
}

// offer makes a new MAC key for a bank's link. It is believed at once and used when accepted.
func (v *vault) offer() (w message.WrappedKey, by *mac.MAC, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.pos || v.master == nil || v.current == nil {
		return w, nil, false
	}
	s := v.current.Scheme()
	size := 16
	if s.Cipher == block.DES && s.Algorithm != mac.Retail && s.Algorithm != mac.EMAC {
		size = 8
	}
	v.changes++
	key := v.newKey("zone", v.changes, size)
	by, err := mac.New(s, key)
	if err != nil {
		return w, nil, false
	}
	if w, err = v.wrap(key); err != nil {
		return w, nil, false
	}
	v.offered, v.answered = by, false
	return w, by, true
}

// acceptFor takes the answer 00 to a key that was offered; control is its field 53.
func (v *vault) acceptFor(control []byte) bool {
	if len(control) > 0 && control[0] == '1' {
		return true // a PIN key is believed from its offer on
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.offered == nil {
		return false
	}
	v.acceptLocked()
	return true
}

// acceptLocked makes the offered key the current one.
func (v *vault) acceptLocked() {
	v.previous, v.current, v.offered, v.answered = v.current, v.offered, nil, false
}

// install takes a key that the peer sends, when its check value is right.
func (v *vault) install(w message.WrappedKey) (*mac.MAC, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.pos || v.master == nil || v.current == nil || len(w.Key)%8 != 0 || len(w.Key) == 0 {
		return nil, false
	}
	key := make([]byte, len(w.Key))
	if err := block.DecryptECB(v.master, key, w.Key); err != nil {
		return nil, false
	}
	check, err := checkValue(key)
	if err != nil || check != w.Check {
		return nil, false
	}
	by, err := mac.New(v.current.Scheme(), key)
	if err != nil {
		return nil, false
	}
	v.previous, v.current = v.current, by
	return by, true
}

// pinRefused returns the code for a wrong PIN, "" when it is right or not looked at.
func (v *vault) pinRefused(q *request, enciphered []byte) string {
	if len(v.pinWant) == 0 || len(enciphered) != 8 {
		return ""
	}
	v.mu.RLock()
	keys := v.pinKeys
	if t := v.terminals[q.key.Terminal]; v.pos && t != nil {
		keys = [2]cipher.Block{t.pin}
	}
	v.mu.RUnlock()
	code := ""
	for _, key := range keys {
		if key == nil || key.BlockSize() != len(enciphered) {
			continue
		}
		if code = v.pinRefusedUnder(key, q, enciphered); code != "99" {
			break
		}
	}
	return code
}

// pinRefusedUnder is pinRefused under one key; 99 is a block that holds no PIN under it.
func (v *vault) pinRefusedUnder(key cipher.Block, q *request, enciphered []byte) string {
	var clearBlock [8]byte
	key.Decrypt(clearBlock[:], enciphered)
	pin, err := pinblock.Decode(nil, pinblock.Format0, clearBlock[:], q.number.Digits())
	defer clear(pin)
	switch {
	case err != nil:
		return "99"
	case string(pin) != string(v.pinWant):
		return "55"
	}
	return ""
}
