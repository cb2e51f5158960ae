#!/usr/bin/env python3
"""Mutates the files that concurrency-lab reads, and checks that no mutant does harm.

Each kind of file (history, run.json, routes, explore, spec, .env) is changed at random, and the program reads the mutant. A mutant may be
refused. It must not end the program by a panic or a signal, take more than 10 s or 200 MB, or bring a control character to standard
output or standard error. Mutants of run.json also go through the pages of a server.

    scripts/mutate_files.py --program target/release/concurrency-lab --count 4000 --seed 1

The same seed gives the same mutants of the files in the repository. A run makes the history and its run.json first; with DATABASE_URL
it uses that database.
"""

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
SECONDS_MAX = 10
MEGABYTES_MAX = 200
# A mutant is at most so long: longer files are refused by their length, which other tests show.
BYTES_MAX = 1 << 20

TOKENS = [
    b"\x1b]0;title\x07", b"\x1b[2J", b"\xc2\x9b2J", b"\r", b"\x00", b"\x7f", "\u202e".encode(), "\u2028".encode(), b"\xff\xfe",
    b"{" * 200, b"[" * 5000, b"]", b"}", b'"', b"'''", b'"""', b"\\", b"\\u0000", b"\\ud800", b"null", b"true", b"{}", b"[]", b"-1", b"0",
    b"1e308", b"-9223372036854775808", b"9223372036854775807", b"18446744073709551615", b"340282366920938463463374607431768211456",
    b"NaN", b"0.0000001", b"users/1", b"events/1", b"$", b"${HOME}", b"${", b"{A.read.balance}", b"{user}", b"=", b"#", b"\n", b",",
]


def mutate(random_source, seed_text, others):
    """A mutant: the seed after a few random changes."""
    text = bytearray(seed_text)
    for _ in range(random_source.choice([1, 1, 1, 2, 3, 8])):
        at = random_source.randrange(len(text) + 1)
        length = random_source.choice([1, 1, 2, 8, 64, 512])
        kind = random_source.randrange(10)
        if kind == 0 and text:
            text[min(at, len(text) - 1)] = random_source.randrange(256)
        elif kind == 1:
            del text[at : at + length]
        elif kind == 2:
            text[at:at] = random_source.choice(TOKENS)
        elif kind == 3:
            text[at:at] = text[at : at + length] * random_source.choice([2, 10, 1000])
        elif kind == 4:
            del text[at:]
        elif kind == 5:
            numbers = list(re.finditer(rb"-?\d+(\.\d+)?", text))
            if numbers:
                number = random_source.choice(numbers)
                text[number.start() : number.end()] = random_source.choice(TOKENS)
        elif kind == 6:
            strings = list(re.finditer(rb'"[^"\n]*"', text))
            if strings:
                string = random_source.choice(strings)
                text[string.start() + 1 : string.end() - 1] = random_source.choice(TOKENS + [b"x" * 100_000])
        elif kind == 7:
            lines = text.split(b"\n")
            one, other = random_source.randrange(len(lines)), random_source.randrange(len(lines))
            lines[one], lines[other] = lines[other], lines[one]
            text = bytearray(b"\n".join(lines))
        elif kind == 8:
            lines = text.split(b"\n")
            one = random_source.randrange(len(lines))
            lines[one : one + 1] = [lines[one]] * random_source.choice([0, 2, 100])
            text = bytearray(b"\n".join(lines))
        else:
            other = random_source.choice(others)
            begin = random_source.randrange(len(other) + 1)
            text[at:at] = other[begin : begin + length]
    return bytes(text[:BYTES_MAX])


def active(text):
    """The characters in a text that a terminal may obey."""
    shown = text.decode("utf-8", "replace")
    direction = "\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"
    obeyed = (letter for letter in shown if (ord(letter) < 32 and letter not in "\n\t") or 127 <= ord(letter) < 160 or letter in direction)
    return sorted({f"U+{ord(letter):04X}" for letter in obeyed})


