# One door for people and for machines. `make` alone shows what there is.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS   += --no-print-directory

GO     ?= go
PYTHON ?= python3
TMP    := .tmp
MODULE := github.com/errand-dev/errand

# Folders of the modules with Go code. The first three share the workspace of server/test.
MODULES := . server server/test server/test/peers examples/eino

PYTHON_IS_THERE := $(PYTHON) -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))' 2>/dev/null

# Tools are pinned in tools/go.mod and built once per version and toolchain.
tool_version  = $(shell sed -nE 's|^[[:space:]]*$(1) (v[^ ]+).*|\1|p' tools/go.mod)
GO_VERSION   := $(shell $(GO) env GOVERSION)
GOLANGCI     := $(TMP)/bin/golangci-lint-$(call tool_version,github.com/golangci/golangci-lint/v2)-$(GO_VERSION)
DEADCODE     := $(TMP)/bin/deadcode-$(call tool_version,golang.org/x/tools)-$(GO_VERSION)
GOVULNCHECK  := $(TMP)/bin/govulncheck-$(call tool_version,golang.org/x/vuln)-$(GO_VERSION)
VULN_STATUS  := $(TMP)/vuln.status

##@ Everyday

.PHONY: help
help: ## show this help
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-zA-Z0-9_-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: build
build: ## build bin/errand
	$(GO) build -trimpath -o bin/errand ./server/cmd/errand

.PHONY: fmt
fmt: $(GOLANGCI) ## format the Go code
	$(GOLANGCI) fmt

.PHONY: ui
ui: web/node_modules/.package-lock.json ## build the web UI into server/internal/ui/dist, which is committed (Node 20.15 or newer)
	cd web && npm run --silent build

web/node_modules/.package-lock.json: web/package-lock.json
	cd web && npm ci --no-audit --no-fund
	@touch $@

.PHONY: clean
clean: ## remove what was built (the Python client's environments stay in the user's cache)
	rm -rf bin $(TMP)
	find server/test -name __pycache__ -o -name .pytest_cache | xargs -r rm -rf

##@ Before a commit

.PHONY: check
check: ## format check, lint, vet, dead code, known vulnerabilities, unit tests (under 3 minutes)
	@$(MAKE) fmt-check
	@$(MAKE) lint
	@$(MAKE) vet
	@$(MAKE) deadcode
	@$(MAKE) vuln
	@$(MAKE) unit
	@echo "check: ok"; cat $(VULN_STATUS)

.PHONY: fmt-check
fmt-check: $(GOLANGCI) ## fail if the Go code is not formatted
	$(GOLANGCI) fmt --diff

.PHONY: lint
lint: $(GOLANGCI) ## run the linters of .golangci.yml
	$(GOLANGCI) config verify
	@cd server/test && $(CURDIR)/$(GOLANGCI) run ./... ../... ../../...
	@for module in server/test/peers examples/eino; do (cd $$module && $(CURDIR)/$(GOLANGCI) run 2>&1 | \
	  sed '/Skipped 0 issues by rules/d'); done # of folders that it lacks
	@for module in . server; do (cd $$module && $(CURDIR)/$(GOLANGCI) run --enable-only gomoddirectives ./... 2>&1 | \
	  sed '/Skipped 0 issues by rules/d'); done # it looks at one go.mod for each run

.PHONY: vet
vet: ## go vet
	@for module in $(MODULES); do (cd $$module && $(GO) vet ./...); done

.PHONY: deadcode
deadcode: $(DEADCODE) ## fail on functions that nothing reaches, and on internal ones that only tests reach
	@cd server/test; deadcode=$(CURDIR)/$(DEADCODE); \
	  found="$$($$deadcode -test -filter '^$(MODULE)\b' $(MODULE)/... && \
	    $$deadcode -filter '^$(MODULE)/server/internal/' $(MODULE)/server/cmd/... $(MODULE)/examples/...)"; \
	  if [[ -n $$found ]]; then echo "$$found"; exit 1; fi

.PHONY: vuln
vuln: $(GOVULNCHECK) ## known vulnerabilities that our code reaches (VULN_REQUIRED=1: no skipping)
	@mkdir -p $(TMP)
	@tools/vuln.sh $(CURDIR)/$(GOVULNCHECK) $(CURDIR)/$(VULN_STATUS)

