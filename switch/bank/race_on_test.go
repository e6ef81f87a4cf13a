//go:build race

package bank

const raced = true // sync.Pool forgets at random under the race detector
