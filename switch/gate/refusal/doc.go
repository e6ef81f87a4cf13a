// Package refusal is the catalogue of errors of the gate, and the value that says why a call was
// not executed: its code, the field that caused it, and sentences in both languages.
//
// Codes are stable names that are never translated; HTTP statuses and whether a retry may help
// stand beside them. A Value holds nothing that a client sent but a field's name: no card number
// can get into an answer or a log with it. Everything is a value and safe for concurrent use; a
// fault of the switch is an error elsewhere and never a refusal.
package refusal
