// Command go-test checks concurrency-lab independently: it is a client in another language, shares no code with the
// server and relies on none of its claims.
//
// For every approach it resets the data, sends thousands of changes at once, and compares the answers with plain
// arithmetic: 10000 withdrawals of 2 from a balance of 10000 are 5000 accepted, 5000 refused, and 5000 different
// balances. A balance that two clients received is a lost update; responses.log lists it.
//
//	go run main.go                                     every approach
//	go run main.go -approach naive,atomic-returning    only these
//	go run main.go -scenario mixed                     deposits and withdrawals of three users
//
// Exit codes: 0 as claimed, 1 a claim failed, 2 usage, 3 environment (target down, log not writable), 130 interrupted.
// `go run` changes every code except 0 to 1 and prints the original one; a program built by `go build` keeps them.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	exitAsClaimed   = 0
	exitClaimFailed = 1
	exitUsage       = 2
	exitEnvironment = 3
	exitInterrupted = 130
)

// Limits. Answers are counted by body, so memory is at most maxRequests × maxKeptBytes.
const (
	maxConcurrency = 20_000    // below the ports that one client address has
	maxRequests    = 1_000_000 // see above
	maxAmount      = 1_000_000 // times maxRequests still fits an int64
	maxAnswerBytes = 1 << 20   // the list of approaches is the longest answer
	maxKeptBytes   = 200       // of a body, in the log; the expected bodies are shorter
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	go func() {
		<-ctx.Done()
		stop() // a second Ctrl-C ends the program at once
	}()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is main without the process: it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	failed, err := runAll(ctx, args, stdout)
	var usage usageError
	switch {
	case err == nil && failed == 0, errors.Is(err, flag.ErrHelp):
		return exitAsClaimed
	case err == nil:
		return exitClaimFailed
	case ctx.Err() != nil:
		fmt.Fprintln(stderr, "go-test: interrupted")
		return exitInterrupted
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "go-test: %v (-h lists the options)\n", err)
		return exitUsage
	default:
		fmt.Fprintf(stderr, "go-test: %v\n", err)
		return exitEnvironment
	}
}

// runAll tests one approach after the other and returns how many failed their claim.
func runAll(ctx context.Context, args []string, stdout io.Writer) (failed int, err error) {
	opts, err := parseOptions(args, stdout)
	if err != nil {
		return 0, err
	}
	lab := newTarget(opts)
	offered, err := lab.approaches(ctx)
	if err != nil {
		return 0, err
	}
	chosen, err := choose(offered, opts.approaches)
	if err != nil {
		return 0, err
	}
	// The log is opened before the load, so that a path that cannot be written fails at once. It is written approach by
	// approach, so that an interrupted run keeps the answers so far.
	log, err := os.Create(opts.out)
	if err != nil {
		return 0, err
	}
	defer func() {
		if closeErr := log.Close(); err == nil {
			err = closeErr
		}
	}()

	plan := opts.plan()
	fmt.Fprintf(stdout, "%s: %s, %d requests over %d connections\n", opts.base, plan.name, len(plan.operations), opts.concurrency)
	verdicts := map[verdict]int{}
	for i, a := range chosen {
		fmt.Fprintf(stdout, "[%*d/%d] %-18s ", len(strconv.Itoa(len(chosen))), i+1, len(chosen), a.Name)
		result, err := lab.test(ctx, a, plan, log)
		if err != nil {
			fmt.Fprintln(stdout, "stopped")
			printSummary(stdout, verdicts, opts.out)
			return failed, err
		}
		result.print(stdout)
		verdicts[result.verdict]++
		if result.verdict == fail {
			failed++
		}
	}
	printSummary(stdout, verdicts, opts.out)
	return failed, nil
}

// ---- options ----

type options struct {
	base        string // without a trailing slash
	concurrency int
	requests    int
	amount      int64
	approaches  []string // none: all
	scenario    string
	out         string
	timeout     time.Duration
}

type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

