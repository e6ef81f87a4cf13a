package qr

import (
	"fmt"
	"slices"
	"time"
)

// Order says where the issuer's signature stands.
type Order uint8

// The orders.
const (
	// CustomFirst is the layout of the standard: the custom data, then the issuer's
	// signature over everything from the certificate to the custom data.
	CustomFirst Order = iota
	// SignatureFirst is a layout seen with one builder of a metro: the issuer's
	// signature over everything from the certificate to the validity, then the length of
	// the custom data and the data, which only the user signs.
	SignatureFirst
	orderEnd
)

// Epoch2000 is the epoch of hosts that count from the start of 2000 in China, in Unix
// seconds.
const Epoch2000 = 946656000

// china is UTC+8, in which certificates end and Epoch2000 begins.
const china = 8 * 60 * 60

// Limits of a Profile, whose lists are searched one by one.
const (
	skewMax     = 24 * time.Hour
	versionsMax = 16
	aliasesMax  = 1024
)

// IssuerAlias allows codes of the issuing institution Institution under certificates of
// Certificate.
type IssuerAlias struct {
	Certificate IssuerID // the issuer that the certificate names
	Institution IssuerID // the institution that the code names
}

// Profile is what differs between the schemes of cities. The zero Profile is the standard:
// version 81h, Unix time, no skew.
type Profile struct {
	// Versions are the accepted version bytes, at most 16, each with the 81h layout;
	// none means 81h alone.
	Versions []byte
	// Order is where the issuer's signature stands.
	Order Order
	// Epoch is the zero of the times in a code in Unix seconds: 0, or Epoch2000.
	Epoch int64
	// Skew is how far the clocks of a phone and a gate may differ, on top of the validity
	// of the code: 0 to 24 h.
	Skew time.Duration
	// ZoneTolerance accepts also times that are wrong by this much, within the skew: 8 h
	// for hosts that write local time as UTC. It does not accept what lies between.
	// 0 to 24 h; it makes a code good at two more moments, so it needs a replay check.
	ZoneTolerance time.Duration
	// AccountTypes are the allowed account types; none means all.
	AccountTypes []byte
	// Aliases allow an institution that is not the certificate's issuer, at most 1,024;
	// the same is always allowed.
	Aliases []IssuerAlias
	// Zone is where months end, at which certificates expire; nil is UTC+8.
	Zone *time.Location
}

// check refuses a profile that cannot be meant.
func (p *Profile) check() error {
	switch {
	case p.Order >= orderEnd:
		return fmt.Errorf("profile: order %d is unknown, want 0 or 1", p.Order)
	case p.Skew < 0 || p.Skew > skewMax:
		return fmt.Errorf("profile: skew %v, want 0 to %v", p.Skew, skewMax)
	case p.ZoneTolerance < 0 || p.ZoneTolerance > skewMax:
		return fmt.Errorf("profile: zone tolerance %v, want 0 to %v", p.ZoneTolerance, skewMax)
	case len(p.Versions) > versionsMax:
		return fmt.Errorf("profile: %d versions, at most %d", len(p.Versions), versionsMax)
	case len(p.Aliases) > aliasesMax:
		return fmt.Errorf("profile: %d aliases, at most %d", len(p.Aliases), aliasesMax)
	case p.Epoch < -Epoch2000 || p.Epoch > 2*Epoch2000:
		return fmt.Errorf("profile: epoch %d, want Unix seconds, 0 or %d", p.Epoch, Epoch2000)
	}
	return nil
}

// clone copies the lists, so that a Verifier's profile cannot change under it.
func (p Profile) clone() Profile {
	p.Versions = slices.Clone(p.Versions)
	p.AccountTypes = slices.Clone(p.AccountTypes)
	p.Aliases = slices.Clone(p.Aliases)
	return p
}

func (p *Profile) knowsVersion(v byte) bool {
	if len(p.Versions) == 0 {
		return v == version81
	}
	return slices.Contains(p.Versions, v)
}

func (p *Profile) allowsIssuer(certificate, institution IssuerID) bool {
	return certificate == institution ||
		slices.Contains(p.Aliases, IssuerAlias{certificate, institution})
}

func (p *Profile) allowsAccount(kind byte) bool {
	return len(p.AccountTypes) == 0 || slices.Contains(p.AccountTypes, kind)
}

func (p *Profile) zone() *time.Location {
	if p.Zone == nil {
		return time.FixedZone("UTC+8", china)
	}
	return p.Zone
}

// unix turns a time of a code into Unix seconds.
func (p *Profile) unix(t uint32) int64 { return p.Epoch + int64(t) }
