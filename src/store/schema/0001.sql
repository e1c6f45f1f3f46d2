-- The index, first form. Tables belong to callvault and may change; the views at the end are public
-- and stable. Times are milliseconds since 1970 UTC in tables, RFC 3339 text in views.

-- The event log. Append-only: a row is what came, byte for byte.
CREATE TABLE delivery (
    seq          INTEGER PRIMARY KEY,  -- grows, for no row is ever deleted
    pbx          TEXT    NOT NULL,
    received_ms  INTEGER NOT NULL,
    live         INTEGER NOT NULL CHECK (live IN (0, 1)),
    method       TEXT    NOT NULL,
    content_type TEXT,
    target       BLOB,             -- as it came, without the secret
    peer         TEXT,
    raw          BLOB    NOT NULL,
    raw_key      INTEGER NOT NULL  -- `log::raw_key`: finds equals, proves nothing
) STRICT;
CREATE INDEX delivery_by_raw_key ON delivery (raw_key);
CREATE TRIGGER delivery_stays BEFORE UPDATE ON delivery
    BEGIN SELECT RAISE(ABORT, 'the event log is append-only'); END;

-- How far the log has been read.
CREATE TABLE progress (
    only        INTEGER PRIMARY KEY CHECK (only = 1),
    correlated  INTEGER NOT NULL,
    rehearsed   INTEGER NOT NULL DEFAULT 0   -- changes, for whoever asks whether anything can
) STRICT;
INSERT INTO progress (only, correlated) VALUES (1, 0);

-- Deliveries of PBXs that the settings did not name when their turn came: read when they do.
CREATE TABLE passed_over (
    seq INTEGER PRIMARY KEY REFERENCES delivery (seq),
    pbx TEXT NOT NULL
) STRICT;
CREATE INDEX passed_over_by_pbx ON passed_over (pbx);

-- An inverted index of calls: by words for what one is found by (`words.rs` has them), the seconds
-- in which such calls began, as rowids. It grows at its end, however large it is; an index by number
-- would be written all over. What it finds is looked at: words of what a call no longer is stay.
CREATE VIRTUAL TABLE call_words USING
    fts5 (words, content = '', columnsize = 0, detail = 'none', tokenize = 'ascii');

-- Derived from the log by reading it again: calls, legs, readings.
CREATE TABLE call (
    id             INTEGER PRIMARY KEY,
    pbx            TEXT NOT NULL,
    call           TEXT NOT NULL,
    direction      TEXT,
    external       TEXT,
    did            TEXT,
    started_ms     INTEGER,
    started_local  TEXT,
    ambiguous_hour INTEGER NOT NULL DEFAULT 0,
    outcome        TEXT,
    ring_path      TEXT NOT NULL DEFAULT '[]',
    -- Nothing but events of unknown kinds named it so far.
    known          INTEGER NOT NULL DEFAULT 0,
    -- What a listing goes by: its start, or 0; the wall clock then, as if it were UTC; the length
    -- of its longest and its shortest leg.
    sorted_ms      INTEGER NOT NULL DEFAULT 0,
    local_ms       INTEGER,
    longest_s      INTEGER,
    shortest_s     INTEGER
) STRICT;
-- A call by its id, whichever PBX it is of.
CREATE UNIQUE INDEX call_by_name ON call (call, pbx);
-- Listings of calls, newest first, and what `call_words` leads to. The columns behind the first
-- decide on a row without reading it.
CREATE INDEX call_by_time ON call
    (sorted_ms, local_ms, external, direction, outcome, pbx, longest_s, shortest_s)
    WHERE known = 1;
-- How far wall clocks are from UTC: by its ends it is known where a period of theirs may lie.
CREATE INDEX call_apart ON call (local_ms - sorted_ms) WHERE local_ms IS NOT NULL;

CREATE TABLE leg (
    call_id         INTEGER NOT NULL REFERENCES call (id),
    leg             INTEGER NOT NULL,
    name            TEXT    NOT NULL,   -- the leg's id: 230307142318_40-2
    extension       TEXT,
    answered_ms     INTEGER,
    ended_ms        INTEGER,
    duration_s      INTEGER,
    transfer        TEXT,
    transferred_to  TEXT,
    finish          TEXT,
    end_is_certain  INTEGER NOT NULL,
    PRIMARY KEY (call_id, leg)
) STRICT, WITHOUT ROWID;
-- Finds the legs without a certain end whose id ends in what is left of a damaged one.
CREATE INDEX leg_by_tail ON leg (substr(name, -6)) WHERE end_is_certain = 0;

