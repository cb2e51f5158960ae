package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"
)

// fakeLab is a server with one approach in memory. Its behaviour decides how it answers changes. Everything else is
// correct.
type fakeLab struct {
	mu       sync.Mutex
	balances map[int64]int64
	changes  int // asked for so far
	claims   map[string]string
	seeds    map[string]map[int64]int64
	behave   behaviour
	opened   int // connections
}

// behaviour answers the n-th change (from 1). Status 0 leaves the answer to fakeLab.
type behaviour func(lab *fakeLab, n int, userID, amount int64) (status int, body string)

func correct(*fakeLab, int, int64, int64) (int, string) { return 0, "" }

// losesUpdates answers every third change as made, and does not make it.
func losesUpdates(lab *fakeLab, n int, userID, amount int64) (int, string) {
	if after := lab.balances[userID] + amount; n%3 == 0 && after >= 0 {
		return http.StatusOK, fmt.Sprintf(`{"balance":%d}`, after)
	}
	return 0, ""
}

// always answers every k-th change in the same way.
func always(k, status int, body string) behaviour {
	return func(_ *fakeLab, n int, _, _ int64) (int, string) {
		if n%k == 0 {
			return status, body
		}
		return 0, ""
	}
}

func refusesTooEarly(lab *fakeLab, _ int, userID, amount int64) (int, string) {
	if lab.balances[userID]+amount < 100 {
		return http.StatusConflict, refusedBody
	}
	return 0, ""
}

// hangsUp closes the connection without an answer.
func hangsUp(*fakeLab, int, int64, int64) (int, string) { panic(http.ErrAbortHandler) }

func newFakeLab(t *testing.T, claim string, behave behaviour) (*fakeLab, *httptest.Server) {
	t.Helper()
	lab := &fakeLab{
		balances: map[int64]int64{},
		claims:   map[string]string{"balance": claim, "counter": "safe"},
		seeds:    map[string]map[int64]int64{"withdrawal": {1: 10_000}, "mixed": {1: 1000, 2: 1000, 3: 1000}},
		behave:   behave,
	}
	server := httptest.NewUnstartedServer(lab)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		lab.mu.Lock()
		defer lab.mu.Unlock()
		if state == http.StateNew {
			lab.opened++
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	return lab, server
}

func (lab *fakeLab) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	lab.mu.Lock()
	defer lab.mu.Unlock()
	status, body := lab.answer(r)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprint(w, body)
}

func (lab *fakeLab) answer(r *http.Request) (int, string) {
	if r.Method == http.MethodGet && r.URL.Path == "/approaches" {
		list := map[string]any{"approaches": []any{
			map[string]any{"name": "fake-lock", "aliases": []string{"faker"}, "idea": "…", "claims": lab.claims, "url": "x"},
			map[string]any{"name": "seats-only", "claims": map[string]string{"balance": "unsupported", "booking": "safe"}},
			map[string]any{"name": "silent", "claims": map[string]string{"booking": "safe"}},
		}}
		text, _ := json.Marshal(list)
		return http.StatusOK, string(text)
	}
	var body struct {
		UserID, Amount int64
		Seed           string
	}
	if r.Method != http.MethodGet {
		decoder := json.NewDecoder(r.Body)
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&body); err != nil || r.Header.Get("Content-Type") != "application/json" {
			return http.StatusBadRequest, `{"error":"bad request"}`
		}
	}
	switch route := r.Method + " " + strings.TrimPrefix(r.URL.Path, "/approach/fake-lock"); route {
	case "POST /reset":
		for userID, balance := range lab.seeds[body.Seed] {
			lab.balances[userID] = balance
		}
		lab.changes = 0
		return http.StatusOK, fmt.Sprintf(`{"seed":%q}`, body.Seed)
	case "GET /balance/1", "GET /balance/2", "GET /balance/3":
		userID := int64(route[len(route)-1] - '0')
		return http.StatusOK, fmt.Sprintf(`{"userId":%d,"balance":%d}`, userID, lab.balances[userID])
	case "PATCH /balance", "POST /deposit":
		return lab.change(body.UserID, body.Amount)
	case "POST /withdraw":
		return lab.change(body.UserID, -body.Amount)
	default:
		return http.StatusNotFound, `{"error":"no such route"}`
	}
}

