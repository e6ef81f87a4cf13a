//go:build !race

package bank

const raced = false
