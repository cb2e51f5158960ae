module concurrency-lab/go-test

go 1.19