func (lab *fakeLab) change(userID, amount int64) (int, string) {
	lab.changes++
	if status, body := lab.behave(lab, lab.changes, userID, amount); status != 0 {
		return status, body
	}
	if lab.balances[userID]+amount < 0 {
		return http.StatusConflict, refusedBody
	}
	lab.balances[userID] += amount
	return http.StatusOK, fmt.Sprintf(`{"balance":%d}`, lab.balances[userID])
}

// ran is the result of a run of the program.
type ran struct {
	code                int
	stdout, stderr, log string
}

func runAgainst(t *testing.T, ctx context.Context, base string, args ...string) ran {
	t.Helper()
	out := filepath.Join(t.TempDir(), "responses.log")
	var stdout, stderr bytes.Buffer
	code := run(ctx, append([]string{"-url", base, "-out", out}, args...), &stdout, &stderr)
	log, err := os.ReadFile(out)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return ran{code, stdout.String(), stderr.String(), string(log)}
}

// wants fails the test unless the exit code is right and the output and the log contain the texts.
func (r ran) wants(t *testing.T, code int, stdout, log []string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d", r.code, code)
	}
	for _, text := range stdout {
		if !strings.Contains(r.stdout+r.stderr, text) {
			t.Errorf("output lacks %q", text)
		}
	}
	for _, text := range log {
		if !strings.Contains(r.log, text) {
			t.Errorf("log lacks %q", text)
		}
	}
	if t.Failed() {
		t.Logf("output:\n%s%s", r.stdout, r.stderr)
		t.Logf("log:\n%.2000s", r.log)
	}
}