func parseOptions(args []string, help io.Writer) (options, error) {
	var opts options
	var names string
	flags := flag.NewFlagSet("go-test", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // errors are printed once, by run
	flags.StringVar(&opts.base, "url", "http://127.0.0.1:3000", "the server's base `URL`")
	flags.IntVar(&opts.concurrency, "concurrency", 512, "keep-alive connections, each with one request at a time")
	flags.IntVar(&opts.requests, "requests", 10_000, "requests per approach (withdrawal)")
	flags.Int64Var(&opts.amount, "amount", -2, "amount that each request adds to the balance (withdrawal)")
	flags.StringVar(&names, "approach", "", "comma-separated `names` (default: all approaches that support balance)")
	flags.StringVar(&opts.scenario, "scenario", "withdrawal", "withdrawal or mixed")
	flags.StringVar(&opts.out, "out", "responses.log", "`file` for the distinct answers and their counts")
	flags.DurationVar(&opts.timeout, "timeout", 60*time.Second, "limit for one request")

	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(help, "Races every approach of a running concurrency-lab and checks what it claims.")
		flags.SetOutput(help)
		flags.PrintDefaults()
		return opts, err
	} else if err != nil {
		return opts, usageError{err}
	}
	for _, name := range strings.Split(names, ",") {
		if name = strings.TrimSpace(name); name != "" {
			opts.approaches = append(opts.approaches, name)
		}
	}
	opts.base = strings.TrimRight(opts.base, "/")
	if err := opts.validate(flags); err != nil {
		return opts, usageError{err}
	}
	return opts, nil
}

func (o options) validate(flags *flag.FlagSet) error {
	given := map[string]bool{}
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	base, err := url.Parse(o.base)
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case err != nil:
		return fmt.Errorf("-url: %w", err)
	case base.Scheme != "http" && base.Scheme != "https", base.Host == "", base.RawQuery != "", base.Fragment != "":
		return fmt.Errorf("-url: %q is not of the form http://host:port", o.base)
	case o.concurrency < 1 || o.concurrency > maxConcurrency:
		return fmt.Errorf("-concurrency must be from 1 to %d", maxConcurrency)
	case o.requests < 1 || o.requests > maxRequests:
		return fmt.Errorf("-requests must be from 1 to %d", maxRequests)
	case o.amount == 0 || o.amount < -maxAmount || o.amount > maxAmount:
		return fmt.Errorf("-amount must be from %d to %d and not 0, which repeats every balance", -maxAmount, maxAmount)
	case o.timeout <= 0:
		return errors.New("-timeout must be more than 0")
	case o.out == "":
		return errors.New("-out needs the name of a file")
	case given["approach"] && len(o.approaches) == 0:
		return errors.New("-approach needs at least one name")
	case o.scenario != "withdrawal" && o.scenario != "mixed":
		return fmt.Errorf("-scenario must be withdrawal or mixed, not %q", o.scenario)
	case o.scenario == "mixed" && (given["requests"] || given["amount"]):
		return errors.New("-requests and -amount do not apply to -scenario mixed")
	}
	return nil
}

func (o options) plan() scenario {
	if o.scenario == "mixed" {
		return mixed()
	}
	return withdrawal(o.requests, o.amount)
}

// ---- scenarios: the operations, and the results by arithmetic ----

type scenario struct {
	name       string // of the seed, too
	start      []account
	operations []operation
	expected   figures
	// distinct: every accepted balance must differ from every other. True if all changes of a user have the same sign.
	distinct bool
}

type account struct{ userID, balance int64 }

type operation struct{ method, path, body string }

// figures are the results of an approach. The verdict rests on whether they equal the expected ones.
type figures struct {
	accepted, refused, gaveUp, other, unknown int
	repeated                                  int    // accepted answers that an earlier one had already given, or notCounted
	balances                                  string // at the end, user by user
}

const notCounted = -1

func (f figures) String() string {
	repeated := ""
	if f.repeated != notCounted {
		repeated = fmt.Sprintf("repeated balances %d  ", f.repeated)
	}
	return fmt.Sprintf("accepted %5d  refused %5d  gave up %d  other %d  unknown %d  %sfinal balance %s",
		f.accepted, f.refused, f.gaveUp, f.other, f.unknown, repeated, f.balances)
}

