"""What a backlog costs: many recordings that wait, a PBX that is down, a store that was away.

Never here: another program; callvault is measured beside itself.
"""

import contextlib
import os
import socket
import sqlite3
import time

from archiving import announce
from calls import Calls, Posting, hundredths, url
from parts import Cost, cpu_s, interleaved, median, peak_mib, peer, wait_for
from stores import bucket_settings, callvault, free_ports

MEAN_BYTES = 60_000
FEW, MANY = 100, 100_000
MEASURED = 2_000
OF_DOWN = 1_000
OUTAGE, USUAL = 20_000, 5_000
EVENTS_PER_S, QUIET_S = 50, 30
LONG_S = 1_200


def backlog(rounds: int) -> None:
    calls = Calls("2023-03-07 08:00", MEAN_BYTES)
    names = [calls.call() for _ in range(MANY + 2 * MEASURED)]
    urls = [url(name) for name in names]
    claiming(rounds, calls, urls)
    one_down(rounds, calls, urls)
    outage(rounds, calls, urls)


def claiming(rounds: int, calls: Calls, urls: list[str]) -> None:
    def with_pending(pending: int) -> Cost:
        """The PBX is away while they are announced. Each that is archived makes room for another
        announcement, so that as many wait at the end as at the beginning."""
        port = free_ports(1)[0]
        archive = 'workers = 16\nwait_for_late_events = "1ms"\nretry = ["1s"]\n'
        with peer("sink") as store, serving(store, f"127.0.0.1:{port}", archive=archive) as service:
            announce(service, urls[:pending])
            index = Index(service)
            index.wait_until_known(pending)
            with peer("recordings", calls.directory, port=port):
                announced, edges = pending, []
                for until in MEASURED // 10, MEASURED + MEASURED // 10:
                    while (archived := index.count("archived")) < until:
                        more = urls[announced : pending + archived]
                        announce(service, more)
                        announced += len(more)
                        time.sleep(0.1)
                    edges.append((archived, cpu_s(service.pid)))
                (first, before), (last, after) = edges
                return Cost(last - first, index.seconds(first, last), after - before, peak_mib(service.pid))

    parties = {f"{FEW:,}": lambda _: with_pending(FEW), f"{MANY:,}": lambda _: with_pending(MANY)}
    costs = interleaved(rounds, parties, warm_up=0)
    rates(f"The rate with so many recordings pending, over {MEASURED:,}", costs)


def one_down(rounds: int, calls: Calls, urls: list[str]) -> None:
    def rate_of_other(of_down: int, down: str) -> Cost:
        archive = 'wait_for_late_events = "1ms"\n'
        with contextlib.ExitStack() as parts:
            store = parts.enter_context(peer("sink"))
            other = parts.enter_context(peer("recordings", calls.directory))
            service = parts.enter_context(serving(store, down, concurrency=4, archive=archive, other=other))
            index = Index(service)
            announce(service, urls[:of_down])
            index.wait_until_known(of_down)
            before = cpu_s(service.pid)
            announce(service, urls[:MEASURED], pbx="other")
            wait_for("the other PBX", lambda: index.count("archived") == MEASURED, LONG_S)
            seconds = index.seconds(1, MEASURED)
            return Cost(MEASURED - 1, seconds, cpu_s(service.pid) - before, peak_mib(service.pid))

    # It never accepts: connections are made, and nothing is said.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hanging = f"127.0.0.1:{silent.getsockname()[1]}"
        refusing = f"127.0.0.1:{free_ports(1)[0]}"
        parties = {
            "nothing": lambda _: rate_of_other(0, refusing),
            f"{OF_DOWN:,}, and it refuses connections": lambda _: rate_of_other(OF_DOWN, refusing),
            f"{OF_DOWN:,}, and it never answers": lambda _: rate_of_other(OF_DOWN, hanging),
        }
        costs = interleaved(rounds, parties, warm_up=0)
    rates("The rate of one PBX while another, which is down, has pending", costs)


