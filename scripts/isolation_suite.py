#!/usr/bin/env python3
"""Runs PostgreSQL's own isolation suite through `concurrency-lab explore`, and compares the output with the expected one.

    scripts/isolation_suite.py [--source FOLDER] [--program FILE] [--only NAME,…]

The suite is in PostgreSQL's sources and not in this repository. On Debian the source package of the installed version is
downloaded into a temporary folder; elsewhere --source names a folder like src/test/isolation, with specs/ and expected/.

The specs are run with --trust-file: some alter the database's system catalogs or run VACUUM, which only a superuser may.

Prints, for each spec that differs, its permutations that differ and the first line that does. Exit codes: 0 all agree, 1 some differ,
2 usage, 3 the suite cannot be fetched or the program is missing.
"""

import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tarfile
import tempfile

SECONDS_MAX = 600

# The database and the options of the caller are not those of the comparison.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "DATABASE_URL" and not name.startswith("LAB_")}


def stop(message):
    print(f"isolation_suite: {message}", file=sys.stderr)
    sys.exit(3)


def output(*command, **options):
    try:
        return subprocess.run(
            command, check=True, text=True, stdout=subprocess.PIPE, timeout=SECONDS_MAX, **options
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        stop(f"{' '.join(map(str, command))}: {error}")


def fetch(scratch):
    """Downloads the source package of the installed PostgreSQL, and unpacks its isolation suite."""
    found = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${Version}\n", "postgresql-[0-9]*"], text=True, capture_output=True
    ).stdout.split("\n")
    servers = sorted(line.split() for line in found if re.fullmatch(r"postgresql-\d+ \S+", line))
    if not servers:
        stop("no Debian package of PostgreSQL is installed; name the suite with --source")
    package, version = servers[-1]
    codename = output("sh", "-c", ". /etc/os-release && echo $VERSION_CODENAME").strip()
    (scratch / "lists" / "partial").mkdir(parents=True)
    (scratch / "sources.list").write_text(
        f"deb-src http://deb.debian.org/debian {codename} main\n"
        f"deb-src http://deb.debian.org/debian-security {codename}-security main\n"
    )
    apt = [
        "apt-get", "-qq",
        "-o", f"Dir::Etc::sourcelist={scratch}/sources.list", "-o", "Dir::Etc::sourceparts=/dev/null",
        "-o", f"Dir::State::lists={scratch}/lists", "-o", f"Dir::Cache={scratch}",
    ]
    output(*apt, "update")
    output(*apt, "source", "--download-only", f"{package}={version}", cwd=scratch)
    with tarfile.open(next(scratch.glob("*.orig.tar.*"))) as archive:
        wanted = [member for member in archive.getmembers() if "/src/test/isolation/" in member.name]
        archive.extractall(scratch, members=wanted, filter="data")
    return next(scratch.glob("*/src/test/isolation")), f"{package} {version}"


def permutations(text):
    return text.split("\nstarting permutation: ")


def run(program, spec):
    """The output of a spec, and what went wrong, if anything did."""
    try:
        done = subprocess.run(
            [program, "explore", "--trust-file", spec], text=True, capture_output=True, timeout=SECONDS_MAX, errors="replace",
            env=ENVIRONMENT,
        )
    except subprocess.TimeoutExpired:
        return "", f"no end within {SECONDS_MAX} s"
    return done.stdout, done.stderr.strip() if done.returncode else ""


def compare(found, expected):
    """How many permutations agree, of how many, and the first line of each that does not."""
    ours, theirs = permutations(found), permutations(expected)
    differences = []
    if ours[0] != theirs[0] or len(ours) > len(theirs):
        differences.append(f"{ours[0]!r} and {len(ours) - 1} permutations, where {theirs[0]!r} and {len(theirs) - 1} are expected")
    for number, wanted in enumerate(theirs[1:], 1):
        got = ours[number] if number < len(ours) else ""
        if got.rstrip("\n") == wanted.rstrip("\n"):
            continue
        pairs = zip(got.split("\n") + [""], wanted.split("\n") + [""])
        first = next(((mine, other) for mine, other in pairs if mine != other), ("(more)", "(less)"))
        differences.append(f"permutation {number}: {first[0]!r} where {first[1]!r} is expected")
    return max(0, len(theirs) - 1 - len(differences)), len(theirs) - 1, differences


def judge(program, suite, spec):
    found, error = run(program, spec)
    variants = sorted((suite / "expected").glob(f"{spec.stem}.out")) + sorted(
        (suite / "expected").glob(f"{spec.stem}_[0-9].out")
    )
    results = [compare(found, variant.read_text(errors="replace")) for variant in variants]
    agreeing, of, differences = max(results, key=lambda result: result[0]) if results else (0, 0, ["no expected output"])
    return spec.stem, agreeing, of, differences + ([error] if error else [])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=pathlib.Path, help="a folder with specs/ and expected/")
    parser.add_argument("--program", default="target/release/concurrency-lab")
    parser.add_argument("--only", default="", help="names of specs, with commas between them")
    arguments = parser.parse_args()
    program = os.path.abspath(arguments.program)
    if not os.access(program, os.X_OK):
        stop(f"{program} is missing; run cargo build --release, or name it with --program")
    with tempfile.TemporaryDirectory() as folder:
        suite, version = (arguments.source, "--source") if arguments.source else fetch(pathlib.Path(folder))
        only = set(filter(None, arguments.only.split(",")))
        specs = sorted(spec for spec in (suite / "specs").glob("*.spec") if not only or spec.stem in only)
        if not specs:
            stop(f"there is no such spec in {suite}/specs")
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            results = list(pool.map(lambda spec: judge(program, suite, spec), specs))
    whole = [result for result in results if not result[3]]
    for name, agreeing, of, differences in results:
        if differences:
            print(f"{name}: {agreeing} of {of} permutations agree")
            print("".join(f"    {difference}\n" for difference in differences[:3]), end="")
    agreeing, of = sum(result[1] for result in results), sum(result[2] for result in results)
    print(f"{version}: {len(whole)} of {len(results)} specs agree, {agreeing} of {of} permutations")
    sys.exit(0 if len(whole) == len(results) else 1)


main()
