"""callvault beside what one would take instead: interleaved rounds, ratios of medians.

`benches/compare/run [pipeline|sink|large|ingest|slow]... [--rounds N]`: all by default. Prints the
tables of docs/performance.md. Never here: an assertion; machines differ.
"""

import argparse
import datetime
import os
import shutil

import archiving
import ingest
from parts import TMP


def main() -> None:
    what = {
        "pipeline": archiving.pipeline,
        "sink": archiving.sink,
        "large": archiving.large,
        "ingest": ingest.as_it_is,
        "slow": ingest.slow,
    }
    parser = argparse.ArgumentParser(prog="benches/compare/run")
    parser.add_argument("what", nargs="*", choices=[*what, []], metavar="|".join(what))
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    shutil.rmtree(TMP, ignore_errors=True)
    TMP.mkdir(parents=True)
    today = datetime.date.today()
    print(f"{today}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, rounds: {given.rounds}")
    try:
        for name in given.what or what:
            what[name](given.rounds)
    finally:
        shutil.rmtree(TMP, ignore_errors=True)


if __name__ == "__main__":
    main()
