#!/usr/bin/env bash
# All tests. Installs the real servers (Redis, Kafka, ClickHouse) and the ISO 8583 programs of
# others (pyiso8583, jPOS) first and makes their tests mandatory; where they cannot be
# installed it says which tests did not run and why, and with TAPSWITCH_REQUIRE_STACK=1,
# TAPSWITCH_REQUIRE_PYTHON=1 and TAPSWITCH_REQUIRE_JPOS=1 it fails. TAPSWITCH_FUZZ_EXECS says
# how many broken messages the codec is given.
set -u -o pipefail
cd "$(dirname "$0")/.."

# Tests of stores and of whole days write some gigabytes, and on a full disk a switch refuses,
# which looks like a hundred other faults.
free=$(df -Pk "${TMPDIR:-/tmp}" | awk 'NR == 2 {print $4}')
if [ "$free" -lt $((4 << 20)) ]; then
  echo "FAILED: ${TMPDIR:-/tmp} has $((free >> 10)) MB of room; the tests need 4 GB: make room," \
    "set TMPDIR, or empty the build cache (go clean -cache)" >&2
  exit 1
fi

why=$(mktemp)
trap 'rm -f "$why"' EXIT
required=${TAPSWITCH_REQUIRE_STACK:-0}

go build -trimpath -o bin/stackctl ./deploy/stack/stackctl || exit 1
if bin/stackctl install 2> >(tee "$why" >&2); then
  export TAPSWITCH_REQUIRE_STACK=1
  stack=yes
else
  stack=no
  if [ "$required" = 1 ]; then
    echo "FAILED: the servers that the tests need could not be installed" >&2
    exit 1
  fi
  unset TAPSWITCH_REQUIRE_STACK
fi

# interop NAME VARIABLE COMMAND...: installs what the tests of interoperation run against and
# makes these tests mandatory. Where it cannot be installed they are left out, or all fails
# when VARIABLE is 1.
missing=
interop() {
  local name=$1 variable=$2 log
  shift 2
  log=$(mktemp)
  if "$@" >"$log" 2>&1; then
    tail -n 1 "$log"
    export "$variable=1"
    rm -f "$log"
    return 0
  fi
  tail -n 5 "$log" >&2
  rm -f "$log"
  if [ "${!variable:-0}" = 1 ]; then
    echo "FAILED: $name, which the tests need, could not be installed" >&2
    exit 1
  fi
  unset "$variable"
  missing="$missing $name"
  return 1
}
programs=$(realpath -m "${TAPSWITCH_STACK_DIR:-.stack}")
if interop pyiso8583 TAPSWITCH_REQUIRE_PYTHON bash deploy/interop/install.sh "$programs/python"; then
  export TAPSWITCH_PYTHON=$programs/python/bin/python
else
  unset TAPSWITCH_PYTHON
fi
if interop "DuckDB and pandas" TAPSWITCH_REQUIRE_ANALYST bash deploy/analyst/install.sh "$programs/analyst"; then
  export TAPSWITCH_ANALYST_PYTHON=$programs/analyst/bin/python
else
  unset TAPSWITCH_ANALYST_PYTHON
fi
interop jPOS TAPSWITCH_REQUIRE_JPOS bash deploy/interop/jpos_install.sh "$programs/jpos"

# again LOG: runs the tests that failed once more, alone, when they are few and nothing but
# tests failed. One that passes then is named as unsteady at the end: it is to be mended, but a
# disk that stood still for seconds is no reason to refuse everything else.
unsteady=
again() {
  local package names count
  while read -r package names; do
    count=$(tr -cd '|' <<<"$names" | wc -c)
    if [ -z "$names" ] || [ "$count" -ge 3 ]; then
      return 1 # it does not build, or panicked, or too much is wrong
    fi
    echo "== once more: $package $names"
    go test -count=1 -timeout 10m -run "^($names)\$" "$package" || return 1
    unsteady="$unsteady ${package##*/}:$names"
  done < <(awk '/^--- FAIL: /{n = n (n ? "|" : "") $3} /^ok /{n = ""}
    /^panic: /{n = ""; bad = 1}
    /^FAIL\t/{print $2, bad ? "" : n; n = ""; bad = 0}' "$1")
  [ -n "$unsteady" ]
}

failed=0
go vet ./... || failed=1
go run ./deploy/tidy . || failed=1
# One package at a time: several of them run servers and measure time-outs, and the machines
# of continuous integration have two cores.
log=$(mktemp)
trap 'rm -f "$why" "$log"' EXIT
go test -p 1 -timeout 20m ./... 2>&1 | tee "$log" || again "$log" || failed=1
(cd deploy/stack/chdbfront && go vet ./... && { [ "$stack" = no ] || go test -timeout 10m ./...; }) || failed=1
# Keys in a hardware security module: SoftHSM stands in for one. The binding needs cgo.
hsm=no
if command -v gcc >/dev/null && command -v softhsm2-util >/dev/null; then
  TAPSWITCH_REQUIRE_SOFTHSM=1 CGO_ENABLED=1 go test -tags pkcs11 ./crypto/keyring/... || failed=1
  hsm=yes
elif [ "$required" = 1 ]; then
  echo "FAILED: gcc and softhsm2, which the PKCS#11 tests need, are not installed" >&2
  failed=1
fi

if [ "$hsm" = no ]; then
  echo "NOT RUN: the tests of PKCS#11 keys (apt-get install softhsm2 gcc)" >&2
fi
if [ -n "$missing" ]; then
  echo "NOT RUN: the tests of interoperation with$missing, which could not be installed" >&2
fi
if [ "$stack" = no ]; then
  cat >&2 <<TEXT

================================================================================
 NOT RUN: every test against real Redis, Redis Cluster, Kafka and ClickHouse,
 and the end-to-end tests over them. The servers could not be installed:
$(sed 's/^/   /' "$why" | tail -n 12)
================================================================================
TEXT
fi
if [ -n "$unsteady" ]; then
  echo "UNSTEADY, failed first and passed when run again:$unsteady" >&2
fi
[ $failed = 0 ] && echo "all tests passed (real servers: $stack, PKCS#11: $hsm, missing:${missing:- none})" || echo "TESTS FAILED" >&2
exit $failed
