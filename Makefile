# SPDX-License-Identifier: Apache-2.0
# The one entry to building, running, testing and installing Gantry. `make help` lists what there is.

ARCH   := $(shell uname -m)
TARGET := $(ARCH)-unknown-linux-musl
PREFIX ?= /usr/local
DESTDIR ?=

# One target for everything, so that nothing is built twice and every program is static.
export CARGO_BUILD_TARGET := $(TARGET)

RELEASE := target/$(TARGET)/release
INIT    := target/$(TARGET)/init/init
# CODENAME=trixie makes stage1 of that release's packages, from the archive that the host's own come from.
CODENAME ?=
STAGE1  := dist/stage1-$(ARCH)$(CODENAME:%=-%).tar.xz
UNITS   := $(shell find stage1-init/units -type f -o -type l)

# What is built and tested with, and the packages that bring it. Only x86_64 has tests in virtual machines.
PROGRAMS := cc musl-gcc mkfs.ext4 mkfs.xfs $(if $(filter x86_64,$(ARCH)),qemu-system-x86_64)
PACKAGES := gcc libc6-dev musl-tools e2fsprogs xfsprogs $(if $(filter x86_64,$(ARCH)),qemu-system-x86)

# What fuzzing takes beside that, and for how long each target runs.
FUZZ_TARGETS := archive manifests units
FUZZ_SECONDS ?= 60
# Without sanitizers, which stable toolchains don't have: the code is safe Rust, and the targets have their own checks.
FUZZ := CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_STRIP=none cargo fuzz run --sanitizer none \
	--target $(ARCH)-unknown-linux-gnu --features linked

# What is measured alone, and printed: cold, warm, start, stdio, throughput, oci.
PART ?=
# What measures, and what Gantry is measured beside, PROGRAM:PACKAGE, where it can be had.
MEASURING := hyperfine tar gzip xz zstd /usr/bin/time ip
MEASURING_PACKAGES := hyperfine tar gzip xz-utils zstd time iproute2
OTHERS := podman:podman runc:runc crun:crun umoci:umoci skopeo:skopeo systemd-nspawn:systemd-container

.PHONY: all build stage1 one man run test long mutants bench check fuzz install setup images help clean

all: build stage1 one ## Build the programs and stage1

help: ## Show this list
	@sed -n 's/^\([a-z0-9]*\):.*## /\1\t/p' Makefile | sort | while IFS='	' read -r name what; do \
		printf '  make %-9s %s\n' "$$name" "$$what"; done

setup: ## Install what is needed: the toolchain, its musl target, and packages
	@rustup show active-toolchain >/dev/null 2>&1 || rustup toolchain install
	@rustup target list --installed | grep -qx $(TARGET) || rustup target add $(TARGET)
	@(for program in $(PROGRAMS); do command -v $$program || exit; done) >/dev/null || { \
		echo "installing $(PACKAGES)" >&2; \
		apt-get -q update && apt-get install -q -y --no-install-recommends $(PACKAGES); }

# Takes unwind tables out of a program, a tenth of it: it aborts where it would panic, so nobody reads them. And symbols, of which
# cargo's own strip leaves some programs all.
WITHOUT_TABLES := objcopy --strip-all --remove-section=.eh_frame --remove-section=.eh_frame_hdr --remove-section=.gcc_except_table

build: setup ## Build the programs
	cargo build --release --workspace --exclude stage1-init --exclude onefile --bins
	@$(WITHOUT_TABLES) $(RELEASE)/installer $(RELEASE)/installer.small && mv $(RELEASE)/installer.small $(RELEASE)/installer
	cargo build --profile init --package stage1-init --bin init

$(INIT) $(RELEASE)/rootfs-build $(RELEASE)/installer: build ;

dist/init: $(INIT)
	@mkdir -p dist
	$(WITHOUT_TABLES) $< $@

stage1: $(STAGE1) ## Build stage1 from the distribution's packages, or another release's: CODENAME=trixie

$(STAGE1): dist/init $(RELEASE)/rootfs-build $(UNITS)
	$(RELEASE)/rootfs-build stage1 --init dist/init --units stage1-init/units \
		--cache .cache/stage1$(CODENAME:%=-%) $(CODENAME:%=--codename %) --output $(STAGE1)

one: dist/gantry ## Build dist/gantry: one program that has stage1 built in

# Changes with CODENAME, and so does what has stage1 built in.
dist/built-in: FORCE
	@mkdir -p dist
	@echo $(STAGE1) | cmp -s - $@ || echo $(STAGE1) >$@

FORCE:

dist/gantry: $(STAGE1) $(RELEASE)/installer dist/built-in
	GANTRY_BUILT_IN=$(abspath $(STAGE1)) cargo build --release --package onefile --bin gantry
	$(WITHOUT_TABLES) $(RELEASE)/gantry $@

man: build ## Write man pages and completions below dist/manual
	rm -rf dist/manual
	$(RELEASE)/manual dist/manual