func TestVerdictPerBehaviour(t *testing.T) {
	const oops = `{"error":"oops"}`
	tests := []struct {
		name   string
		claim  string
		behave behaviour
		args   []string
		code   int
		stdout []string
		log    []string
	}{
		{"correct and claimed safe", "safe", correct, nil, exitAsClaimed,
			[]string{"fake-lock", "SUCCESS", "found     accepted   500  refused   500", "repeated balances 0", "final balance 0\n", "1 SUCCESS"},
			[]string{"== fake-lock: withdrawal, 1000 of 1000 requests ==", "500 × 200\n", "500 × 409\n", "500 × 409 " + refusedBody, "came once:\n     500\n"}},
		{"correct on one server", "safe-on-one-server", correct, nil, exitAsClaimed, []string{"SUCCESS"}, nil},
		{"correct and claimed broken", "broken", correct, nil, exitAsClaimed, []string{"held this time"}, nil},
		{"lost updates and claimed safe", "safe", losesUpdates, nil, exitClaimFailed, []string{"FAIL", "1 FAIL"},
			[]string{`2 × 200 {"balance":9940}`}},
		{"lost updates on one server", "safe-on-one-server", losesUpdates, nil, exitClaimFailed, []string{"FAIL"}, nil},
		{"lost updates and claimed broken", "broken", losesUpdates, nil, exitAsClaimed, []string{"BROKEN as claimed"}, nil},
		{"503s change the figures of a safe approach, which fails", "safe", always(10, 503, oops), nil, exitClaimFailed,
			[]string{"FAIL", "accepted   500  refused   400  gave up 100  other 0"}, []string{"100 × 503 " + oops}},
		{"503s prove nothing about a broken approach", "broken", always(10, 503, oops), nil, exitAsClaimed, []string{"UNDECIDED"}, nil},
		{"503s do not hide a repeated balance", "broken", func(lab *fakeLab, n int, userID, amount int64) (int, string) {
			if n%10 == 0 {
				return 503, oops
			}
			return losesUpdates(lab, n, userID, amount)
		}, nil, exitAsClaimed, []string{"BROKEN as claimed"}, nil},
		{"connections that break now and then do not end the run", "broken", func(_ *fakeLab, n int, _, _ int64) (int, string) {
			if n%3 == 0 {
				panic(http.ErrAbortHandler)
			}
			return 0, ""
		}, nil, exitAsClaimed, []string{"UNDECIDED", "unknown 333 "}, []string{"333 × no answer EOF"}},
		{"504 is unknown", "safe", always(1000, 504, oops), nil, exitClaimFailed, []string{"unknown 1 "}, nil},
		{"a closed connection is unknown", "safe", func(_ *fakeLab, n int, _, _ int64) (int, string) {
			if n == 7 {
				panic(http.ErrAbortHandler)
			}
			return 0, ""
		}, nil, exitClaimFailed, []string{"unknown 1 "}, []string{"1 × no answer"}},
		{"refuses with money left", "safe", refusesTooEarly, nil, exitClaimFailed, []string{"refused   505", "final balance 100\n"}, nil},
		{"refuses in other words", "safe", always(1, 409, `{"error":"No"}`), nil, exitClaimFailed, []string{"other 1000"}, nil},
		{"accepts with an extra field", "safe", always(1, 200, `{"balance":1,"id":1}`), nil, exitClaimFailed, []string{"other 1000"}, nil},
		{"accepts everything with one balance", "safe", always(1, 200, `{"balance":9980}`), nil, exitClaimFailed,
			[]string{"repeated balances 999"}, []string{`1000 × 200 {"balance":9980}`}},
		{"redirects", "safe", always(1, 302, ""), nil, exitClaimFailed, []string{"other 1000"}, []string{"1000 × 302 (empty)"}},
		{"unknown claim", "mostly", correct, nil, exitClaimFailed, []string{`FAIL: claims "mostly"`}, nil},
		{"deposits", "safe", correct, []string{"-amount", "3"}, exitAsClaimed, []string{"accepted  1000", "final balance 13000\n"}, nil},
		{"an amount that leaves a rest", "safe", correct, []string{"-amount", "-3000"}, exitAsClaimed,
			[]string{"accepted     3  refused   997", "final balance 1000\n"}, nil},
		{"alias", "safe", correct, []string{"-approach", "faker, fake-lock"}, exitAsClaimed, []string{"[1/1] fake-lock"}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, server := newFakeLab(t, test.claim, test.behave)
			// 1000 × 20 is twice the balance; the last of two equal flags counts.
			args := append([]string{"-requests", "1000", "-concurrency", "32", "-amount", "-20"}, test.args...)
			runAgainst(t, context.Background(), server.URL, args...).wants(t, test.code, test.stdout, test.log)
		})
	}
}

func TestMixed(t *testing.T) {
	tests := []struct {
		name   string
		behave behaviour
		code   int
		stdout []string
	}{
		{"correct", correct, exitAsClaimed, []string{"SUCCESS", "accepted   600  refused     0", "final balance 1500 1250 1000\n"}},
		{"lost updates", losesUpdates, exitClaimFailed, []string{"FAIL", "accepted   600"}},
		{"503s", always(100, 503, ""), exitClaimFailed, []string{"FAIL", "gave up 6 "}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, server := newFakeLab(t, "safe", test.behave)
			runAgainst(t, context.Background(), server.URL, "-scenario", "mixed", "-concurrency", "16").
				wants(t, test.code, test.stdout, []string{"== fake-lock: mixed, 600 of 600 requests =="})
		})
	}
}

