# Two commands do everything on a fresh machine: `make run` and `make test`.

.PHONY: run test bench bench-dashboard soak

# Sets up what is missing, builds, serves on 127.0.0.1:3000, proves the approaches, keeps serving until Ctrl-C.
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

# Every approach side by side with the limits of HTTP and of PostgreSQL, as a Markdown table. Takes some minutes.
bench:
	@scripts/setup.sh test
	cargo bench --bench side_by_side

# What an open dashboard costs a running experiment, as a Markdown table. Takes some minutes.
bench-dashboard:
	@scripts/setup.sh test
	cargo build --release
	LAB_PROGRAM=$(CURDIR)/target/release/concurrency-lab node tests/browser/bench/open_dashboard.mjs

# Ten minutes of load on one hot row for each of a few approaches: does the rate last, does the memory stay? SOAK_SECONDS
# shortens it.
soak:
	@scripts/setup.sh test
	cargo build --release
	@scripts/soak.sh
