#!/usr/bin/env bash
# All tests. Installs the real servers first (Redis, Kafka, ClickHouse) and makes their
# tests mandatory; where they cannot be installed it says which tests did not run and why,
# and with TAPSWITCH_REQUIRE_STACK=1 it fails.
set -u -o pipefail
cd "$(dirname "$0")/.."

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

failed=0
go vet ./... || failed=1
go run ./deploy/tidy . || failed=1
# One package at a time: several of them run servers and measure time-outs, and the machines
# of continuous integration have two cores.
go test -p 1 -timeout 20m ./... || failed=1
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
