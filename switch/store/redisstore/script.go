package redisstore

import (
	"crypto/sha1" //nolint:gosec // Redis names scripts by SHA-1; it protects nothing here.
	_ "embed"     // the scripts are files
	"encoding/hex"
)

//go:embed lua/prelude.lua
var preludeLua string

//go:embed lua/commit.lua
var commitLua string

//go:embed lua/load.lua
var loadLua string

//go:embed lua/echo.lua
var echoLua string

//go:embed lua/snapshot.lua
var snapshotLua string

//go:embed lua/changes.lua
var changesLua string

//go:embed lua/tails.lua
var tailsLua string

//go:embed lua/info.lua
var infoLua string

//go:embed lua/stamp.lua
var stampLua string

//go:embed lua/open.lua
var openLua string

//go:embed lua/advance.lua
var advanceLua string

//go:embed lua/cutover.lua
var cutoverLua string

//go:embed lua/confirm.lua
var confirmLua string

//go:embed lua/touch.lua
var touchLua string

//go:embed lua/put.lua
var putLua string

// script is one Lua script. All begin with a #! line: without it Redis lets a script
// start when memory is full and refuses its first growing write, half way through.
type script struct {
	text   string
	sha    string
	writes bool
}

// scripts are all scripts of a store.
type scripts struct {
	commit, load, echo, tails, snapshot, changes *script
	info, stamp, open, advance, cutover, confirm *script
	touch, put                                   *script
	// commitReserve is commit for commits with Reserve when memory is full.
	commitReserve *script
}

// allowOOM marks what may run when memory is full: what frees memory, and what must never
// be refused for want of room (freezes, reversals, markers).
const allowOOM = " flags=allow-oom"

func newScripts() scripts {
	return scripts{
		commit:        writing("", commitLua),
		commitReserve: writing(allowOOM, commitLua),
		load:          reading(loadLua),
		echo:          reading(echoLua),
		tails:         reading(tailsLua),
		snapshot:      reading(snapshotLua),
		changes:       reading(changesLua),
		info:          reading(infoLua),
		stamp:         writing(allowOOM, stampLua),
		open:          writing("", openLua),
		advance:       writing(allowOOM, advanceLua),
		cutover:       writing(allowOOM, cutoverLua),
		confirm:       writing(allowOOM, confirmLua),
		touch:         writing(allowOOM, touchLua),
		put:           writing("", putLua),
	}
}

func writing(flags, body string) *script {
	s := newScript("#!lua" + flags + "\n" + preludeLua + body)
	s.writes = true
	return s
}

func reading(body string) *script { return newScript("#!lua flags=no-writes\n" + body) }

func newScript(text string) *script {
	sum := sha1.Sum([]byte(text)) //nolint:gosec // as above
	return &script{text: text, sha: hex.EncodeToString(sum[:])}
}