func withdrawal(requests int, amount int64) scenario {
	const user, start = 1, 10_000
	accepted := int64(requests)
	if affordable := start / -amount; amount < 0 && affordable < accepted {
		accepted = affordable
	}
	return scenario{
		name:       "withdrawal",
		start:      []account{{user, start}},
		operations: repeat(nil, requests, http.MethodPatch, "/balance", user, amount),
		expected: figures{
			accepted: int(accepted),
			refused:  requests - int(accepted),
			balances: strconv.FormatInt(start+accepted*amount, 10),
		},
		distinct: true,
	}
}

func mixed() scenario {
	var ops []operation
	ops = repeat(ops, 100, http.MethodPost, "/deposit", 1, 10)
	ops = repeat(ops, 100, http.MethodPost, "/withdraw", 1, 5)
	ops = repeat(ops, 50, http.MethodPost, "/deposit", 2, 20)
	ops = repeat(ops, 50, http.MethodPost, "/withdraw", 2, 15)
	ops = repeat(ops, 200, http.MethodPost, "/deposit", 3, 1)
	ops = repeat(ops, 100, http.MethodPost, "/withdraw", 3, 2)
	// The same order in every run: any difference between two runs comes from the server.
	rand.New(rand.NewSource(1)).Shuffle(len(ops), func(i, j int) { ops[i], ops[j] = ops[j], ops[i] })
	return scenario{
		name:       "mixed",
		start:      []account{{1, 1000}, {2, 1000}, {3, 1000}},
		operations: ops,
		// No order leads to a refusal: all withdrawals of a user together are less than its first balance.
		expected: figures{accepted: len(ops), repeated: notCounted, balances: "1500 1250 1000"},
	}
}

func repeat(ops []operation, times int, method, path string, userID, amount int64) []operation {
	op := operation{method, path, changeBody(userID, amount)}
	for i := 0; i < times; i++ {
		ops = append(ops, op)
	}
	return ops
}

func changeBody(userID, amount int64) string {
	return fmt.Sprintf(`{"userId":%d,"amount":%d}`, userID, amount)
}

// ---- claims and verdicts ----

type approach struct {
	Name    string            `json:"name"`
	Aliases []string          `json:"aliases"`
	Claims  map[string]string `json:"claims"`
}

const (
	claimSafe            = "safe"
	claimSafeOnOneServer = "safe-on-one-server" // one server is all that this client knows, so it must hold here
	claimBroken          = "broken"
	claimUnsupported     = "unsupported"
)

// claim is the approach's claim for balances. An approach without one does not support balances.
func (a approach) claim() string {
	if claim, found := a.Claims["balance"]; found {
		return claim
	}
	return claimUnsupported
}

func (a approach) answersTo(name string) bool {
	for _, alias := range a.Aliases {
		if alias == name {
			return true
		}
	}
	return a.Name == name
}

// choose returns the named approaches (all, if names is empty) in the order of the server's list.
func choose(offered []approach, names []string) ([]approach, error) {
	var supported []approach
	var known []string
	for _, a := range offered {
		if a.claim() != claimUnsupported {
			supported = append(supported, a)
			known = append(known, a.Name)
		}
	}
	if len(supported) == 0 {
		return nil, errors.New("the target offers no approach that supports balance")
	}
	if len(names) == 0 {
		return supported, nil
	}
	wanted := make([]bool, len(supported))
	for _, name := range names {
		found := false
		for i, a := range supported {
			if a.answersTo(name) {
				wanted[i], found = true, true
			}
		}
		if !found {
			return nil, usagef("-approach: %q is not an approach with balances; expected: %s", name, strings.Join(known, ", "))
		}
	}
	var chosen []approach
	for i, a := range supported {
		if wanted[i] {
			chosen = append(chosen, a)
		}
	}
	return chosen, nil
}

func (a approach) claimIsKnown() bool {
	claim := a.claim()
	return claim == claimSafe || claim == claimSafeOnOneServer || claim == claimBroken
}

