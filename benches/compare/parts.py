"""What the measurements are made of: processes with their costs, and tables. Never here: what is
measured."""

import contextlib
import dataclasses
import os
import pathlib
import signal
import statistics
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = ROOT / "benches/compare"
MADE = ROOT / "target/compare"
TMP = MADE / "tmp"
BIN = MADE / "venv/bin"
# Another build, to compare with.
CALLVAULT = pathlib.Path(os.environ.get("CALLVAULT", ROOT / "target/release/callvault"))
PEERS = MADE / "peers"
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass
class Cost:
    """Of one round of one party."""

    units: int
    seconds: float
    cpu_s: float
    peak_mib: float
    p99_ms: float = 0.0

    @property
    def rate(self) -> float:
        return self.units / self.seconds


def cpu_s(pid: int) -> float:
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def peak_mib(pid: int) -> float:
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0  # it has just ended


@contextlib.contextmanager
def running(command, log: pathlib.Path, **kwargs):
    """A server; its first line of output, if any is wanted, is read by the caller."""
    with log.open("a") as errors:
        child = subprocess.Popen(command, stderr=errors, text=True, **kwargs)
    try:
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


@contextlib.contextmanager
def peer(*words, port: int = 0):
    """One of the servers in peers/; gives its address."""
    command = [PEERS, *map(str, [port, *words])]
    with running(command, TMP / "peers.log", stdout=subprocess.PIPE) as child:
        yield f"127.0.0.1:{int(child.stdout.readline())}"


def run_once(units: int, command, env=None) -> Cost:
    """A program from its start to its end."""
    with tempfile.TemporaryFile("w+") as said:
        began = time.monotonic()
        child = subprocess.Popen(command, env=env, stdout=said, stderr=subprocess.STDOUT)
        peak = 0.0
        while True:
            with contextlib.suppress(FileNotFoundError):
                peak = max(peak, peak_mib(child.pid))
            pid, status, used = os.wait4(child.pid, os.WNOHANG)
            if pid:
                break
            time.sleep(0.01)
        seconds = time.monotonic() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        if child.returncode != 0:
            raise RuntimeError(f"{command[0]} failed:\n{said.read()[-2000:]}")
    return Cost(units, seconds, used.ru_utime + used.ru_stime, peak)


def wait_for(what: str, is_so, seconds: float = 60.0):
    end = time.monotonic() + seconds
    while not (found := is_so()):
        if time.monotonic() > end:
            raise RuntimeError(f"waited too long for {what}")
        time.sleep(0.02)
    return found


def median(costs, figure) -> float:
    return statistics.median(figure(cost) for cost in costs)


def interleaved(rounds: int, parties, warm_up: int = 1):
    """Each party once a round, in turn. The first round warms up and is not counted."""
    costs = {name: [] for name in parties}
    for nth in range(rounds + warm_up):
        for name, party in parties.items():
            cost = party(nth)
            if nth >= warm_up:
                costs[name].append(cost)
    return costs


def archive_table(title: str, unit: str, costs, scale: float = 1.0, per: int = 1000) -> None:
    """Rates are medians with the smallest and the largest; × is callvault's part of it."""
    print(f"\n{title} (load {os.getloadavg()[0]:.1f})\n")
    print(f"| | {unit}/s | callvault | CPU s per {per:,} | callvault | peak MiB |")
    print("|---|---|---|---|---|---|")
    ours = costs["callvault"]
    rate = lambda cost: cost.rate * scale
    cpu = lambda cost: cost.cpu_s / cost.units * per
    for name, theirs in costs.items():
        rates = sorted(map(rate, theirs))
        print(
            f"| {name} | {median(theirs, rate):.0f} ({rates[0]:.0f}–{rates[-1]:.0f}) "
            f"| {median(ours, rate) / median(theirs, rate):.2f} × "
            f"| {median(theirs, cpu):.2f} | {median(ours, cpu) / median(theirs, cpu):.2f} × "
            f"| {max(cost.peak_mib for cost in theirs):.0f} |",
            flush=True,
        )