.PHONY: unit
unit: ## the quick tests: no race detector, long ones skipped
	$(GO) test -short -shuffle=on ./... ./server/...
	cd server/test && $(GO) test -short -shuffle=on ./...

.PHONY: tidy-check
tidy-check: ## fail if a go.mod or go.sum is not tidy
	@tools/tidy.sh $(GO)

.PHONY: tidy
tidy: ## go mod tidy, which by itself does not find modules that nobody has published
	@tools/tidy.sh $(GO) write

##@ Everything

.PHONY: test
test: ## all tests with the race detector, then the Python client (under 25 minutes)
	@mkdir -p $(TMP)
	@if npm --version >/dev/null 2>&1; then $(MAKE) web/node_modules/.package-lock.json; fi # people sign in with a provider that lies there
	$(GO) test -race -shuffle=on -timeout 15m $$($(GO) list ./... ./server/... | grep -vE '$(POSTGRES_ONLY)') 2>&1 | tee $(TMP)/go-test.log
	cd server/test && $(GO) test -race -shuffle=on -timeout 15m $$($(GO) list ./... | grep -vE '$(POSTGRES_ONLY)|$(MEASURED)') 2>&1 | \
	  tee -a $(CURDIR)/$(TMP)/go-test.log
	cd examples/eino && $(GO) test -race ./... 2>&1 | tee -a $(CURDIR)/$(TMP)/go-test.log
	@$(MAKE) measured
	@$(MAKE) fuzz-api
	@$(MAKE) conformance

.PHONY: measured
measured: ## what the race detector would spoil: the benches, and how much memory a read may hold
	@mkdir -p $(TMP)
	cd server/test && $(GO) test -timeout 10m -run '^TestEveryReadHasABound$$' ./httpapi 2>&1 | tee -a $(CURDIR)/$(TMP)/go-test.log
	cd server/test && $(GO) test -timeout 10m ./bench 2>&1 | tee -a $(CURDIR)/$(TMP)/go-test.log

# What is measured is slower, and nothing else, with the race detector.
MEASURED := /test/bench$$

# Packages that need PostgreSQL are tested by test-more alone.
POSTGRES_ONLY := /(store/postgres|testkit/pgtest|test/nodes)$$

# Whatever is added here has a target of its own and a log that .ci/run shows. Each
# fails in CI where PostgreSQL is missing (server/internal/testkit/pgtest).
.PHONY: test-more
test-more: ## what does not fit into make test: all of it on PostgreSQL (under 25 minutes)
	@$(MAKE) test-postgres
	@$(MAKE) test-nodes
	@$(MAKE) crash-postgres
	@$(MAKE) conformance-postgres
	@$(MAKE) models
	@$(MAKE) fronts
	@$(MAKE) profile-figures
	@$(MAKE) ui-test

# A command beside a PostgreSQL server that its tests share.
ON_POSTGRES := $(CURDIR)/$(TMP)/postgres

.PHONY: $(ON_POSTGRES)
$(ON_POSTGRES):
	@mkdir -p $(TMP)
	@cd server/test && $(GO) build -o $@ ./postgres

.PHONY: test-postgres
test-postgres: $(ON_POSTGRES) ## the stores', the verbs', the streams' and the API's tests, with the race detector
	@if npm --version >/dev/null 2>&1; then $(MAKE) web/node_modules/.package-lock.json; fi # as for the tests of SQLite
	cd server && $(ON_POSTGRES) $(GO) test -race -shuffle=on -timeout 12m \
	  ./internal/store/postgres ./internal/testkit/... 2>&1 | tee $(CURDIR)/$(TMP)/test-postgres.log
	cd server && ERRAND_TEST_STORE=postgres $(ON_POSTGRES) $(GO) test -shuffle=on -timeout 12m \
	  ./internal/lifecycle ./internal/stream 2>&1 | tee -a $(CURDIR)/$(TMP)/test-postgres.log
	cd server/test && ERRAND_TEST_STORE=postgres $(ON_POSTGRES) $(GO) test -race -shuffle=on -timeout 12m \
	  ./httpapi 2>&1 | tee -a $(CURDIR)/$(TMP)/test-postgres.log

.PHONY: test-nodes
test-nodes: $(ON_POSTGRES) ## several servers on one database: real processes
	cd server/test && $(ON_POSTGRES) $(GO) test -race -shuffle=on -count=1 -timeout 8m -v ./nodes 2>&1 | \
	  grep -v '^=== ' | tee $(CURDIR)/$(TMP)/test-nodes.log