type verdict string

const (
	success         verdict = "SUCCESS"
	fail            verdict = "FAIL"
	brokenAsClaimed verdict = "BROKEN as claimed"
	heldThisTime    verdict = "held this time"
	undecided       verdict = "UNDECIDED" // claimed broken; answers are missing that could explain the difference
)

func judge(claim string, expected, found figures) verdict {
	switch holds := found == expected; {
	case claim != claimBroken && holds:
		return success
	case claim != claimBroken:
		return fail
	case holds:
		return heldThisTime
	case found.repeated > 0, found.gaveUp+found.other+found.unknown == 0:
		return brokenAsClaimed
	default:
		return undecided
	}
}

type result struct {
	verdict         verdict
	claim           string
	reason          string // why it could not be tested; then there are no figures
	expected, found figures
	elapsed         time.Duration
}

func (r result) print(w io.Writer) {
	if r.reason != "" {
		fmt.Fprintf(w, "%s: %s\n", r.verdict, r.reason)
		return
	}
	fmt.Fprintf(w, "%-18s claims %s, %.2f s\n", r.verdict, r.claim, r.elapsed.Seconds())
	fmt.Fprintf(w, "    expected  %v\n    found     %v\n", r.expected, r.found)
}

func printSummary(w io.Writer, verdicts map[verdict]int, out string) {
	var parts []string
	for _, v := range []verdict{success, brokenAsClaimed, heldThisTime, undecided, fail} {
		if n := verdicts[v]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, v))
		}
	}
	parts = append(parts, "answers in "+out)
	fmt.Fprintln(w, strings.Join(parts, ", "))
}

// ---- the server under test ----

type target struct {
	base    string
	workers int
	http    *http.Client
}

