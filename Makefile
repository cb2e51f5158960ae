# On a fresh machine two commands are enough: `make run` and `make test`.

.PHONY: run test check build-tests bench bench-dashboard soak faults

# Installs what is missing, builds, serves on 127.0.0.1:3000, judges every approach under load, and serves on until Ctrl-C.
run:
	@scripts/setup.sh run
	cargo build --release
	@scripts/main_job.sh

# cargo-clippy passes its options to the driver in this form.
clippy_args := -D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__

# The build of the tests lints: any warning fails. Tests wait a part of their time for processes that they start, so a third one runs
# beside those of two cores.
linted := RUSTC_WORKSPACE_WRAPPER=$(CURDIR)/scripts/linting_rustc.sh CLIPPY_ARGS=$(clippy_args)

go := cd go-test && test -z "$$(gofmt -l .)" && go vet ./... && go test ./...

# Sets up what is missing (PostgreSQL, PgBouncer, Go, wrk, k6, Locust, schemathesis, Chromium, Node.js), then everything that must hold before a change
# lands. Packages are downloaded while cargo compiles.
test:
	@scripts/setup.sh test $(MAKE) --no-print-directory build-tests
	$(linted) RUST_TEST_THREADS=3 scripts/in_memory.sh cargo test --workspace --locked --no-fail-fast
	cd tests/browser && ../../scripts/in_memory.sh node --test --test-concurrency=3
	$(go)

# All that needs no PostgreSQL: format, lints, documentation, unit tests, the rules about the source. Under a minute once compiled.
check: build-tests
	$(linted) cargo test --workspace --locked --no-fail-fast --lib --examples --test floors
	$(go)

# Format and lints of everything, and the tests, ready to run.
build-tests:
	cargo fmt --all --check
	$(linted) cargo test --workspace --all-targets --locked --no-run
	scripts/rustdoc.sh

# The rate of every approach beside the limits of HTTP and of PostgreSQL, as a Markdown table. Takes some minutes.
bench:
	@scripts/setup.sh test
	cargo bench --bench side_by_side

# The cost of an open dashboard for a running experiment, as a Markdown table. Takes some minutes.
bench-dashboard:
	@scripts/setup.sh test
	cargo build --release
	LAB_PROGRAM=$(CURDIR)/target/release/concurrency-lab node tests/browser/bench/open_dashboard.mjs

# Ten minutes of load on one hot row, for each of a few approaches: checks that the rate and the memory stay constant.
# SOAK_SECONDS sets the time.
soak:
	@scripts/setup.sh test
	cargo build --release
	@scripts/soak.sh

# Faults of PostgreSQL, the network, PgBouncer, the server and its clients under load; every answer is compared with the tables. Prints
# Markdown tables; docs/RELIABILITY.md explains them. FAULT_SECONDS sets the time for each of 17 families, FAULT_FAMILY chooses one.
faults:
	@scripts/setup.sh test
	$(linted) FAULT_SECONDS=$${FAULT_SECONDS:-20} \
	  cargo test --locked --test all -- --nocapture program::faults::under_every_fault
