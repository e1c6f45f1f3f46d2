"""callvault beside what one would take instead: interleaved rounds, ratios of medians.

`benches/compare/run [pipeline|sink|large|ingest|slow|backlog|flat]... [--rounds N] [--minutes N]`: all
but `flat` by default, which takes an hour. `backlog` and `flat` measure callvault beside itself.
Prints the tables of docs/performance.md. Never here: an assertion; machines differ.
"""

import argparse
import datetime
import os
import shutil

import archiving
import backlog
import flat
import ingest
from parts import TMP


def main() -> None:
    what = {
        "pipeline": archiving.pipeline,
        "sink": archiving.sink,
        "large": archiving.large,
        "ingest": ingest.as_it_is,
        "slow": ingest.slow,
        "backlog": backlog.backlog,
        "flat": lambda rounds: flat.flat(given.minutes),
    }
    by_default = [name for name in what if name != "flat"]
    parser = argparse.ArgumentParser(
        prog="benches/compare/run",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", nargs="*", choices=[*what, []], metavar="|".join(what))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=60, help="of flat")
    given = parser.parse_args()
    shutil.rmtree(TMP, ignore_errors=True)
    TMP.mkdir(parents=True)
    today = datetime.date.today()
    print(f"{today}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, rounds: {given.rounds}")
    try:
        for name in given.what or by_default:
            what[name](given.rounds)
    finally:
        shutil.rmtree(TMP, ignore_errors=True)


if __name__ == "__main__":
    main()