func newTarget(opts options) target {
	transport := &http.Transport{
		MaxIdleConns:        opts.concurrency,
		MaxIdleConnsPerHost: opts.concurrency, // the default of 2 would close nearly every connection after one answer
		MaxConnsPerHost:     opts.concurrency,
		DisableCompression:  true,
		// An empty map, and not nil: only HTTP/1, also over TLS. HTTP/2 would send all requests over one connection.
		TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{},
	}
	return target{opts.base, opts.concurrency, &http.Client{
		Transport: transport,
		Timeout:   opts.timeout,
		// A redirect is not followed. It is counted as an unexpected answer.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// answer is a status and a body, compared byte by byte. Status 0: no answer came, and the body says why.
type answer struct {
	status int
	body   string
}

// send sends a request once. The transport never repeats a PATCH or POST after it has written a part of it.
func (t target) send(ctx context.Context, method, path, body string) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, t.base+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := t.http.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	if err != nil {
		return answer{}, err
	}
	return answer{response.StatusCode, string(text)}, nil
}

// unexpected is an answer that makes a test impossible, as opposed to a target that does not answer.
type unexpected struct{ error }

// ask sends a request that must be answered with 200 and, unless into is nil, with JSON.
func (t target) ask(ctx context.Context, method, path, body string, into any) error {
	got, err := t.send(ctx, method, path, body)
	if err != nil {
		return fmt.Errorf("the target cannot be reached: %w", err)
	}
	if got.status != http.StatusOK {
		return unexpected{fmt.Errorf("%s %s answered %d %s", method, path, got.status, printable(got.body))}
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal([]byte(got.body), into); err != nil {
		return unexpected{fmt.Errorf("%s %s answered %s: %w", method, path, printable(got.body), err)}
	}
	return nil
}

func (t target) approaches(ctx context.Context) ([]approach, error) {
	var list struct{ Approaches []approach }
	err := t.ask(ctx, http.MethodGet, "/approaches", "", &list)
	return list.Approaches, err
}

// test resets the data, runs the load and judges one approach, and writes its part of the log. An error ends the whole
// run.
func (t target) test(ctx context.Context, a approach, plan scenario, log io.Writer) (result, error) {
	r := result{claim: a.claim(), expected: plan.expected}
	prefix := "/approach/" + url.PathEscape(a.Name)

	if !a.claimIsKnown() {
		return r.failedFor(unexpected{fmt.Errorf("claims %q, which this client cannot judge", r.claim)})
	}
	if err := t.prepare(ctx, prefix, plan); err != nil {
		return r.failedFor(err)
	}
	begin := time.Now()
	answers := t.race(ctx, prefix, plan.operations)
	r.elapsed = time.Since(begin)
	heading := fmt.Sprintf("%s: %s, %d of %d requests", a.Name, plan.name, answers.total(), len(plan.operations))
	if err := answers.write(log, heading); err != nil {
		return r, err
	}
	if ctx.Err() != nil {
		return r, ctx.Err()
	}
	balances, err := t.balances(ctx, prefix, plan.start)
	if err != nil {
		return r.failedFor(err)
	}
	r.found = answers.figures(plan.distinct)
	r.found.balances = balances
	r.verdict = judge(r.claim, r.expected, r.found)
	return r, nil
}

// failedFor turns an unexpected answer into a failure of this approach. It returns other errors.
func (r result) failedFor(err error) (result, error) {
	var answered unexpected
	if errors.As(err, &answered) {
		r.verdict, r.reason = fail, err.Error()
		return r, nil
	}
	return r, err
}

// prepare resets the data. If a reset leaves balances other than those of the scenario, it corrects them by changes.
func (t target) prepare(ctx context.Context, prefix string, plan scenario) error {
	if err := t.ask(ctx, http.MethodPost, prefix+"/reset", fmt.Sprintf(`{"seed":%q}`, plan.name), nil); err != nil {
		return err
	}
	for _, want := range plan.start {
		balance, err := t.balance(ctx, prefix, want.userID)
		if err != nil {
			return err
		}
		if path, amount := "/deposit", want.balance-balance; amount != 0 {
			if amount < 0 {
				path, amount = "/withdraw", -amount
			}
			if err := t.ask(ctx, http.MethodPost, prefix+path, changeBody(want.userID, amount), nil); err != nil {
				return err
			}
			if balance, err = t.balance(ctx, prefix, want.userID); err != nil {
				return err
			}
		}
		if balance != want.balance {
			return unexpected{fmt.Errorf("user %d starts with %d instead of %d", want.userID, balance, want.balance)}
		}
	}
	return nil
}

func (t target) balance(ctx context.Context, prefix string, userID int64) (int64, error) {
	var got struct{ UserID, Balance *int64 }
	path := fmt.Sprintf("%s/balance/%d", prefix, userID)
	if err := t.ask(ctx, http.MethodGet, path, "", &got); err != nil {
		return 0, err
	}
	if got.UserID == nil || got.Balance == nil || *got.UserID != userID {
		return 0, unexpected{fmt.Errorf("GET %s did not answer with the balance of user %d", path, userID)}
	}
	return *got.Balance, nil
}

func (t target) balances(ctx context.Context, prefix string, accounts []account) (string, error) {
	var all []string
	for _, a := range accounts {
		balance, err := t.balance(ctx, prefix, a.userID)
		if err != nil {
			return "", err
		}
		all = append(all, strconv.FormatInt(balance, 10))
	}
	return strings.Join(all, " "), nil
}

// race sends every operation once, with at most t.workers in flight. It ends early when ctx ends, and when the target
// seems dead: when more requests in a row than there are workers got no answer.
func (t target) race(ctx context.Context, prefix string, operations []operation) *answerCounts {
	answers := &answerCounts{count: map[answer]int{}}
	var next, unanswered atomic.Int64
	var wait sync.WaitGroup
	worker := func() {
		defer wait.Done()
		for ctx.Err() == nil && unanswered.Load() <= int64(t.workers) {
			i := next.Add(1) - 1
			if i >= int64(len(operations)) {
				return
			}
			op := operations[i]
			got, err := t.send(ctx, op.method, prefix+op.path, op.body)
			if err != nil {
				unanswered.Add(1)
				got = answer{body: reason(err)}
			} else {
				unanswered.Store(0)
			}
			answers.add(got)
		}
	}
	for i := 0; i < t.workers && i < len(operations); i++ {
		wait.Add(1)
		go worker()
	}
	wait.Wait()
	return answers
}

// reason is the text of an error without addresses and ports, so that equal reasons are counted together.
func reason(err error) string {
	var timeout net.Error
	var operation *net.OpError
	switch {
	case errors.Is(err, context.Canceled):
		return "interrupted"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	case errors.As(err, &operation):
		return operation.Err.Error()
	}
	var request *url.Error
	if errors.As(err, &request) {
		err = request.Err
	}
	return err.Error()
}

// ---- counting answers ----

type answerCounts struct {
	mu    sync.Mutex
	count map[answer]int
}

func (t *answerCounts) add(a answer) {
	if len(a.body) > maxKeptBytes {
		a.body = a.body[:maxKeptBytes] + "…"
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count[a]++
}

func (t *answerCounts) total() int {
	total := 0
	for _, n := range t.count {
		total += n
	}
	return total
}

// No extra field and no other spacing: the contract promises exact bodies, so equal bodies can be counted.
var acceptedBody = regexp.MustCompile(`^\{"balance":-?[0-9]+\}$`)

const refusedBody = `{"error":"Insufficient funds"}`

func (t *answerCounts) figures(distinct bool) figures {
	var f figures
	if !distinct {
		f.repeated = notCounted
	}
	for a, n := range t.count {
		switch {
		case a.status == http.StatusOK && acceptedBody.MatchString(a.body):
			f.accepted += n
			if distinct {
				f.repeated += n - 1
			}
		case a.status == http.StatusConflict && a.body == refusedBody:
			f.refused += n
		case a.status == http.StatusServiceUnavailable: // the change was certainly not made
			f.gaveUp += n
		case a.status == 0, a.status == http.StatusGatewayTimeout: // it may have been made
			f.unknown += n
		default:
			f.other += n
		}
	}
	return f
}

// write appends a part of responses.log: counts by status, the answers that came more than once (the most frequent
// first), and the number of answers that came once.
func (t *answerCounts) write(w io.Writer, heading string) error {
	byStatus := map[int]int{}
	var repeated []answer
	once := 0
	for a, n := range t.count {
		byStatus[a.status] += n
		if n == 1 {
			once++
		} else {
			repeated = append(repeated, a)
		}
	}
	var statuses []int
	for status := range byStatus {
		statuses = append(statuses, status)
	}
	sort.Ints(statuses)
	sort.Slice(repeated, func(i, j int) bool { return t.comesBefore(repeated[i], repeated[j]) })

	out := bufio.NewWriter(w) // it keeps its first error for Flush
	fmt.Fprintf(out, "== %s ==\n", heading)
	for _, status := range statuses {
		fmt.Fprintf(out, "%8d × %s\n", byStatus[status], statusName(status))
	}
	fmt.Fprintln(out, "came more than once:")
	for _, a := range repeated {
		fmt.Fprintf(out, "%8d × %s %s\n", t.count[a], statusName(a.status), printable(a.body))
	}
	fmt.Fprintf(out, "came once:\n%8d\n\n", once)
	return out.Flush()
}

// comesBefore orders by count, then by balance downwards: 9998 before 9996, 10000 before 9998.
func (t *answerCounts) comesBefore(a, b answer) bool {
	switch {
	case t.count[a] != t.count[b]:
		return t.count[a] > t.count[b]
	case a.status != b.status:
		return a.status < b.status
	case len(a.body) != len(b.body):
		return len(a.body) > len(b.body)
	}
	return a.body > b.body
}

func statusName(status int) string {
	if status == 0 {
		return "no answer"
	}
	return strconv.Itoa(status)
}

// printable keeps a body on one line of valid UTF-8.
func printable(body string) string {
	unprintable := func(r rune) bool { return !unicode.IsPrint(r) }
	switch {
	case body == "":
		return "(empty)"
	case !utf8.ValidString(body), strings.IndexFunc(body, unprintable) >= 0:
		return strconv.Quote(body)
	}
	return body
}
