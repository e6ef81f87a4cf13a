# tapswitch: `make help` lists what there is.
SHELL := /bin/bash
.DEFAULT_GOAL := help

GO       ?= go
BIN      := bin/tapswitch
STACKCTL := bin/stackctl
CITY_LANG ?= en
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT   ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
LDFLAGS  := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)
SOURCES  := $(shell find . -name '*.go' -not -path './.stack/*' -not -name '*_test.go') go.mod go.sum
export CGO_ENABLED = 0

.PHONY: help build demo demo-bank demo-cities demo-stack run test test-race check bench fuzz stack-up stack-down generate clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: $(BIN) ## build the one static binary to bin/tapswitch

$(BIN): $(SOURCES) $(shell find . -path ./.stack -prune -o \( -name '*.sql' -o -name '*.json' -o -name '*.yaml' -o -name '*.lua' -o -name '*.html' \) -print)
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/tapswitch

$(STACKCTL): $(shell find deploy/stack -name '*.go' -o -name '*.txt' -o -name pom.xml)
	$(GO) build -trimpath -o $(STACKCTL) ./deploy/stack/stackctl

demo: build ## a city's morning with a crash in the middle, nothing needed but Go
	$(BIN) demo

demo-bank: build ## a shop's day of bank cards between two misbehaving banks, with a crash in the middle
	$(BIN) bank demo

demo-cities: build ## a card's life under the rules of each of the five cities (CITY_LANG=zh: in Chinese)
	@for city in handan zhoushan wenzhou shiyan zhengzhou; do \
		$(BIN) demo --city $$city --lang $(CITY_LANG) || exit 1; echo; done

demo-stack: build stack-up ## the same over real Redis, Kafka and ClickHouse, with the same figures
	@eval "$$($(STACKCTL) env)" && $(BIN) demo --stack

run: build ## start the switch with the demo's data and print how to talk to it
	$(BIN) demo --serve

test: build ## all tests, on real servers where they can be installed
	@bash deploy/test.sh

test-race: ## unit and conformance tests under the race detector
	CGO_ENABLED=1 $(GO) test -race -short ./...

check: ## format, vet, linters, structure
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) run ./deploy/tidy .

bench: build ## benchmarks: report as text, JSON and HTML below bench/results
	$(BIN) bench --out bench/results

fuzz: ## every fuzz target for 20 seconds
	@bash deploy/fuzz.sh 20s

stack-up: $(STACKCTL) ## install and start Redis, Redis Cluster, Kafka and ClickHouse on loopback
	@$(STACKCTL) up

stack-down: $(STACKCTL) ## stop exactly what stack-up started
	@$(STACKCTL) down

generate: ## protobuf code
	$(GO) generate ./ledger/feed/recordpb

clean: ## remove what the build made
	rm -rf bin
