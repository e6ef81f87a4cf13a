package setup

import (
	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/keyring"
	"github.com/tapswitch/tapswitch/crypto/mac"
)

// macSchemes are the names of MAC schemes in configuration.
var macSchemes = map[string]mac.Scheme{
	"none": {}, "x9.9": mac.X99, "x9.19": mac.X919, "cup-ecb": mac.CUPDES,
	"cup-ecb-3des": mac.CUPTDES, "cup-ecb-sm4": mac.CUPSM4,
	"cmac-aes": {Algorithm: mac.CMAC, Cipher: block.AES, Size: 8},
}

func (k *Keys) check(what, name string, say func(string, ...any)) {
	if _, ok := macSchemes[k.MAC]; !ok {
		say("%s %q: mac %q is none of x9.9, x9.19, cup-ecb, cup-ecb-3des, cup-ecb-sm4, cmac-aes, none",
			what, name, k.MAC)
	}
	for key, text := range map[string]string{"mac_key": k.MACKey, "pin_key": k.PINKey, "zone": k.Zone} {
		if text == "" {
			continue
		}
		if _, err := keyring.ParseRef(text); err != nil {
			say("%s %q: %s %q: %v", what, name, key, text, err)
		}
	}
	if k.MAC != "none" && k.MACKey == "" && k.Zone == "" && what == "link" {
		say("link %q: mac %s needs mac_key or zone", name, k.MAC)
	}
	if k.ChangeEvery < 0 || k.ChangeAfterBadMACs < 0 {
		say("%s %q: change_every and change_after_bad_macs must not be below zero", what, name)
	}
	if orders := k.ChangeEvery > 0 || k.ChangeAfterBadMACs > 0; orders && (what != "link" || k.Zone == "") {
		say("%s %q: change_every and change_after_bad_macs are for links with a zone key", what, name)
	}
}

// Scheme is how MACs are made; the zero Scheme for none.
func (k *Keys) Scheme() mac.Scheme { return macSchemes[k.MAC] }
