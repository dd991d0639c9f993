#!/usr/bin/env python3
"""Reports the results of run.py, Convoke next to Redis, and checks them.

    report.py [--names] [--record] OUTCOME.json …

Takes outcomes of Redis and of Convoke, of any suite; without one of Redis, the counts
in counts.toml are shown. Exits with 1 if a test that is not excluded failed, if fewer tests ran
than in counts.toml, if a test that passes on Redis was neither run nor excluded, or if
exclusions.toml names a test that does not exist.
"""

import argparse
import json
import sys
import tomllib
from collections import Counter
from pathlib import Path

from run import excluded_of, exclusions

HERE = Path(__file__).resolve().parent
COUNTS = HERE / "counts.toml"
DETAIL_CHARACTERS_MAX = 300


def main():
    parser = argparse.ArgumentParser(description="Reports the results of test suites.")
    parser.add_argument("outcomes", nargs="+", type=Path)
    parser.add_argument("--names", action="store_true", help="name each excluded test")
    parser.add_argument("--record", action="store_true", help="write what ran into counts.toml")
    parser.add_argument("--page", type=Path, help="write the results to this page, in Markdown")
    options = parser.parse_args()
    outcomes = [json.loads(path.read_text(encoding="utf-8")) for path in options.outcomes]
    groups = exclusions()
    counts = tomllib.loads(COUNTS.read_text(encoding="utf-8")) if COUNTS.exists() else {}
    redis = {outcome["suite"]: outcome["units"] for outcome in outcomes if outcome["target"] == "redis"}
    runs = [outcome for outcome in outcomes if outcome["target"] == "convoke"]

    report = Report()
    for run in runs:
        table(report, run, redis.get(run["suite"]), counts.get(run["suite"], {}), groups_of(groups, run))
    for run in runs:
        reasons(run, groups_of(groups, run), options.names)
    left_out({run["suite"] for run in runs})
    if options.record:
        record(runs, redis, counts)
    if options.page:
        options.page.write_text(page(runs, redis, groups), encoding="utf-8")
    report.print_problems()
    sys.exit(1 if report.problems else 0)


class Report:
    """Problems, printed at the end."""

    def __init__(self):
        self.problems = []

    def problem(self, *words):
        self.problems.append(": ".join(words))

    def print_problems(self):
        if self.problems:
            print(f"{len(self.problems)} problems:")
        for problem in self.problems:
            print(f"  {problem}")


def groups_of(groups, run):
    """Reasons that apply to this run: each reason, with the excluded names by unit."""
    by_reason = {}
    for unit, result in run["units"].items():
        members = result.get("members", run["members"])
        for reason, names in excluded_of(groups, run["suite"], unit, members):
            by_reason.setdefault(reason, {}).setdefault(unit, []).extend(names)
    return by_reason.items()


def bare(suite, name):
    """A test's name in the form of exclusions.toml."""
    return name.split("[", 1)[0] if suite == "redis-py" else name


def table(report, run, on_redis, counts, groups):
    suite = run["suite"]
    excluded_names = {}
    for _, units in groups:
        for unit, names in units.items():
            excluded_names.setdefault(unit, set()).update(names)
    print(f"{run['suite']}, through {run['members']} member(s)")
    print(f"  {'':38} {'Redis':>6} {'Convoke':>8} {'excluded':>9} {'failed':>7} {'seconds':>8}")
    sums = Counter()
    for unit, result in run["units"].items():
        ok, failed = result["ok"], result["failed"]
        names = excluded_names.get(unit, set())
        reference = on_redis and on_redis.get(unit)
        expected = len(reference["ok"]) if reference else counts.get(unit, {}).get("redis", 0)
        # Names may repeat: the suite runs some tests with several encodings of a value.
        excluded = len(result["excluded"])
        row = {"redis": expected, "ok": len(ok), "excluded": excluded, "failed": len(failed)}
        sums.update(row)
        print_row(unit, row, f"{result['seconds']:8.1f}")
        where = f"{run['suite']} {unit}"
        if result["trouble"]:
            report.problem(where, " ".join(result["trouble"].split())[:DETAIL_CHARACTERS_MAX])
        for name, detail in failed.items():
            report.problem(where, f"{name}", " ".join(detail.split())[:DETAIL_CHARACTERS_MAX])
        ran, least = len(ok) + len(failed), counts.get(unit, {}).get("least", 1)
        if ran < least:
            report.problem(where, f"{ran} tests ran; expected at least {least}")
        # A test within an excluded one is seen only on Redis.
        known = [*seen(result), *(seen(reference) if reference else [])]
        for name in sorted(names - {bare(suite, name) for name in known}):
            report.problem(where, f"exclusions.toml names a test that does not exist: {name}")
        if reference:
            for name in lost(suite, reference["ok"], result, names):
                report.problem(where, f"passes on Redis, but did not run: {name}")
        if run["all"]:
            for name in sorted({bare(suite, name) for name in ok} & names):
                print(f"      passes, but is excluded: {name}")
    print_row("all", sums, "")
    print()