def run(command, folder, environment):
    """Runs a command: its exit status, output, errors, seconds and megabytes."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        began = time.monotonic()
        process = subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=errors)
        status, usage = None, None
        while status is None:
            pid, ended, used = os.wait4(process.pid, os.WNOHANG)
            if pid:
                status, usage = os.waitstatus_to_exitcode(ended), used
            elif time.monotonic() - began > SECONDS_MAX:
                process.kill()
                _, ended, usage = os.wait4(process.pid, 0)
                status = os.waitstatus_to_exitcode(ended)
            else:
                time.sleep(0.001)
        process.returncode = status
        seconds = time.monotonic() - began
        texts = []
        for file in (out, errors):
            file.seek(0)
            texts.append(file.read())
        return status, texts[0], texts[1], seconds, usage.ru_maxrss / 1024


def faults(status, out, errors, seconds, megabytes):
    """What is wrong with how the program ended."""
    found = []
    if status not in (0, 1, 2, 3, 4) or b"panicked at" in errors:
        found.append(f"exit status {status}")
    if seconds > SECONDS_MAX:
        found.append(f"{seconds:.1f} s")
    if megabytes > MEGABYTES_MAX:
        found.append(f"{megabytes:.0f} MB")
    for name, text in (("output", out), ("errors", errors)):
        if active(text):
            found.append(f"control characters in its {name}: {', '.join(active(text))}")
        if len(text) > BYTES_MAX * 4:
            found.append(f"{len(text)} bytes of {name}")
    return found


def make_run(program, folder, environment):
    """Makes a small run, and returns its folder."""
    arguments = ["run", "mixed", "--approach=naive,pessimistic", "--requests=60", "--concurrency=4", f"--out={folder}"]
    subprocess.run([program, *arguments], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False)
    runs = [path for path in Path(folder).iterdir() if (path / "run.json").exists()]
    if not runs:
        sys.exit("the run that makes the seeds has failed")
    return runs[0]


def check_pages(program, runs, environment):
    """Asks a server for every page about these runs. Returns what is wrong."""
    command = [program, "serve", "--listen=127.0.0.1:0", f"--runs={runs}"]
    command += ["--attached"] if "DATABASE_URL" in environment else ["--temporary"]
    found = []
    server = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        url = next(word for word in server.stdout.readline().decode().split() if word.startswith("http://"))
        ids = sorted(path.name for path in Path(runs).iterdir())
        paths = ["/", "/lab/runs", "/lab/approaches/naive"] + [f"/lab/runs/{name}" for name in ids]
        paths += [f"/lab/runs/compare?one={ids[0]}&other={name}" for name in ids[1:]]
        for path in paths:
            try:
                urllib.request.urlopen(url + path, timeout=SECONDS_MAX).read()
            except urllib.error.HTTPError as refused:
                if refused.code >= 500:
                    found.append(f"{path}: {refused.code}")
            except (OSError, TimeoutError) as error:
                found.append(f"{path}: {error}")
        status = Path(f"/proc/{server.pid}/status")
        if status.exists():
            megabytes = int(re.search(r"VmHWM:\s+(\d+)", status.read_text()).group(1)) / 1024
            print(f"pages: {len(paths)} requests, {megabytes:.0f} MB")
            if megabytes > MEGABYTES_MAX:
                found.append(f"the server took {megabytes:.0f} MB")
    finally:
        server.stdin.close()
        server.wait(timeout=30)
    return found


def main():
    """Makes and checks the mutants of each kind of file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="the program under test")
    parser.add_argument("--count", type=int, default=4000, help="mutants of each kind of file")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="one kind of file")
    parser.add_argument("--keep", help="the folder for mutants that do harm; a new one by default")
    options = parser.parse_args()
    program = str(Path(options.program).resolve())
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LAB_")}
    with_database = dict(kept)
    without_database = {name: value for name, value in kept.items() if name != "DATABASE_URL"}
    harmful = []
    with tempfile.TemporaryDirectory(prefix="concurrency-lab-mutants-") as folder:
        folder = Path(folder)
        made = make_run(program, folder / "seeds", with_database)
        nowhere = "postgres://127.0.0.1:9/nowhere"
        examples = sorted((REPOSITORY / "examples/explore").glob("*.toml")) + sorted((REPOSITORY / "tests/explore/cases").glob("*.toml"))
        kinds = {
            "history": ([made / "history.jsonl"], "history.jsonl", ["check", "history.jsonl"]),
            "run": ([made / "run.json"], "run.json", ["compare", str(made), "run.json"]),
            "routes": (
                [REPOSITORY / "examples/foreign/routes.toml", REPOSITORY / "src/lab/routes/ours.toml"],
                "routes.toml",
                ["run", "--target=http://127.0.0.1:9", "--routes=routes.toml"],
            ),
            "explore": (examples, "file.toml", ["explore", "file.toml", f"--database-url={nowhere}"]),
            "spec": (
                sorted((REPOSITORY / "tests/explore/specs").glob("*.spec")),
                "file.spec",
                ["explore", "file.spec", f"--database-url={nowhere}"],
            ),
            "env": ([REPOSITORY / ".env.example"], ".env", ["run", "--target=http://127.0.0.1:9"]),
        }
        keep = Path(options.keep or tempfile.mkdtemp(prefix="concurrency-lab-harmful-"))
        for kind, (paths, name, arguments) in kinds.items():
            if options.only not in (None, kind):
                continue
            random_source = random.Random(f"{options.seed} {kind}")
            seeds = [path.read_bytes() for path in paths]
            work = folder / kind
            work.mkdir()
            slowest, largest, refused = 0.0, 0.0, 0
            for number in range(options.count):
                mutant = mutate(random_source, random_source.choice(seeds), seeds)
                (work / name).write_bytes(mutant)
                ended = run([program, *arguments], work, without_database)
                slowest, largest, refused = max(slowest, ended[3]), max(largest, ended[4]), refused + (ended[0] == 2)
                wrong = faults(*ended)
                if wrong:
                    path = keep / f"{kind}-{number}"
                    path.write_bytes(mutant)
                    harmful.append(f"{path}: {'; '.join(wrong)}")
                if kind == "run" and number < 60:
                    page = folder / "pages" / f"{number:04}"
                    page.mkdir(parents=True)
                    (page / "run.json").write_bytes(mutant)
            print(f"{kind}: {options.count} mutants, {refused} refused with exit code 2, slowest {slowest:.2f} s, at most {largest:.0f} MB")
        if (folder / "pages").exists():
            shutil.copytree(made, folder / "pages" / "0000-unharmed")
            harmful += check_pages(program, folder / "pages", with_database)
    for line in harmful:
        print(f"HARM {line}")
    sys.exit(1 if harmful else 0)


if __name__ == "__main__":
    main()
