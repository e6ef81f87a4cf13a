package main

import "testing"

// ZS11, WZ10, ZS25, ZZ7, ZZ19: terminals and acquirers reach the partner bank through the
// switch, and a purse is loaded from a bank account. What the bank grants is granted, what it
// refuses is refused.
func TestDuty_ZS11_BankFunctions(t *testing.T) {
	t.Run("acquirers", TestE2EBankAcquirers)
	t.Run("load of a purse", TestE2EBankLoad)
}