def print_row(name, row, end):
    print(f"  {name:38} {row['redis']:6} {row['ok']:8} {row['excluded']:9} {row['failed']:7} {end}")


def seen(result):
    return [*result["ok"], *result["failed"], *result["excluded"], *result["ignored"]]


def lost(suite, on_redis, result, excluded):
    """Tests that pass on Redis and were not run, once for each missing run."""
    failed = set(result["failed"])
    missing = Counter(on_redis) - Counter(result["ok"]) - Counter(result["excluded"])
    return [name for name in missing if name not in failed and bare(suite, name) not in excluded]


def reasons(run, groups, with_names):
    left = Counter()
    for unit, result in run["units"].items():
        for name in result["excluded"]:
            left[unit, bare(run["suite"], name)] += 1
    print(f"Excluded of {run['suite']}:")
    for reason, units in groups:
        names = [(unit, name) for unit, names in units.items() for name in names]
        number = sum(left[pair] for pair in names)
        print(f"  {number:4}  {reason}")
        if with_names:
            for unit, name in names:
                print(f"          {unit}: {name}")
    print()


def left_out_of(suite):
    """Units that are not run at all: each reason, with their names."""
    for file in sorted(HERE.glob("exclusions*.toml")):
        for group in tomllib.loads(file.read_text(encoding="utf-8")).get("left-out", []):
            for key in (suite, "newer") if suite in ("redis8", "valkey") else (suite,):
                if key in group:
                    yield group["reason"], " ".join(group[key].split())


def left_out(suites):
    print("Not run at all:")
    for suite in sorted(suites):
        for reason, units in left_out_of(suite):
            print(f"  {suite}: {reason}\n      {units}")
    print()


# What a suite is called on the page: its server, and how its tests are named there.
TITLES = {"redis8": "Redis 8", "valkey": "Valkey"}


def page(runs, redis, groups):
    """The results as a page: a table for each suite, the reasons of exclusions, and what is not run."""
    lines = ["# Results of the newer test suites", "", "Written by `cargo xtask suites --record`; see [README.md](README.md)."]
    for run in runs:
        title = TITLES.get(run["suite"], run["suite"])
        version = run.get("version", "")
        lines += ["", f"## {title} {version}".rstrip(), ""]
        lines += [f"| unit | members | passed by {title} | passed by Convoke | excluded | failed |"]
        lines += ["|---|--:|--:|--:|--:|--:|"]
        sums = Counter()
        for unit, result in run["units"].items():
            on_redis = redis.get(run["suite"], {}).get(unit)
            row = [len(on_redis["ok"]) if on_redis else 0]
            row += [len(result["ok"]), len(result["excluded"]), len(result["failed"])]
            sums.update(dict(enumerate(row)))
            lines.append(f"| {unit} | {result['members']} | {' | '.join(map(str, row))} |")
        lines.append(f"| all | | {' | '.join(str(sums[at]) for at in range(4))} |")
        lines += ["", "Excluded:", ""]
        left = Counter()
        for unit, result in run["units"].items():
            left.update((unit, name) for name in result["excluded"])
        for reason, units in groups_of(groups, run):
            named = {unit: [name for name in names if left[unit, name]] for unit, names in units.items()}
            count = sum(left[unit, name] for unit, names in named.items() for name in set(names))
            if count:
                where = ", ".join(f"{unit} ({len(names)})" for unit, names in named.items() if names)
                lines.append(f"- {count}: {reason} In {where}.")
        lines += ["", "Not run:", ""]
        lines += [f"- {units}: {reason}" for reason, units in left_out_of(run["suite"])]
    return "\n".join(lines) + "\n"


def record(runs, redis, counts):
    """Records the number of tests that pass on Redis, and of those that ran on Convoke."""
    for run in runs:
        on_redis = redis.get(run["suite"], {})
        old = counts.setdefault(run["suite"], {})
        for unit, result in run["units"].items():
            reference = len(on_redis[unit]["ok"]) if unit in on_redis else old.get(unit, {}).get("redis", 0)
            old[unit] = {"redis": reference, "least": len(result["ok"]) + len(result["failed"])}
    lines = ["# Number of tests that pass on Redis, and minimum that must run on Convoke; from report.py --record.\n"]
    for name, units in counts.items():
        lines.append(f'\n["{name}"]\n')
        lines += [f'"{unit}" = {{ redis = {of["redis"]}, least = {of["least"]} }}\n' for unit, of in units.items()]
    COUNTS.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