.PHONY: crash-postgres
crash-postgres: $(ON_POSTGRES) ## servers, workers and PostgreSQL itself are killed under load
	cd server/test && ERRAND_TEST_STORE=postgres $(ON_POSTGRES) $(GO) test -race -shuffle=on -count=1 -timeout 12m ./crash 2>&1 | \
	  tee $(CURDIR)/$(TMP)/crash-postgres.log

.PHONY: conformance-postgres
conformance-postgres: $(ON_POSTGRES) ## the newest release of the Python client, against servers on PostgreSQL
	@if ! $(PYTHON_IS_THERE); then \
	  echo "conformance-postgres: SKIPPED: needs Python 3.10 or newer, with venv" >&2; [[ $${CI:-} != true ]]; exit; fi; \
	  $(GO) build -trimpath -o $(TMP)/errand-conformance ./server/cmd/errand; \
	  ERRAND_BIN="$${ERRAND_BIN:-$(CURDIR)/$(TMP)/errand-conformance}" ERRAND_TEST_DATABASES=$(ON_POSTGRES) \
	  $(ON_POSTGRES) $(PYTHON) server/test/conformance/run.py --postgres 2>&1 | tee $(TMP)/conformance-postgres.log

.PHONY: conformance
conformance: ## the released Python client, unmodified, against a real server (under 5 minutes)
	@mkdir -p $(TMP)
	@if ! $(PYTHON_IS_THERE); then \
	  echo "conformance: SKIPPED: needs Python 3.10 or newer, with venv" >&2; [[ $${CI:-} != true ]]; exit; fi; \
	  $(GO) build -trimpath -o $(TMP)/errand-conformance ./server/cmd/errand; \
	  ERRAND_BIN="$${ERRAND_BIN:-$(CURDIR)/$(TMP)/errand-conformance}" \
	  $(PYTHON) server/test/conformance/run.py 2>&1 | tee $(TMP)/conformance.log

# How many requests each operation gets at least, and the seed that they follow from.
EXAMPLES ?= 10
SEED     ?= 1

.PHONY: fuzz-api
fuzz-api: ## every route of a real server, asked what its OpenAPI document allows and forbids (EXAMPLES, SEED)
	@mkdir -p $(TMP)
	@if ! $(PYTHON_IS_THERE); then \
	  echo "fuzz-api: SKIPPED: needs Python 3.10 or newer, with venv" >&2; [[ $${CI:-} != true ]]; exit; fi; \
	  $(GO) build -trimpath -o $(TMP)/errand-conformance ./server/cmd/errand; \
	  ERRAND_BIN="$${ERRAND_BIN:-$(CURDIR)/$(TMP)/errand-conformance}" \
	  $(PYTHON) server/test/conformance/fuzz.py $(EXAMPLES) $(SEED) 2>&1 | tee $(TMP)/fuzz-api.log

.PHONY: models
models: $(ON_POSTGRES) ## agents of runtime model, against a stand-in for their providers that is not ours, a small real model and MCP servers of others
	@mkdir -p $(TMP)
	@if ! $(PYTHON_IS_THERE); then \
	  echo "models: SKIPPED: needs Python 3.10 or newer, with venv" >&2; [[ $${CI:-} != true ]]; exit; fi; \
	  $(GO) build -trimpath -o $(TMP)/errand-conformance ./server/cmd/errand; \
	  export ERRAND_BIN="$${ERRAND_BIN:-$(CURDIR)/$(TMP)/errand-conformance}"; \
	  ($(PYTHON) server/test/models/run.py; \
	    ERRAND_TEST_DATABASES=$(ON_POSTGRES) $(ON_POSTGRES) $(PYTHON) server/test/models/run.py kills_test.py) 2>&1 | tee $(TMP)/models.log

.PHONY: fronts
fronts: ## the protocols beside /v1, with their released clients
	@mkdir -p $(TMP)
	@if ! $(PYTHON_IS_THERE); then \
	  echo "fronts: SKIPPED: needs Python 3.10 or newer, with venv" >&2; [[ $${CI:-} != true ]]; exit; fi; \
	  $(GO) build -trimpath -o $(TMP)/errand-conformance ./server/cmd/errand; \
	  ERRAND_BIN="$${ERRAND_BIN:-$(CURDIR)/$(TMP)/errand-conformance}" $(PYTHON) server/test/fronts/run.py 2>&1 | tee $(TMP)/fronts.log