images: build ## Build the demo's images from Debian packages
	$(RELEASE)/demo-images dist/demo

# In a directory of root's, and gone afterwards: the repository may be a user's, where no pod is run.
run: all images ## Run demo pods: of two images from files, and with an OCI image from a registry
	@echo
	@echo "== a pod of two apps, from images made of Debian's packages redis-server and busybox-static =="
	@pods=$$(mktemp -d /var/tmp/gantry-demo.XXXXXX) && trap 'rm -rf "$$pods"' EXIT && trap 'exit 130' INT TERM && \
	(set -x; $(RELEASE)/installer --dir "$$pods" run --stage1 $(STAGE1) \
		--image dist/demo/redis.aci --image dist/demo/client.aci) && \
	echo "== the pod has ended; its apps' exit statuses: ==" && \
	cd "$$pods"/containers/* && grep -H . stage1/rkt/status/*
	@echo
	@echo "== the same client with a server from an OCI image: pulled from a registry on this machine, Debian's docker-registry =="
	@pods=$$(mktemp -d /var/tmp/gantry-demo.XXXXXX) && trap 'rm -rf "$$pods"' EXIT && trap 'exit 130' INT TERM && \
	$(RELEASE)/demo-registry sh -c '(set -x; $(RELEASE)/installer --dir "$$0" run --stage1 $(STAGE1) \
		"$$IMAGE" dist/demo/client.aci) && echo "== what the store has now: ==" && \
		$(RELEASE)/installer --dir "$$0" image list' "$$pods"

test: all ## Run every test; with CODENAME=trixie, all pods have that release's systemd
	GANTRY_TEST_STAGE1=$(abspath $(STAGE1)) cargo test --workspace

long: all ## Run the tests of chance for a minute each, with more pods; stop pods at each call of their start
	GANTRY_TEST_LONG=1 cargo test -p e2e --test many
	GANTRY_TEST_LONG=1 cargo test -p syscall-faults lists::
	GANTRY_TEST_LONG=1 cargo test -p syscall-faults --test stops

mutants: all ## Check that the suites notice what they are there for: change the sources, one place at a time
	cargo run -p mutation-check

bench: all ## Measure Gantry beside podman, runc, tar and others; writes docs/benchmarks. PART=start measures that alone
	@(for program in $(MEASURING); do command -v $$program || exit; done) >/dev/null || { \
		apt-get -q update && apt-get install -q -y --no-install-recommends $(MEASURING_PACKAGES); }
	@for other in $(OTHERS); do command -v $${other%:*} >/dev/null || \
		apt-get install -q -y --no-install-recommends $${other#*:} || \
		echo "$${other%:*} can't be had: measuring without it" >&2; done
	$(RELEASE)/bench $(PART:%=--part %)

check: setup ## Check format, lints, docs and dependencies
	cargo fmt --check
	cargo clippy --workspace --all-targets --features fuzz/targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps
	@command -v cargo-deny >/dev/null || env -u CARGO_BUILD_TARGET cargo install --locked cargo-deny
	cargo deny --workspace check bans licenses sources

fuzz: setup ## Fuzz each target for FUZZ_SECONDS, 60 by default
	@command -v g++ >/dev/null || apt-get install -q -y --no-install-recommends g++
	@command -v cargo-fuzz >/dev/null || env -u CARGO_BUILD_TARGET cargo install --locked cargo-fuzz
	cargo run -q -p fuzz --features targets --bin seeds -- fuzz/corpus
	@scratch=$$(mktemp -d -p /dev/shm 2>/dev/null || mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && \
	export TMPDIR="$$scratch" && for target in $(FUZZ_TARGETS); do \
		dictionary=$$(test ! -e fuzz/corpus/$$target.dict || echo -dict=fuzz/corpus/$$target.dict); \
		$(FUZZ) $$target -- $$dictionary -max_total_time=$(FUZZ_SECONDS) -timeout=20 -rss_limit_mb=512 \
			-print_final_stats=1 || { \
			echo "error: $$target: what it fell over is in fuzz/artifacts/$$target; again, with that FILE:" >&2; \
			echo "  $(FUZZ) $$target FILE" >&2; \
			exit 1; }; \
	done

install: all man ## Install below DESTDIR and PREFIX
	install -D -m 0755 $(RELEASE)/installer $(DESTDIR)$(PREFIX)/bin/gantry
	ln -sf gantry $(DESTDIR)$(PREFIX)/bin/installer
	cd dist/manual && find share -type f -exec install -D -m 0644 '{}' '$(DESTDIR)$(PREFIX)/{}' ';'
	install -D -m 0644 $(STAGE1) $(DESTDIR)$(PREFIX)/lib/gantry/stage1.tar.xz
	sed 's/$(notdir $(STAGE1))/stage1.tar.xz/' $(STAGE1).sha256 > $(DESTDIR)$(PREFIX)/lib/gantry/stage1.tar.xz.sha256

clean: ## Remove what was built and fetched
	rm -rf dist .cache fuzz/corpus
	cargo clean