func TestUsageErrors(t *testing.T) {
	_, server := newFakeLab(t, "safe", correct)
	for _, test := range []struct{ args, complaint string }{
		{"-approach nonsense", `"nonsense" is not an approach with balances; expected: fake-lock`},
		{"-approach seats-only", `"seats-only" is not an approach with balances; expected: fake-lock`},
		{"-approach ,", "-approach needs"},
		{"-concurrency 0", "-concurrency must be"},
		{"-requests -1", "-requests must be"},
		{"-requests 2000000", "-requests must be"},
		{"-requests many", "-requests"},
		{"-amount 0", "-amount must be"},
		{"-timeout 0s", "-timeout must be"},
		{"-out=", "-out needs"},
		{"-scenario transfer", "-scenario must be"},
		{"-scenario mixed -amount -1", "do not apply"},
		{"-nonsense", "-nonsense"},
		{"extra", `unexpected argument "extra"`},
		{"-url ftp://localhost", "-url"},
		{"-url localhost:3000", "-url"},
		{"-url http://", "-url"},
	} {
		t.Run(test.args, func(t *testing.T) {
			runAgainst(t, context.Background(), server.URL, strings.Fields(test.args)...).
				wants(t, exitUsage, []string{test.complaint}, nil)
		})
	}
}

func TestHelpIsNoError(t *testing.T) {
	runAgainst(t, context.Background(), "http://localhost", "-h").wants(t, exitAsClaimed, []string{"-concurrency"}, nil)
}

func TestTargetDown(t *testing.T) {
	_, server := newFakeLab(t, "safe", correct)
	server.Close()
	runAgainst(t, context.Background(), server.URL).wants(t, exitEnvironment, []string{"cannot be reached"}, nil)
}

func TestTargetIsSomethingElse(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	runAgainst(t, context.Background(), server.URL).wants(t, exitEnvironment, []string{"GET /approaches answered 404"}, nil)
}

func TestDeadTargetIsGivenUp(t *testing.T) {
	lab, server := newFakeLab(t, "safe", hangsUp)
	runAgainst(t, context.Background(), server.URL, "-concurrency", "4").wants(t, exitClaimFailed, []string{"FAIL"}, nil)
	if lab.changes > 20 {
		t.Errorf("%d requests to a server that answers none", lab.changes)
	}
}

func TestTimeout(t *testing.T) {
	release := make(chan struct{})
	lab, _ := newFakeLab(t, "safe", correct)
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPatch {
			<-release
		}
		lab.ServeHTTP(w, r)
	}))
	defer slow.Close()
	defer close(release)
	runAgainst(t, context.Background(), slow.URL, "-concurrency", "2", "-requests", "3", "-timeout", "200ms").
		wants(t, exitClaimFailed, []string{"unknown 3 "}, []string{"3 × no answer timeout"})
}

func TestInterruptKeepsWhatThereIs(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	_, server := newFakeLab(t, "safe", func(_ *fakeLab, n int, _, _ int64) (int, string) {
		if n == 50 {
			cancel()
			time.Sleep(50 * time.Millisecond)
		}
		return 0, ""
	})
	got := runAgainst(t, ctx, server.URL, "-concurrency", "1")
	got.wants(t, exitInterrupted, []string{"interrupted"}, []string{"50 of 10000 requests", "49 × 200", "1 × no answer"})
}

func TestStartingBalanceIsLevelled(t *testing.T) {
	for name, seeded := range map[string]int64{"too low": 9_000, "too high": 10_001} {
		t.Run(name, func(t *testing.T) {
			lab, server := newFakeLab(t, "safe", correct)
			lab.seeds["withdrawal"][1] = seeded
			runAgainst(t, context.Background(), server.URL).wants(t, exitAsClaimed, []string{"SUCCESS"}, nil)
		})
	}
	t.Run("impossible", func(t *testing.T) {
		lab, server := newFakeLab(t, "broken", always(1, http.StatusOK, "{}"))
		lab.seeds["withdrawal"][1] = 9_000
		runAgainst(t, context.Background(), server.URL).
			wants(t, exitClaimFailed, []string{"FAIL: user 1 starts with 9000 instead of 10000"}, nil)
	})
}