CREATE TABLE reading (
    seq          INTEGER NOT NULL REFERENCES delivery (seq),
    item         INTEGER NOT NULL,
    kind         TEXT    NOT NULL,
    call         TEXT,
    leg          INTEGER,
    repaired     INTEGER NOT NULL,
    duplicate_of INTEGER,
    PRIMARY KEY (seq, item)
) STRICT, WITHOUT ROWID;
CREATE INDEX reading_not_understood ON reading (kind) WHERE kind IN ('unknown', 'unparsed');

-- Which deliveries say something about a call, by their own ids and files.
CREATE TABLE call_delivery (
    call_id INTEGER NOT NULL REFERENCES call (id),
    seq     INTEGER NOT NULL REFERENCES delivery (seq),
    PRIMARY KEY (call_id, seq)
) STRICT, WITHOUT ROWID;

-- End events whose id was damaged, and the leg that was found for each.
CREATE TABLE damaged (
    seq      INTEGER NOT NULL,
    item     INTEGER NOT NULL,
    pbx      TEXT    NOT NULL,
    id_rest  TEXT    NOT NULL,
    user     TEXT,
    external TEXT,
    call     TEXT,
    leg      INTEGER,
    PRIMARY KEY (seq, item),
    CHECK ((call IS NULL) = (leg IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX damaged_by_call ON damaged (pbx, call);
-- What may be of a leg: by the last six characters of its id, and what is shorter.
CREATE INDEX damaged_by_end ON damaged (pbx, substr(id_rest, -6));
CREATE INDEX damaged_short ON damaged (pbx) WHERE length(id_rest) < 6;

-- A recording; the row is the job.
CREATE TABLE recording (
    id              INTEGER PRIMARY KEY,
    pbx             TEXT    NOT NULL,
    recording       TEXT    NOT NULL,
    call            TEXT,
    leg             INTEGER,
    part            INTEGER,
    dated           TEXT    NOT NULL,   -- the day its key is made of: YYYY-MM-DD
    announced_ms    INTEGER NOT NULL,
    announced_seq   INTEGER NOT NULL REFERENCES delivery (seq),
    source_url      TEXT    NOT NULL,
    fetch_path      TEXT,
    announced_flags TEXT    NOT NULL DEFAULT '[]',

    state           TEXT    NOT NULL CHECK (state IN ('pending', 'archived', 'failed')),
    due_ms          INTEGER,
    -- It is due and waits for a worker. Those are taken by age, so that what the PBX deletes first
    -- goes first, and found without looking at all that is not due yet.
    ripe            INTEGER NOT NULL DEFAULT 0 CHECK (ripe IN (0, 1)),
    lease_ms        INTEGER,
    attempt         INTEGER NOT NULL DEFAULT 0,
    -- Giving up is counted from here, without what was skipped since: what `heartbeat` had then.
    window_ms       INTEGER NOT NULL,
    skipped_ms      INTEGER NOT NULL,
    code            TEXT,
    last_error      TEXT,

    original_sha256 BLOB CHECK (length(original_sha256) = 32),
    original_bytes  INTEGER,
    -- Why the body in the spool is not believed yet; and whether it is taken all the same.
    kept            TEXT CHECK (kept IN ('doubtful', 'broken')),
    take_kept       INTEGER NOT NULL DEFAULT 0 CHECK (take_kept IN (0, 1)),

    object_key      TEXT,
    object_sha256   BLOB CHECK (length(object_sha256) = 32),
    object_bytes    INTEGER,
    manifest_sha256 BLOB CHECK (length(manifest_sha256) = 32),   -- as it lies in the store
    media_ms        INTEGER,
    media_flags     TEXT    NOT NULL DEFAULT '[]',
    version_id      TEXT,
    archived_ms     INTEGER,

    -- The lock that the object is sent with, by every retry; once archived, the one it has.
    lock_mode       TEXT CHECK (lock_mode IN ('governance', 'compliance')),
    lock_until_ms   INTEGER,

    -- What the object was when it was last proved, and when that was: custody tells how.
    integrity       TEXT CHECK (integrity IN ('verified', 'mismatch')),
    integrity_ms    INTEGER,

    -- What a listing goes by and shows, from its call and leg, written with them: the call's start,
    -- or the announcement; the wall clock then, as if it were UTC; and what they say. A page of an
    -- archive lies scattered over it: with this it is read at one place a row, without at five.
    sorted_ms       INTEGER NOT NULL,
    local_ms        INTEGER NOT NULL,
    started_local   TEXT,              -- NULL: no call, or not known when it began
    ambiguous_hour  INTEGER NOT NULL,
    external        TEXT,
    extension       TEXT,
    did             TEXT,
    direction       TEXT,
    outcome         TEXT,
    duration_s      INTEGER,
    transfer        TEXT,
    transferred_to  TEXT,
    finish          TEXT,

    CHECK ((call IS NULL) = (leg IS NULL) AND (leg IS NULL) = (part IS NULL)),
    CHECK ((state = 'pending') = (due_ms IS NOT NULL)),
    CHECK (lease_ms IS NULL OR state = 'pending'),
    CHECK (ripe = 0 OR (state = 'pending' AND lease_ms IS NULL)),
    CHECK (kept IS NULL OR original_sha256 IS NOT NULL),
    CHECK ((original_sha256 IS NULL) = (original_bytes IS NULL)),
    CHECK ((object_key IS NULL) = (object_sha256 IS NULL)
       AND (object_key IS NULL) = (object_bytes IS NULL)),
    CHECK ((lock_mode IS NULL) = (lock_until_ms IS NULL)),
    CHECK ((integrity IS NULL) = (integrity_ms IS NULL)),
    CHECK ((state = 'archived') = (archived_ms IS NOT NULL)),
    CHECK (state <> 'archived' OR (object_key IS NOT NULL AND original_sha256 IS NOT NULL)),
    CHECK (state <> 'failed' OR (code IS NOT NULL AND last_error IS NOT NULL))
) STRICT;
CREATE INDEX recording_due ON recording (pbx, due_ms)
    WHERE state = 'pending' AND lease_ms IS NULL AND ripe = 0;
-- What must come from the PBX yet, before what lies on our disk and waits for the store alone.
CREATE INDEX recording_ripe ON recording
    (pbx, original_sha256 IS NOT NULL AND (kept IS NULL OR take_kept OR object_key IS NOT NULL),
     announced_ms)
    WHERE ripe = 1;
-- What waits after a failure, by its reason: it is tried as soon as that reason is gone.
CREATE INDEX recording_waiting ON recording (code, pbx, due_ms)
    WHERE state = 'pending' AND lease_ms IS NULL AND ripe = 0 AND code IS NOT NULL;
CREATE INDEX recording_leased ON recording (id) WHERE lease_ms IS NOT NULL;
CREATE UNIQUE INDEX recording_by_name ON recording (recording, pbx);
-- By the whole id, as the views show it and as people ask for it.
CREATE INDEX recording_by_id ON recording (pbx || '/' || recording);
CREATE INDEX recording_by_call ON recording (call, pbx, leg);
CREATE INDEX recording_by_announcement ON recording (announced_ms);
-- What `status` counts: the few that are not archived, when others were, and when events came.
CREATE INDEX recording_open ON recording (pbx, state, announced_ms) WHERE state <> 'archived';
CREATE INDEX recording_by_archival ON recording (pbx, archived_ms, announced_ms)
    WHERE archived_ms IS NOT NULL;
CREATE INDEX delivery_by_arrival ON delivery (pbx, live, received_ms);
-- Listings of recordings, as those of calls.
CREATE INDEX recording_by_time ON recording
    (sorted_ms, local_ms, external, direction, pbx, duration_s);
CREATE INDEX recording_apart ON recording (local_ms - sorted_ms);
CREATE INDEX recording_by_state ON recording (state, sorted_ms, local_ms);
-- A recording makes its call answered: this holds nothing, and finds that at once.
CREATE INDEX recording_missed ON recording (sorted_ms) WHERE outcome = 'missed';

-- What was committed before the first PUT and is sent again, byte for byte, by every retry.
CREATE TABLE frozen (
    recording_id INTEGER PRIMARY KEY REFERENCES recording (id),
    tag          BLOB NOT NULL,
    manifest     BLOB NOT NULL
) STRICT;

CREATE TABLE attempt (
    recording_id INTEGER NOT NULL REFERENCES recording (id),
    attempt      INTEGER NOT NULL,
    started_ms   INTEGER NOT NULL,
    ended_ms     INTEGER,
    stage        TEXT,
    code         TEXT,
    error        TEXT,
    PRIMARY KEY (recording_id, attempt)
) STRICT, WITHOUT ROWID;

CREATE TABLE custody_entry (
    seq             INTEGER PRIMARY KEY,
    at_ms           INTEGER NOT NULL,
    actor           TEXT NOT NULL,
    address         TEXT,
    act             TEXT NOT NULL,
    subject         TEXT NOT NULL,
    reason          TEXT,
    case_number     TEXT,
    detail          TEXT,
    previous_sha256 BLOB NOT NULL CHECK (length(previous_sha256) = 32),
    sha256          BLOB NOT NULL CHECK (length(sha256) = 32)
) STRICT;
CREATE INDEX custody_by_subject ON custody_entry (subject, seq);
CREATE TRIGGER custody_stays BEFORE UPDATE ON custody_entry
    BEGIN SELECT RAISE(ABORT, 'custody entries are append-only'); END;
CREATE TRIGGER custody_is_kept BEFORE DELETE ON custody_entry
    BEGIN SELECT RAISE(ABORT, 'custody entries are append-only'); END;
CREATE TRIGGER delivery_is_kept BEFORE DELETE ON delivery
    BEGIN SELECT RAISE(ABORT, 'the event log is append-only'); END;
-- A REPLACE deletes the row that is in its way, and no trigger before DELETE hears of it.
CREATE TRIGGER custody_is_not_replaced BEFORE INSERT ON custody_entry
    WHEN EXISTS (SELECT 1 FROM custody_entry WHERE seq = NEW.seq)
    BEGIN SELECT RAISE(ABORT, 'custody entries are append-only'); END;
CREATE TRIGGER delivery_is_not_replaced BEFORE INSERT ON delivery
    WHEN EXISTS (SELECT 1 FROM delivery WHERE seq = NEW.seq)
    BEGIN SELECT RAISE(ABORT, 'the event log is append-only'); END;

CREATE INDEX custody_by_actor ON custody_entry (actor, seq);

-- Who may ask the archive over HTTP: a token's SHA-256, never the token.
CREATE TABLE token (
    id           INTEGER PRIMARY KEY,
    name         TEXT    NOT NULL UNIQUE,
    person       TEXT    NOT NULL,
    role         TEXT    NOT NULL
                 CHECK (role IN ('viewer', 'listener', 'compliance', 'approver', 'admin')),
    pbx          TEXT,
    extensions   TEXT    NOT NULL DEFAULT '[]',
    sha256       BLOB    NOT NULL UNIQUE CHECK (length(sha256) = 32),
    created_ms   INTEGER NOT NULL,
    expires_ms   INTEGER,
    revoked_ms   INTEGER,
    last_used_ms INTEGER
) STRICT;

-- Links that sign in once: a link's SHA-256, never the link. A row goes when it is used.
CREATE TABLE sign_in_link (
    sha256     BLOB    PRIMARY KEY CHECK (length(sha256) = 32),
    token      TEXT    NOT NULL REFERENCES token (name),
    expires_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Why somebody hears the recordings of a call, until when that holds.
CREATE TABLE reason_window (
    actor       TEXT    NOT NULL,
    subject     TEXT    NOT NULL,
    reason      TEXT    NOT NULL,
    case_number TEXT,
    until_ms    INTEGER NOT NULL,
    PRIMARY KEY (actor, subject)
) STRICT, WITHOUT ROWID;

-- What was entered in custody within its reason's window: an entry a window, not one a request.
CREATE TABLE entered (
    actor    TEXT    NOT NULL,
    subject  TEXT    NOT NULL,
    act      TEXT    NOT NULL,
    until_ms INTEGER NOT NULL,
    PRIMARY KEY (actor, subject, act)
) STRICT, WITHOUT ROWID;

-- Deliveries that were turned away, by reason and peer.
CREATE TABLE refusal (
    reason   TEXT    NOT NULL,
    peer     TEXT    NOT NULL,
    count    INTEGER NOT NULL,
    first_ms INTEGER NOT NULL,
    last_ms  INTEGER NOT NULL,
    PRIMARY KEY (reason, peer)
) STRICT, WITHOUT ROWID;

-- Legs that have ended and have no recording: looked for where it would lie.
CREATE TABLE foretold (
    call_id INTEGER NOT NULL REFERENCES call (id),
    leg     INTEGER NOT NULL,
    due_ms  INTEGER,              -- NULL: never again
    -- How long the PBX keeps its file is counted from here, as of a recording.
    window_ms  INTEGER NOT NULL,
    skipped_ms INTEGER NOT NULL,
    tries   INTEGER NOT NULL,
    PRIMARY KEY (call_id, leg)
) STRICT, WITHOUT ROWID;
CREATE INDEX foretold_due ON foretold (due_ms) WHERE due_ms IS NOT NULL;

-- Recordings that were announced again, or turned out short: fetched once more and compared with what
-- is archived.
CREATE TABLE comparison (
    recording_id INTEGER PRIMARY KEY REFERENCES recording (id),
    due_ms       INTEGER,             -- NULL: not again until it is announced again
    compared_ms  INTEGER,
    tries        INTEGER NOT NULL,
    -- It was not announced again, but is shorter than its leg.
    is_short     INTEGER NOT NULL DEFAULT 0 CHECK (is_short IN (0, 1))
) STRICT;
CREATE INDEX recording_mismatched ON recording (integrity_ms) WHERE integrity = 'mismatch';
CREATE INDEX recording_in_conflict ON recording (announced_ms)
    WHERE announced_flags LIKE '%conflict%';
CREATE INDEX comparison_due ON comparison (due_ms) WHERE due_ms IS NOT NULL;

-- Who is away: a PBX, the store, or room on our disk. Meanwhile one recording at a time tries it,
-- and all others that need it next wait for that.
CREATE TABLE away (
    party    TEXT    NOT NULL CHECK (party IN ('pbx', 'store', 'room')),
    pbx      TEXT    NOT NULL CHECK ((party = 'pbx') = (pbx <> '')),
    since_ms INTEGER NOT NULL,          -- the first of the failures
    next_ms  INTEGER NOT NULL,
    code     TEXT    NOT NULL,
    error    TEXT    NOT NULL,
    -- Somebody wants them tried at once.
    wished   INTEGER NOT NULL DEFAULT 0 CHECK (wished IN (0, 1)),
    PRIMARY KEY (party, pbx)
) STRICT, WITHOUT ROWID;

-- The service was alive then; and when it was not.
CREATE TABLE heartbeat (
    only       INTEGER PRIMARY KEY CHECK (only = 1),
    beat_ms    INTEGER NOT NULL,
    -- In all its lives: time that did not pass for it, since it did not run or the clock was set.
    skipped_ms INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE gap (
    from_ms INTEGER NOT NULL,
    to_ms   INTEGER NOT NULL
) STRICT;

-- What trying the store has shown, a row a promise; of this life of the service only.
CREATE TABLE probe (
    promise TEXT PRIMARY KEY,
    holds   TEXT NOT NULL CHECK (holds IN ('yes', 'no', 'unknown')),
    detail  TEXT,
    at_ms   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- No public view: for whoever has found rows.
CREATE VIEW recordings_by_row AS
SELECT r.id AS row,
       r.pbx || '/' || r.recording AS recording,
       r.pbx AS pbx,
       r.call AS call,
       r.leg AS leg,
       r.part AS part,
       r.state AS state,
       r.direction AS direction,
       r.external AS external,
       r.extension AS extension,
       r.did AS did,
       CASE WHEN r.started_local IS NOT NULL THEN strftime('%Y-%m-%dT%H:%M:%SZ',
            r.sorted_ms / 1000, 'unixepoch') END AS started_at,
       r.started_local AS started_at_local,
       r.dated AS day,
       r.duration_s AS duration_s,
       r.media_ms / 1000.0 AS media_duration_s,
       r.transfer AS transfer,
       r.transferred_to AS transferred_to,
       r.finish AS finish,
       (SELECT json_group_array(flag) FROM (
            SELECT value AS flag FROM json_each(r.announced_flags)
            UNION SELECT value FROM json_each(r.media_flags)
            UNION SELECT 'ambiguous_hour' WHERE r.ambiguous_hour = 1
            ORDER BY 1)) AS flags,
       r.object_key AS object_key,
       r.object_bytes AS bytes,
       lower(hex(r.original_sha256)) AS original_sha256,
       lower(hex(r.object_sha256)) AS object_sha256,
       strftime('%Y-%m-%dT%H:%M:%fZ', r.archived_ms / 1000.0, 'unixepoch') AS archived_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', r.announced_ms / 1000.0, 'unixepoch') AS announced_at,
       r.attempt AS attempts,
       r.code AS code,
       r.last_error AS last_error,
       strftime('%Y-%m-%dT%H:%M:%fZ', r.due_ms / 1000.0, 'unixepoch') AS next_at,
       r.source_url AS source_url,
       CASE r.state WHEN 'archived' THEN r.lock_mode END AS lock_mode,
       CASE r.state WHEN 'archived' THEN strftime('%Y-%m-%dT%H:%M:%SZ', r.lock_until_ms / 1000,
            'unixepoch') END AS lock_until,
       r.integrity AS integrity,
       strftime('%Y-%m-%dT%H:%M:%fZ', r.integrity_ms / 1000.0, 'unixepoch') AS integrity_at,
       lower(hex(r.manifest_sha256)) AS manifest_sha256
  FROM recording r;

-- The public views.

CREATE VIEW recordings AS
SELECT recording, pbx, call, leg, part, state, direction, external, extension, did, started_at,
       started_at_local, day, duration_s, media_duration_s, transfer, transferred_to, finish, flags,
       object_key, bytes, original_sha256, object_sha256, archived_at, announced_at, attempts, code,
       last_error, next_at, source_url, lock_mode, lock_until, integrity, integrity_at,
       manifest_sha256
  FROM recordings_by_row;

CREATE VIEW calls AS
SELECT c.call AS call,
       c.pbx AS pbx,
       c.direction AS direction,
       c.external AS external,
       c.did AS did,
       strftime('%Y-%m-%dT%H:%M:%SZ', c.started_ms / 1000, 'unixepoch') AS started_at,
       c.started_local AS started_at_local,
       c.outcome AS outcome,
       (SELECT count(*) FROM leg l WHERE l.call_id = c.id) AS leg_count,
       (SELECT count(*) FROM recording r WHERE r.pbx = c.pbx AND r.call = c.call)
           AS recording_count,
       c.ring_path AS ring_path
  FROM call c
 WHERE c.known = 1;

CREATE VIEW legs AS
SELECT c.pbx AS pbx,
       c.call AS call,
       l.leg AS leg,
       l.extension AS extension,
       strftime('%Y-%m-%dT%H:%M:%fZ', l.answered_ms / 1000.0, 'unixepoch') AS answered_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', l.ended_ms / 1000.0, 'unixepoch') AS ended_at,
       l.duration_s AS duration_s,
       l.transfer AS transfer,
       l.transferred_to AS transferred_to,
       l.finish AS finish,
       (SELECT json_group_array(r.pbx || '/' || r.recording) FROM recording r
         WHERE r.pbx = c.pbx AND r.call = c.call AND r.leg = l.leg) AS recordings
  FROM leg l
  JOIN call c ON c.id = l.call_id;

CREATE VIEW events AS
SELECT d.seq AS seq,
       coalesce(e.item, 0) AS item,
       strftime('%Y-%m-%dT%H:%M:%fZ', d.received_ms / 1000.0, 'unixepoch') AS received_at,
       d.pbx AS pbx,
       d.method AS method,
       d.content_type AS content_type,
       e.kind AS kind,
       coalesce(m.call, e.call) AS call,
       coalesce(m.leg, e.leg) AS leg,
       coalesce(e.repaired, 0) AS repaired,
       e.duplicate_of AS duplicate_of,
       d.raw AS raw
  FROM delivery d
  LEFT JOIN reading e ON e.seq = d.seq
  LEFT JOIN damaged m ON m.seq = e.seq AND m.item = e.item;

CREATE VIEW attempts AS
SELECT r.pbx || '/' || r.recording AS recording,
       a.attempt AS attempt,
       strftime('%Y-%m-%dT%H:%M:%fZ', a.started_ms / 1000.0, 'unixepoch') AS started_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', a.ended_ms / 1000.0, 'unixepoch') AS ended_at,
       a.stage AS stage,
       a.code AS code,
       a.error AS error
  FROM attempt a
  JOIN recording r ON r.id = a.recording_id;

CREATE VIEW custody AS
SELECT seq,
       strftime('%Y-%m-%dT%H:%M:%fZ', at_ms / 1000.0, 'unixepoch') AS at,
       actor, address, act, subject, reason, case_number AS "case", detail,
       lower(hex(previous_sha256)) AS previous_sha256,
       lower(hex(sha256)) AS sha256
  FROM custody_entry;

CREATE VIEW gaps AS
SELECT strftime('%Y-%m-%dT%H:%M:%fZ', from_ms / 1000.0, 'unixepoch') AS started_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', to_ms / 1000.0, 'unixepoch') AS ended_at,
       (to_ms - from_ms) / 1000.0 AS duration_s
  FROM gap;