# Round N of seed S is round 1 of seed S+N-1: ERRAND_KILLS=1 ERRAND_SEED=… repeats what has failed.
.PHONY: models-soak
models-soak: $(ON_POSTGRES) ## agents of runtime model whose server is killed: 200 rounds on each store (about an hour; ERRAND_KILLS, ERRAND_SEED)
	@mkdir -p $(TMP)
	@$(GO) build -trimpath -o $(TMP)/errand-conformance ./server/cmd/errand
	@export ERRAND_BIN="$${ERRAND_BIN:-$(CURDIR)/$(TMP)/errand-conformance}" ERRAND_KILLS="$${ERRAND_KILLS:-200}"; \
	  ($(PYTHON) server/test/models/run.py kills_test.py; \
	    ERRAND_TEST_DATABASES=$(ON_POSTGRES) $(ON_POSTGRES) $(PYTHON) server/test/models/run.py kills_test.py) 2>&1 | tee $(TMP)/models-soak.log

.PHONY: profile-figures
profile-figures: ## figures of the profiler beside those of pandas, on the files of a few packages
	@mkdir -p $(TMP)
	@if ! $(PYTHON_IS_THERE); then \
	  echo "profile-figures: SKIPPED: needs Python 3.10 or newer, with venv" >&2; [[ $${CI:-} != true ]]; exit; fi; \
	  $(GO) build -trimpath -o $(TMP)/errand-conformance ./server/cmd/errand; \
	  ERRAND_BIN="$${ERRAND_BIN:-$(CURDIR)/$(TMP)/errand-conformance}" \
	  $(PYTHON) server/test/oracle/run.py --short 2>&1 | tee $(TMP)/profile-figures.log

.PHONY: profile-oracle
profile-oracle: ## the same on all files of 17 packages (about half an hour; docs/PROFILE.md)
	@mkdir -p $(TMP)
	@$(GO) build -trimpath -o $(TMP)/errand-conformance ./server/cmd/errand
	@ERRAND_BIN="$${ERRAND_BIN:-$(CURDIR)/$(TMP)/errand-conformance}" \
	  $(PYTHON) server/test/oracle/run.py 2>&1 | tee $(TMP)/profile-oracle.log

CHROMIUM ?= /usr/bin/chromium

.PHONY: ui-test
ui-test: ## the web UI: types, units, whether what is committed is what a build makes, then its pages in a real Chromium (about 5 minutes)
	@mkdir -p $(TMP)
	@if ! node -e '' 2>/dev/null || ! [[ -x $(CHROMIUM) ]]; then \
	  echo "ui-test: SKIPPED: needs Node 20.15 or newer, and Chromium" >&2; [[ $${CI:-} != true ]]; exit; fi; \
	  $(MAKE) web/node_modules/.package-lock.json; \
	  $(GO) build -trimpath -o $(TMP)/errand-ui ./server/cmd/errand; \
	  (cd web && npm run --silent check && npm --silent test && node test/same.mjs && \
	    CHROMIUM=$(CHROMIUM) ERRAND_BIN=$(CURDIR)/$(TMP)/errand-ui npm run --silent test:browser) 2>&1 | tee $(TMP)/ui-test.log

.PHONY: ui-soak
ui-soak: ## pages that 50 events a second come to for 10 minutes (SOAK_SECONDS): memory is steady
	@mkdir -p $(TMP)
	@$(MAKE) web/node_modules/.package-lock.json
	@$(GO) build -trimpath -o $(TMP)/errand-ui ./server/cmd/errand
	@cd web && CHROMIUM=$(CHROMIUM) ERRAND_BIN=$(CURDIR)/$(TMP)/errand-ui node --test test/soak/ 2>&1 | tee $(CURDIR)/$(TMP)/ui-soak.log

.PHONY: conformance-model
conformance-model: ## the same client with a small language model (its server is compiled once, for minutes)
	$(PYTHON) server/test/conformance/run.py --model

FUZZTIME ?= 30s
FUZZ     ?= .

.PHONY: fuzz
fuzz: ## every Go fuzz target for FUZZTIME each (FUZZ: a pattern of targets), then a long fuzz-api
	@tools/fuzz.sh $(GO) $(FUZZTIME) '$(FUZZ)'
	@$(MAKE) fuzz-api EXAMPLES=200 SEED=$${RANDOM}