func TestConnectionsAreKept(t *testing.T) {
	lab, server := newFakeLab(t, "safe", correct)
	runAgainst(t, context.Background(), server.URL+"///", "-concurrency", "8").wants(t, exitAsClaimed, nil, nil)
	lab.mu.Lock()
	defer lab.mu.Unlock()
	if lab.opened > 8 {
		t.Errorf("%d connections for a concurrency of 8", lab.opened)
	}
}

func TestLogThatCannotBeWritten(t *testing.T) {
	_, server := newFakeLab(t, "safe", correct)
	outs := []string{filepath.Join(t.TempDir(), "no", "such", "folder", "responses.log")}
	if _, err := os.Stat("/dev/full"); err == nil {
		outs = append(outs, "/dev/full") // opens, and refuses what is written
	}
	for _, out := range outs {
		var stdout, stderr bytes.Buffer
		code := run(context.Background(), []string{"-url", server.URL, "-out", out}, &stdout, &stderr)
		if code != exitEnvironment || !strings.Contains(stderr.String(), out) {
			t.Errorf("%s: exit code %d, %q", out, code, stderr.String())
		}
	}
}

func TestLogFormat(t *testing.T) {
	counts := &answerCounts{count: map[answer]int{
		{200, `{"balance":9998}`}:                 3,
		{200, `{"balance":10000}`}:                3,
		{200, `{"balance":9996}`}:                 3,
		{200, `{"balance":9994}`}:                 1,
		{200, `{"balance":9992}`}:                 1,
		{409, refusedBody}:                        12,
		{503, "two\nlines"}:                       2,
		{500, "\xff" + strings.Repeat("é", 2)}:    2,
		{0, "connect: connection refused"}:        2,
		{502, ""}:                                 2,
		{500, `{"error":"ein Bär, 東京"}`}:          2,
		{500, `{"error":"ein Bär, 東京, nochmal"}`}: 1,
	}}
	const want = `== naive: withdrawal, 34 of 34 requests ==
       2 × no answer
      11 × 200
      12 × 409
       5 × 500
       2 × 502
       2 × 503
came more than once:
      12 × 409 {"error":"Insufficient funds"}
       3 × 200 {"balance":10000}
       3 × 200 {"balance":9998}
       3 × 200 {"balance":9996}
       2 × no answer connect: connection refused
       2 × 500 {"error":"ein Bär, 東京"}
       2 × 500 "\xfféé"
       2 × 502 (empty)
       2 × 503 "two\nlines"
came once:
       3

`
	for i := 0; i < 10; i++ { // the order of a map changes from one walk to the next
		var log bytes.Buffer
		if err := counts.write(&log, "naive: withdrawal, 34 of 34 requests"); err != nil {
			t.Fatal(err)
		}
		if log.String() != want {
			t.Fatalf("got:\n%swant:\n%s", log.String(), want)
		}
		if !utf8.Valid(log.Bytes()) {
			t.Fatal("not UTF-8")
		}
	}
}

func TestLongBodiesAreCut(t *testing.T) {
	counts := &answerCounts{count: map[answer]int{}}
	counts.add(answer{500, strings.Repeat("a", 1<<16)})
	for a := range counts.count {
		if len(a.body) > maxKeptBytes+len("…") {
			t.Errorf("kept %d bytes", len(a.body))
		}
	}
}

func TestExpectedFigures(t *testing.T) {
	for _, test := range []struct {
		requests          int
		amount            int64
		accepted, refused int
		balance           string
	}{
		{10_000, -2, 5_000, 5_000, "0"},
		{10, -2, 10, 0, "9980"},
		{10, -3_000, 3, 7, "1000"},
		{10, -20_000, 0, 10, "10000"},
		{10, 7, 10, 0, "10070"},
	} {
		got := withdrawal(test.requests, test.amount).expected
		want := figures{accepted: test.accepted, refused: test.refused, balances: test.balance}
		if got != want {
			t.Errorf("%d × %d: got %v, want %v", test.requests, test.amount, got, want)
		}
	}
}
