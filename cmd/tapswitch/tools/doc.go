// Package tools holds the commands of tapswitch that need no switch: the key store's ceremony,
// the checks of cryptography and messages against test vectors, messages taken apart and put
// together, the register of duties and the policies of cities, and the simulators of a bank and
// of terminals. Each command has one constructor and shares nothing with the others at run
// time. None prints a key, a PIN or, unless asked to reveal test data, a card number; none of
// them opens a hot store or a warehouse.
package tools