.PHONY: soak
soak: ## 100 kill rounds, freezes, full disks, jumping clocks, cut lines, all checked (about 10 minutes, log in .tmp/soak.log), then ui-soak and models-soak
	@mkdir -p $(TMP)
	cd server/test && ERRAND_SOAK=1 $(GO) test -race -count=1 -parallel 4 -timeout 90m -v ./sdk ./crash $(MODULE)/server/internal/runtime/profile 2>&1 | tee $(CURDIR)/$(TMP)/soak.log
	@grep -E '^(soak:|ok|FAIL)' $(TMP)/soak.log
	@$(MAKE) failover
	@$(MAKE) failover PATRONI=1
	@$(MAKE) ui-soak
	@$(MAKE) models-soak

.PHONY: faults
faults: $(ON_POSTGRES) ## whatever may happen to nodes, their lines, database, disk and clock, under load, each many times; what clients saw is checked (20 minutes)
	@mkdir -p $(TMP)
	cd server/test && (ERRAND_SOAK=1 $(GO) test -count=1 -timeout 30m -v -run '^Test(DiskFull|UnwritableFolder|Clock|ClockJumps|Line|ServerStandsStill|WorkerStandsStill)$$' ./crash && \
	  ERRAND_SOAK=1 ERRAND_TEST_STORE=postgres $(ON_POSTGRES) $(GO) test -count=1 -timeout 60m -v -run '^Test(Faults|KillDatabase|KillNodes)$$' ./crash) 2>&1 | tee $(CURDIR)/$(TMP)/faults.log
	@grep -E '^(soak:|ok|FAIL)' $(TMP)/faults.log

.PHONY: failover
failover: ## a PostgreSQL primary with two standbys is killed under load, 10 times (3 minutes; PATRONI=1: Patroni promotes, 6 minutes)
	@mkdir -p $(TMP)
	cd server/test && ERRAND_SOAK=1 $(GO) test -count=1 -timeout 15m -v -run '^TestFailover$(if $(PATRONI),UnderPatroni)$$' ./nodes 2>&1 | tee $(CURDIR)/$(TMP)/failover$(if $(PATRONI),-patroni).log

.PHONY: conformance-soak
conformance-soak: ## the released Python client with its real waits (hours)
	ERRAND_SOAK=1 $(MAKE) conformance

.PHONY: bench
bench: ## measure Errand beside a raw store loop and write docs/PERFORMANCE.md (about 10 minutes)
	cd server/test && $(GO) run ./bench -write $(CURDIR)/docs/PERFORMANCE.md

# Which peers, as a regular expression, and how many turns each has.
PEERS ?= .
TURNS ?= 5

.PHONY: bench-peers
bench-peers: ## the same work by Errand and by systems like it, in turns (about 10 minutes, not in CI; PEERS, TURNS)
	@mkdir -p $(TMP)
	cd server/test/peers && $(GO) run . -only '$(PEERS)' -turns $(TURNS) 2>&1 | tee $(CURDIR)/$(TMP)/bench-peers.log

.PHONY: bench-models
bench-models: ## what stands between a model and a viewer, beside Agno and eino, and tasks that wait for people (about 5 minutes; ERRAND_BENCH_ROUNDS, ERRAND_BENCH_WAITING)
	@mkdir -p $(TMP)
	@$(GO) build -trimpath -o $(TMP)/errand-conformance ./server/cmd/errand
	@ERRAND_BIN="$${ERRAND_BIN:-$(CURDIR)/$(TMP)/errand-conformance}" $(PYTHON) server/test/models/run.py bench 2>&1 | tee $(TMP)/bench-models.log

# --- tools -------------------------------------------------------------------

$(GOLANGCI): tools/go.mod tools/go.sum
	@echo "building $(@F) (once; a minute or two)"
	@mkdir -p $(@D)
	@cd tools && $(GO) build -o $(CURDIR)/$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	@touch $@

$(DEADCODE): tools/go.mod tools/go.sum
	@echo "building $(@F) (once)"
	@mkdir -p $(@D)
	@cd tools && $(GO) build -o $(CURDIR)/$@ golang.org/x/tools/cmd/deadcode
	@touch $@

$(GOVULNCHECK): tools/go.mod tools/go.sum
	@echo "building $(@F) (once)"
	@mkdir -p $(@D)
	@cd tools && $(GO) build -o $(CURDIR)/$@ golang.org/x/vuln/cmd/govulncheck
	@touch $@
