"""Events over HTTP, a durable row before each answer: callvault beside FastAPI with sqlite3, and
beside what a bare writer could do that commits as many rows at once as there are connections."""

import json
import os
import pathlib
import re
import sqlite3
import subprocess
import tempfile
import urllib.request

from parts import BIN, HERE, MADE, TMP, Cost, cpu_s, interleaved, median, peak_mib, running, wait_for
from stores import callvault, free_ports

CONNECTIONS = [1, 16, 64, 256]
SECONDS = 4


def as_it_is(rounds: int) -> None:
    measure(rounds, "the disk as it is", {})


def slow(rounds: int) -> None:
    shim = {"LD_PRELOAD": str(MADE / "slow_sync.so"), "SLOW_SYNC_US": "4000"}
    measure(rounds, "4 ms added to each sync", shim)


def measure(rounds: int, disk: str, env: dict[str, str]) -> None:
    print(f"\nEvents, {disk} (load {os.getloadavg()[0]:.1f})\n")
    print("| connections | | events/s | callvault | p99 ms | CPU µs each | peak MiB | one-row commits/s |")
    print("|---|---|---|---|---|---|---|---|")
    for connections in CONNECTIONS:
        commits = []

        def ours(nth: int) -> Cost:
            commits.append(bare(env, rows=1))
            archive = pathlib.Path(tempfile.mkdtemp(dir=TMP))
            store = f'kind = "directory"\npath = "{archive}"\n'
            with callvault(store, env=env) as service:
                url = f"http://{service.hook[0]}:{service.hook[1]}{service.path('hq')}"
                return posted(url, connections, service.pid, service.index, "delivery")

        parties = {
            "callvault": ours,
            "FastAPI + sqlite3": lambda nth: fastapi(connections, env),
            "a bare writer": lambda nth: bare(env, rows=connections),
        }
        costs = interleaved(rounds, parties)
        one_row = f"{median(commits[1:], lambda cost: cost.rate):.0f}"
        for name, theirs in costs.items():
            rates = sorted(cost.rate for cost in theirs)
            ratio = median(costs["callvault"], lambda cost: cost.rate) / median(theirs, lambda cost: cost.rate)
            each = median(theirs, lambda cost: cost.cpu_s / cost.units * 1e6)
            p99, peak = median(theirs, lambda cost: cost.p99_ms), max(cost.peak_mib for cost in theirs)
            print(
                f"| {connections} | {name} | {median(theirs, lambda cost: cost.rate):.0f} "
                f"({rates[0]:.0f}–{rates[-1]:.0f}) | {ratio:.2f} × | {p99:.1f} | {each:.0f} "
                f"| {peak:.0f} | {one_row} |",
                flush=True,
            )


def posted(url: str, connections: int, pid: int, index: pathlib.Path, table: str) -> Cost:
    """Posts for a while; what was answered must be in the index."""
    before = cpu_s(pid)
    command = ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "--latency", "--timeout=30s",
               "-s", HERE / "post.lua", url]  # fmt: skip
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    spent, peak = cpu_s(pid) - before, peak_mib(pid)
    if "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(said)
    found = re.search(r"(\d+) requests in ([\d.]+)s", said)
    answered, seconds = int(found[1]), float(found[2])
    reader = sqlite3.connect(f"file:{index}?mode=ro", uri=True)
    logged = reader.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    if logged < answered:
        raise RuntimeError(f"{answered} events were answered and {logged} logged")
    return Cost(answered, seconds, spent, peak, p99(said))


def p99(said: str) -> float:
    number, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)\b", said).groups()
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def fastapi(connections: int, env: dict[str, str]) -> Cost:
    directory = pathlib.Path(tempfile.mkdtemp(dir=TMP))
    port = free_ports(1)[0]
    command = [
        BIN / "uvicorn", "--app-dir", HERE, "--host", "127.0.0.1", "--port", str(port),
        "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning",
        "python_hook:app",
    ]  # fmt: skip
    index = directory / "index.sqlite"
    env = {**os.environ, **env, "INDEX": str(index), "PYTHONDONTWRITEBYTECODE": "1"}
    url = f"http://127.0.0.1:{port}/hook"
    with running(command, directory / "log", env=env, stdout=subprocess.DEVNULL) as child:
        wait_for("FastAPI", lambda: is_up(url))
        return posted(url, connections, child.pid, index, "event")


def is_up(url: str) -> bool:
    try:
        urllib.request.urlopen(urllib.request.Request(url, b"{}", method="POST"), timeout=1)
        return True
    except OSError:
        return False


def bare(env: dict[str, str], rows: int) -> Cost:
    """A process that does nothing but commit so many rows at once, for two seconds."""
    directory = pathlib.Path(tempfile.mkdtemp(dir=TMP))
    said = subprocess.run(
        [BIN / "python", HERE / "python_writer.py", directory / "index.sqlite", str(rows)],
        check=True, capture_output=True, text=True, env={**os.environ, **env},
    )  # fmt: skip
    return Cost(**json.loads(said.stdout))
