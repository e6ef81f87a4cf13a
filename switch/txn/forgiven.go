package txn

// Forgiven names a journey whose charge an order of a degraded mode forgives afterwards. It
// makes a Correction one of the office: its Amount is what is given back, and its Original the
// request that was charged.
type Forgiven struct {
	// At and Station are the known end of a journey that was charged as incomplete; where the
	// exit is missing, At is when it was given up. Station is empty for what was overtime.
	At      Millis
	Station string
	// Lapsed: the switch closed the journey itself, and Original is the request that began it.
	Lapsed bool
	// Open: the holder could still name the missing station when the office looked. Who has done
	// so since gets nothing more.
	Open bool
}
