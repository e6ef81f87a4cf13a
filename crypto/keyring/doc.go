// Package keyring keeps the keys of the switch by purpose, scheme and version, and does with
// them what their purpose allows. Operations come out, never key bytes; the one exception is
// a TR-31 block of a key that was made exportable, under a key of purpose key_exchange.
//
// # Keys
//
// A Ref names a key; version 0 stands for the active one. A key is pending, active, retiring
// (it still verifies and deciphers until its overlap ends, and makes nothing new), retired,
// or destroyed (its material is zeroed and gone, what is known about it stays). Every
// operation belongs to a purpose: a PIN key never computes a MAC.
//
// # Store
//
// One file. The material of each key is sealed with AES-256-GCM under a key derived from the
// master key, which is the XOR of two components in the hands of two custodians; what is
// known about the key is authenticated with it, and an HMAC goes over the whole file, so that
// a changed, dropped or reordered entry shows. The file has a generation number that only
// grows: it tells an old copy where the caller remembers the last one (Options.Generation).
// A management call is durable when it returns: temporary file, fsync, rename, fsync of the
// directory. A crash at any step leaves the file before or after. Files that others may read
// or write are refused.
//
// With a Token (package keyring/pkcs11) the file holds no material; the keys are in the
// device, and a key of the device seals the file. What is derived from a key or wrapped by
// one, card keys and the working keys of terminals, is in the memory of the process.
//
// # Use
//
// A Ring is safe for concurrent use. Operations take no lock. Uses are counted in memory;
// the first use of a version and each class of failure, at most once a minute, go to the
// audit sink, as does every management call before it is done and after.
//
// The package refuses weak, half-equal and wrong-parity keys, does no remote key loading, no
// access control beyond two names (who may call is the caller's business), and hides nothing
// from somebody who can read the memory of the process: material is zeroed when it is
// destroyed or the ring closed, expanded keys are left to the garbage collector.
package keyring
