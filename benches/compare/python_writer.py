"""The most that a disk lets anybody log: so many rows a commit, one commit after another. Prints
what it did and what it cost."""

import json
import resource
import sqlite3
import sys
import time

SECONDS = 2
BODY = b'{ "Event": "ringing", "Callerid": "05552221133", "User": "117", "Did": "", "Id": "230307142318_40-0" }'

db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA journal_mode = WAL")
db.execute("PRAGMA synchronous = FULL")
db.execute(
    "CREATE TABLE event (seq INTEGER PRIMARY KEY, received REAL, content_type TEXT, body BLOB)"
)
rows = [(time.time(), "application/json", BODY)] * int(sys.argv[2])
times, began, before = [], time.monotonic(), time.process_time()
while time.monotonic() < began + SECONDS:
    at = time.monotonic()
    db.execute("BEGIN IMMEDIATE")
    db.executemany("INSERT INTO event (received, content_type, body) VALUES (?, ?, ?)", rows)
    db.execute("COMMIT")
    times.append(time.monotonic() - at)
times.sort()
cost = {
    "units": len(times) * len(rows),
    "seconds": time.monotonic() - began,
    "cpu_s": time.process_time() - before,
    "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    "p99_ms": times[len(times) * 99 // 100] * 1000,
}
print(json.dumps(cost))