def outage(rounds: int, calls: Calls, urls: list[str]) -> None:
    archive = 'workers = 16\nwait_for_late_events = "1ms"\nretry = ["1h"]\n'

    def posting(service, body) -> Cost:
        """What `body` costs, while events come."""
        with Posting(service, calls, EVENTS_PER_S) as events:
            cost = body()
        cost.p99_ms = hundredths(events.took_ms)[98]
        return cost

    def while_up(body) -> Cost:
        with peer("sink") as store, calls.served() as pbx:
            with serving(store, pbx, archive=archive) as service:
                return posting(service, lambda: body(service))

    def quiet(_) -> Cost:
        time.sleep(QUIET_S)
        return Cost(0, QUIET_S, 0, 0)

    def usual(service) -> Cost:
        announce(service, urls[:USUAL])
        return drained(service, USUAL)

    def after(_) -> Cost:
        """Each was tried in vain once, and has an hour to wait when the store is back."""
        port = free_ports(1)[0]
        with calls.served() as pbx, contextlib.ExitStack() as store:
            address = store.enter_context(peer("sink", port=port))
            with serving(address, pbx, archive=archive) as service:
                store.close()
                announce(service, urls[:OUTAGE])
                index = Index(service)
                index.wait_until_known(OUTAGE)
                tried = "SELECT count(*) FROM recording WHERE attempt > 0 AND lease_ms IS NULL"
                wait_for("the first tries", lambda: index.one(tried) == OUTAGE, LONG_S)
                store.enter_context(peer("sink", port=port))
                return posting(service, lambda: drained(service, OUTAGE))

    parties = {
        "no backlog": lambda _: while_up(quiet),
        f"{USUAL:,} announced at once": lambda _: while_up(usual),
        f"{OUTAGE:,} after an outage": after,
    }
    costs = interleaved(rounds, parties, warm_up=0)
    rates(f"The store was away; meanwhile {EVENTS_PER_S} events/s", costs, base=1, hook=True)


def drained(service, of: int) -> Cost:
    """From a tenth to nine tenths."""
    index, edges = Index(service), []
    for until in of // 10, of * 9 // 10:
        wait_for("the backlog", lambda: index.count("archived") >= until, LONG_S)
        edges.append((index.count("archived"), cpu_s(service.pid)))
    (first, before), (last, after) = edges
    return Cost(last - first, index.seconds(first, last), after - before, peak_mib(service.pid))


def serving(store: str, pbx: str, **settings):
    return callvault(bucket_settings(f"http://{store}", ""), pbx, **settings)


class Index:
    def __init__(self, service):
        self.reader = sqlite3.connect(f"file:{service.index}?mode=ro", uri=True)

    def one(self, sql: str, *key):
        return self.reader.execute(sql, key).fetchone()[0]

    def count(self, state: str) -> int:
        return self.one("SELECT count(*) FROM recording WHERE state = ?", state)

    def wait_until_known(self, recordings: int) -> None:
        known = "SELECT count(*) FROM recording"
        wait_for("the announcements", lambda: self.one(known) >= recordings, LONG_S)

    def seconds(self, first: int, last: int) -> float:
        """Between the archivals that had these numbers."""
        nth = "SELECT archived_ms FROM recording WHERE state = 'archived' ORDER BY archived_ms LIMIT 1 OFFSET ?"
        return (self.one(nth, last - 1) - self.one(nth, first - 1)) / 1000


def rates(title: str, costs, base: int = 0, hook: bool = False) -> None:
    """`×` is each one's part of the base's."""
    print(f"\n{title} (load {os.getloadavg()[0]:.1f})\n")
    heads = ["", "recordings/s", "×", "CPU s per 1,000", "×", "peak MiB"] + ["hook p99 ms"] * hook
    print("| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))
    rate, cpu = lambda cost: cost.rate, lambda cost: cost.cpu_s / cost.units * 1000
    usual = list(costs.values())[base]
    for name, all_ in costs.items():
        cells = [name]
        if all_[0].units:
            each = sorted(map(rate, all_))
            cells += [
                f"{median(all_, rate):.0f} ({each[0]:.0f}–{each[-1]:.0f})",
                f"{median(all_, rate) / median(usual, rate):.2f}",
                f"{median(all_, cpu):.2f}",
                f"{median(all_, cpu) / median(usual, cpu):.2f}",
                f"{max(cost.peak_mib for cost in all_):.0f}",
            ]
        else:
            cells += [""] * 5
        cells += [f"{median(all_, lambda cost: cost.p99_ms):.1f}"] * hook
        print("| " + " | ".join(cells) + " |", flush=True)
