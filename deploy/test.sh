#!/usr/bin/env bash
# All tests. Installs the real servers first (Redis, Kafka, ClickHouse) and makes their
# tests mandatory; where they cannot be installed it says which tests did not run and why,
# and with TAPSWITCH_REQUIRE_STACK=1 it fails.
set -u -o pipefail
cd "$(dirname "$0")/.."

why=$(mktemp)
log=$(mktemp)
trap 'rm -f "$why" "$log"' EXIT
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

failed=0
go vet ./... || failed=1
go run ./deploy/tidy . || failed=1
# One package at a time: several of them run servers and measure time-outs, and the machines
# of continuous integration have two cores. A package that fails is run once more, and the
# run says so: what fails twice is broken, what fails once is to be looked into.
if ! go test -p 1 -timeout 20m ./... 2>&1 | tee "$log"; then
  again=$(awk '$1 == "FAIL" && $2 ~ /^github.com/ {print $2}' "$log" | sort -u)
  if [ -z "$again" ]; then
    failed=1
  else
    printf '\nFAILED ONCE, running again: %s\n' "$(echo $again)"
    go test -p 1 -count=1 -timeout 20m $again || failed=1
  fi
fi
(cd deploy/stack/chdbfront && go vet ./... && { [ "$stack" = no ] || go test -timeout 10m ./...; }) || failed=1

if [ "$stack" = no ]; then
  cat >&2 <<TEXT

================================================================================
 NOT RUN: every test against real Redis, Redis Cluster, Kafka and ClickHouse,
 and the end-to-end tests over them. The servers could not be installed:
$(sed 's/^/   /' "$why" | tail -n 12)
================================================================================
TEXT
fi
[ $failed = 0 ] && echo "all tests passed (real servers: $stack)" || echo "TESTS FAILED" >&2
exit $failed
