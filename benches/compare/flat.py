"""An hour of calls at a steady pace, and whether anything of callvault grows meanwhile.

Never here: a limit to what may grow; the slopes are for people to read.
"""

import dataclasses
import os
import pathlib
import sqlite3
import statistics
import time

import boto3

from calls import Calls, Posting, hundredths
from parts import MADE, wait_for
from stores import ACCESS, BUCKET, SECRET, bucket_settings, callvault, seaweedfs

EVENTS_PER_S = 50
MEAN_BYTES = 60_000
EVERY_S, WARM_UP_S = 10, 300
WAIT_MAX_S = 600
AS_SHIPPED = ""  # no setting but the defaults


@dataclasses.dataclass
class Sample:
    """In the units of the table."""

    minutes: float
    resident_mib: float
    anonymous_mib: float
    files: int
    threads: int
    log_mib: float
    spool_mib: float
    pending: int


SHOWN = {
    "resident MiB": "resident_mib",
    "of it not of files": "anonymous_mib",
    "open files": "files",
    "threads": "threads",
    "write-ahead log MiB": "log_mib",
    "spool MiB": "spool_mib",
    "pending": "pending",
}


def flat(minutes: float) -> None:
    calls = Calls("2023-03-07 08:00", MEAN_BYTES)
    with seaweedfs() as (endpoint, _), calls.served() as source:
        store = bucket_settings(endpoint, "flat/")
        with callvault(store, source, concurrency=4, archive=AS_SHIPPED) as service:
            index = sqlite3.connect(f"file:{service.index}?mode=ro", uri=True)
            loads = []
            with Posting(service, calls, EVENTS_PER_S) as posting:
                samples = list(sampled(service, index, minutes, loads))
            wait_for("the last recordings", lambda: count(index, "pending") == 0, WAIT_MAX_S)
            archived = count(index, "archived")
            stored = objects(endpoint)
            space(index, archived)
    write(samples)
    events = len(posting.took_ms)
    print(f"\n{minutes:g} minutes at {EVENTS_PER_S} events/s, SeaweedFS (load {said(loads)})\n")
    table(samples, min(WARM_UP_S / 60, minutes / 3))
    took_ms = hundredths(posting.took_ms)
    print(
        f"\n{events} events, each answered 200 (p50 {took_ms[49]:.1f}, p99 {took_ms[98]:.1f} ms); of "
        f"{posting.announced} recordings announced {archived} are archived, and the store holds "
        f"{stored} objects, a recording and a manifest each: {2 * archived}."
    )


def sampled(service, index, minutes: float, loads: list[float]):
    began = time.monotonic()
    for nth in range(int(minutes * 60 / EVERY_S) + 1):
        time.sleep(max(0, began + nth * EVERY_S - time.monotonic()))
        loads.append(os.getloadavg()[0])
        yield sample(service, index, (time.monotonic() - began) / 60)


def sample(service, index, minutes: float) -> Sample:
    process = pathlib.Path(f"/proc/{service.pid}")
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    mib = lambda name: int(status[name].split()[0]) / 1024
    data = service.index.parent
    return Sample(
        minutes=minutes,
        resident_mib=mib("VmRSS"),
        anonymous_mib=mib("RssAnon"),
        files=len(os.listdir(process / "fd")),
        threads=int(status["Threads"]),
        log_mib=(data / "index.sqlite-wal").stat().st_size / 2**20,
        spool_mib=sum(map(size, (data / "spool").rglob("*"))) / 2**20,
        pending=count(index, "pending"),
    )


def size(path: pathlib.Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except FileNotFoundError:
        return 0  # it has just been archived


def count(index, state: str) -> int:
    sql = "SELECT count(*) FROM recording WHERE state = ?"
    return index.execute(sql, [state]).fetchone()[0]


def space(index, recordings: int) -> None:
    sql = "SELECT name, sum(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC"
    parts = [(name, size / recordings) for name, size in index.execute(sql)]
    print(f"\nThe index has {sum(size for _, size in parts):.0f} bytes a recording with its events:\n")
    print("| part | bytes a recording |\n|---|---|")
    for name, size in parts[:14]:
        print(f"| {name} | {size:.0f} |")
    print(f"| {len(parts[14:])} others | {sum(size for _, size in parts[14:]):.0f} |")


def objects(endpoint: str) -> int:
    client = boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1",
        aws_access_key_id=ACCESS, aws_secret_access_key=SECRET,
    )  # fmt: skip
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="flat/hq/")
    return sum(page.get("KeyCount", 0) for page in pages)


def table(samples: list[Sample], warm_up_minutes: float) -> None:
    """A slope is that of the line with the least squares through all samples after the warm-up."""
    warm = [sample for sample in samples if sample.minutes >= warm_up_minutes]
    print(f"| | at first | after {warm_up_minutes:.3g} min | at last | most | an hour adds |")
    print("|---|---|---|---|---|---|")
    for name, field in SHOWN.items():
        figure = lambda sample: getattr(sample, field)
        hours = [sample.minutes / 60 for sample in warm]
        slope = statistics.linear_regression(hours, list(map(figure, warm))).slope
        print(
            f"| {name} | {figure(samples[0]):.4g} | {figure(warm[0]):.4g} | {figure(samples[-1]):.4g} "
            f"| {max(map(figure, samples)):.4g} | {slope:+.2f} |"
        )


def write(samples: list[Sample]) -> None:
    names = [field.name for field in dataclasses.fields(Sample)]
    rows = [",".join(f"{getattr(sample, name):.4f}" for name in names) for sample in samples]
    (MADE / "flat.csv").write_text("\n".join([",".join(names), *rows, ""]))


def said(loads: list[float]) -> str:
    return f"{min(loads):.1f} to {max(loads):.1f}, median {statistics.median(loads):.1f}"
