# SPDX-License-Identifier: Apache-2.0
# The front door: a thin list of verbs over CMake and the scripts in tools/. `make help` lists them.
# What a verb needs from the distribution it asks for itself (tools/deps.sh).

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := all
MAKEFLAGS += --no-print-directory

BUILD ?= build
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
PREFIX ?= /usr/local
# Seconds that a measurement or a search takes, where it isn't said.
SHORT := $(filter bench bench-leases,$(MAKECMDGOALS))
TIME ?= $(if $(SHORT),10,$(if $(filter chaos,$(MAKECMDGOALS)),600,60))
export BUILD JOBS

# Variables of the command line that scripts read. T, F and SEED may be empty.
T ?=
F ?=
SEED ?=
SECONDS ?=

.PHONY: help all run test sim zoo chaos chaos-zoo fuzz asan tsan repeat valgrind cover fmt \
        fmt-check tidy interop-go jsonrpc-go h2spec etcd-now \
        clients-go clients-node clients-python clients-java random soak mirror \
        bench bench-raft bench-rpc bench-leases bench-watch \
        bench-client-leases deps deps-test fresh clean install

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)$$/\1|\2/p' Makefile | \
	    while IFS='|' read -r verb text; do printf '  make %-14s %s\n' "$$verb" "$$text"; done

all: deps ## release build, assertions on: bin/oakum
	@tools/build.sh $(BUILD)

run: all ## build, then three nodes on this machine with a write on one and a read on another
	@bin/oakum up -n 3 --demo

test: deps-test ## everything that can be tested here; T=wal runs only what matches
	@tools/build.sh $(BUILD) oak_tests
	@T='$(T)' tools/test.sh $(BUILD)

sim: all ## the simulator with fresh seeds; SEED=7 [SHRINK=1] replays one, SECONDS=60
	@bin/oakum sim $(if $(SEED),--seed $(SEED)) $(if $(SECONDS),--seconds $(SECONDS)) \
		$(if $(SHRINK),--shrink)

zoo: deps ## each deliberate bug must be caught by the simulator
	@tools/tree.sh zoo
	@build-zoo/bin/oakum zoo

chaos: all ## real processes under faults for TIME=600 seconds; SEED=7 repeats the faults
	@bin/oakum chaos --seconds $(TIME) $(if $(SEED),--seed $(SEED)) --report $(BUILD)/chaos

chaos-zoo: deps ## the same with a deliberate bug in it (BUG=read_own_commit): it must be caught
	@tools/tree.sh zoo
	@tools/chaos-zoo.sh $(TIME) $(or $(BUG),read_own_commit)

fuzz: ## every fuzzer for TIME=60 seconds; F=wal only those that match
	@tools/deps.sh run dev
	@F='$(F)' tools/fuzz.sh $(TIME)

asan: ## the tests under address and undefined-behaviour sanitizers; T= as in test
	@tools/deps.sh run test dev
	@tools/peers.sh
	@T='$(T)' tools/sanitize.sh asan

tsan: ## the tests under the thread sanitizer, on the memory engine; T= as in test
	@tools/deps.sh run test dev
	@tools/peers.sh
	@T='$(T)' tools/sanitize.sh tsan

repeat: deps-test ## one test very often: T=tests/test_x.py::test_y COPIES=6 ROUNDS=10 TREE=tsan
	@$(if $(TREE),tools/deps.sh run dev && tools/tree.sh $(TREE),tools/build.sh $(BUILD) oak_tests)
	@tools/repeat.sh $(TREE) '$(T)' $(or $(COPIES),4) $(or $(ROUNDS),10)

valgrind: deps-test ## the C client's tests and examples under valgrind
	@tools/deps.sh run test dev
	@tools/build.sh $(BUILD) oak_tests
	@tools/valgrind.sh $(BUILD)

interop-go: deps-test ## our gRPC library against grpc-go's interop client and server (needs Go)
	@tools/go-peers.sh
	@tools/build.sh $(BUILD) oak_tests
	@OAK_INTEROP_GO=$(CURDIR)/build/peers/go T='interop go' tools/test.sh $(BUILD)

jsonrpc-go: deps-test ## JSON-RPC against Go's own client, net/rpc/jsonrpc (needs Go)
	@tools/go-jsonrpc.sh
	@tools/build.sh $(BUILD)
	@OAK_JSONRPC_GO=$(CURDIR)/build/peers/jsonrpc-client T=jsonrpc_go_client tools/test.sh $(BUILD)

h2spec: deps-test ## h2spec's cases against our gRPC server (needs Go)
	@tools/go-peers.sh
	@tools/build.sh $(BUILD) oak_tests
	@OAK_INTEROP_GO=$(CURDIR)/build/peers/go T=h2spec tools/test.sh $(BUILD)

