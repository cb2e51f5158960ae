# On a fresh machine two commands are enough: `make run` and `make test`.

.PHONY: run test bench bench-dashboard soak

# Installs what is missing, builds, serves on 127.0.0.1:3000, judges every approach under load, and serves on until Ctrl-C.
run:
	@scripts/setup.sh run
	cargo build --release
	@scripts/main_job.sh

# Sets up what is missing (PostgreSQL, Go, wrk, k6, Locust, schemathesis, Chromium, Node.js), then everything that must hold before a change
# lands.
test:
	@scripts/setup.sh test
	cargo fmt --check
	cargo clippy --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --document-private-items --locked
	cargo test --locked --no-fail-fast
	cd tests/browser && node --test
	cd go-test && test -z "$$(gofmt -l .)" && go vet ./... && go test ./...

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
