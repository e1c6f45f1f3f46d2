//! callvault archives call recordings. The map, in the order data flows:
//!
//! A PBX posts an event → `http` logs it through `intake` → `correlate` reads the log, folds each
//! call, enqueues what is announced → `worker` claims it → `pipeline` takes it to the archive →
//! `catalog` finds it again, for `cli` and `http`.

pub mod model; //     what a call is: pure, no I/O

pub mod clock; //     now
pub mod config; //    settings, checked
pub mod failpoint; // named crash points, for tests
pub mod objects; //   the archive's store: a bucket or a directory
pub mod pbx; //       fetching recordings
pub mod random; //    bits that nobody can guess
pub mod spool; //     local files on their way
pub mod store; //     the index: SQLite

pub mod intake; //    receive → log
pub mod correlate; // log → fold → enqueue
pub mod pipeline; //  download → verify → tag → upload → index: read this first
pub mod worker; //    claim, run, settle
pub mod upkeep; //    periodic care
pub mod catalog; //   the read side

pub mod http; //      what listens
pub mod app; //       open → recover → bind → ready → run → drain
pub mod cli; //       the verbs