etcd-now: deps-test ## requests and etcdctl as make test, beside a current etcd (needs Go)
	@tools/go-etcd.sh
	@tools/build.sh $(BUILD) oak_tests
	@OAKUM_ETCD=$(CURDIR)/build/peers/etcd-now/etcd T=rpc_differential tools/test.sh $(BUILD)
	@OAKUM_ETCDCTL=$(CURDIR)/build/peers/etcd-now/etcdctl T=test_ctl tools/test.sh $(BUILD)
	@T=test_snapshot tools/test.sh $(BUILD)
	@T=test_migrate tools/test.sh $(BUILD)

clients-go: deps-test ## etcd's Go client against three members (needs Go)
clients-node: deps-test ## npm's etcd3 against three members (needs Node.js)
clients-python: deps-test ## PyPI's etcd3 against three members (needs pip)
clients-java: deps-test ## jetcd against three members (needs Maven and a JDK)
clients-go clients-node clients-python clients-java:
	@tools/clients.sh $(@:clients-%=%)
	@tools/build.sh $(BUILD)
	@OAK_CLIENTS=$(@:clients-%=%) T=test_clients tools/test.sh $(BUILD)

random: deps-test ## REQUESTS=1000000 random ones, the same to etcd and to us; SEED= STREAMS= repeat
	@tools/build.sh $(BUILD) oak_tests
	@OAKUM_BIN=$(CURDIR)/$(BUILD)/bin/oakum python3 -B tests/random_requests.py \
		--requests $(or $(REQUESTS),1000000) --streams $(or $(STREAMS),2) \
		$(if $(SEED),--seed $(SEED))
	@OAKUM_DIFFER_SEQUENCES=$(or $(SEQUENCES),100) T=test_random_rpc tools/test.sh $(BUILD)

soak: deps-test ## our gRPC client and server at work for TIME=60 seconds, and their memory flat
	@tools/build.sh $(BUILD) grpc_soak
	@$(BUILD)/bin/grpc_soak --seconds=$(TIME)

mirror: deps-test ## oakum mirror follows a live etcd for TIME=60 seconds while all are killed
	@tools/build.sh $(BUILD)
	@MIRROR_SECONDS=$(TIME) LIMIT=$$(($(TIME) + 300)) T=mirror_follows tools/test.sh $(BUILD)

cover: deps-test ## lines of raft, wal and snap that tests and simulation run; fails under 95 %
	@tools/cover.sh

fmt: ## format all C files
	@git ls-files -z -- '*.c' '*.h' | xargs -0 clang-format -i

fmt-check: ## fail when a C file is not formatted
	@git ls-files -z -- '*.c' '*.h' | xargs -0 clang-format --dry-run -Werror

tidy: all ## the house rules: layers, doors, purity, lengths, banned calls, links
	@python3 tools/tidy.py --build $(BUILD)

bench: deps-test all ## measure against etcd, side by side, on this machine; TIME= seconds each
	@python3 tools/bench.py --seconds $(TIME)

bench-raft: deps ## CPU for one entry in the Raft core, beside Debian's libraft
	@tools/deps.sh bench || echo 'bench-raft: libraft-dev could not be installed' >&2
	@tools/build.sh $(BUILD) bench_raft
	@python3 tools/bench_raft.py $(BUILD)

bench-rpc: deps-test ## an echo on our gRPC library, beside gRPC's C++ library
	@tools/build.sh $(BUILD) bench_rpc_servers
	@python3 tools/bench_rpc.py $(BUILD)

bench-watch: deps-test all ## watchers beside etcd: events a second, and memory
	@tools/build.sh $(BUILD) bench_watch
	@python3 tools/bench_watch.py $(BUILD)

bench-leases: deps-test all ## latency of one client's read: by lease, serializable, by read index
	@python3 tools/bench_leases.py --seconds $(TIME)

bench-client-leases: deps-test all ## 100,000 leases of clients: CPU while idle, memory, restart
	@python3 tools/bench_client_leases.py

deps: ## install what building needs (Debian; elsewhere prints the list)
	@tools/deps.sh run

deps-test: ## install what testing needs, and fetch etcd to compare with into build/peers
	@tools/deps.sh run test
	@tools/peers.sh

fresh: ## as a newcomer: a bare Debian in build/fresh, a clone, make run, make test (root)
	@tools/fresh.sh

clean: ## remove everything that was built
	@if grep -q " $(CURDIR)/build" /proc/self/mounts; then \
	    echo "clean: something is mounted under build/; unmount it first" >&2; exit 1; fi
	rm -rf build build-* bin

install: all ## install the program, the libraries, manual pages; PREFIX=/usr/local DESTDIR=
	@DESTDIR='$(DESTDIR)' cmake --install $(BUILD) --prefix '$(PREFIX)'
