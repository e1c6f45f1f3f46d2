//! The service in the test's own process, with a clock that is turned by hand: days pass at once.
//!
//! Never here: a part that is not the real one; only the clock differs from `callvault serve`.

use std::net::SocketAddr;
use std::time::Duration;

use callvault::app::{self, sockets::Sockets};
use callvault::catalog::status::{self, Status};
use callvault::clock::Clock;
use callvault::config::{self, Settings};
use callvault::model::time::UtcMs;
use callvault::store::Reader;
use tokio::runtime::Runtime;

use super::hook::{self, Request};
use super::service::{Service, Setup};
use super::wait::wait_for;

/// The clock notices nothing by itself; what it makes due is noticed within a second.
const NOTICED_WITHIN: Duration = Duration::from_secs(20);
/// 2026-01-05T09:00:00Z.
pub const START: UtcMs = UtcMs(1_767_603_600_000);

pub struct Inside {
    /// Its directory, settings and index, with nothing running on them from outside.
    pub files: Service,
    pub clock: Clock,
    pub settings: Settings,
    running: Option<app::Service>,
    runtime: Runtime,
}

impl Inside {
    /// Ready when it returns.
    pub fn start(setup: Setup) -> Inside {
        Inside::start_on(setup.prepare())
    }

    pub fn start_on(files: Service) -> Inside {
        // Shown where the test fails.
        let _ = tracing_subscriber::fmt().with_test_writer().try_init();
        let mut inside = Inside {
            settings: config::load(&files.config()).expect("the settings are right"),
            files,
            clock: Clock::by_hand(START),
            running: None,
            runtime: Runtime::new().expect("a runtime"),
        };
        inside.start_again();
        inside
    }

    pub fn start_again(&mut self) {
        let started = app::Service::start(&self.settings, self.clock.clone(), Sockets::default());
        self.running = Some(self.runtime.block_on(started).expect("the service starts"));
    }

    /// As SIGTERM does.
    pub fn stop(&mut self) {
        let running = self.running.take().expect("a running service");
        self.runtime.block_on(running.stop());
    }

    /// Without a last word.
    pub fn drop_dead(&mut self) {
        self.running = None;
    }

    pub fn hook(&self) -> SocketAddr {
        self.running.as_ref().expect("a running service").hook
    }

    pub fn admin(&self) -> SocketAddr {
        self.running.as_ref().expect("a running service").admin
    }

    /// An event that must be acknowledged.
    pub fn post(&self, pbx: &str, body: impl AsRef<[u8]>) {
        let request = Request::post(hook::target(pbx), "application/json", body);
        hook::acknowledged(self.hook(), &request);
    }

    /// Announces a recording by its bare URL.
    pub fn announce(&self, pbx: &str, recording: &str) {
        let url = format!("https://FQDN:5001/webapi/recording/{recording}.mp3");
        self.post(pbx, url);
    }

    pub fn turn(&self, by: Duration) {
        self.clock.turn(by);
    }

    /// Until it has seen that the clock was set: the last heartbeat goes with it.
    pub fn wait_until_followed(&self) {
        let now_ms = self.clock.now().0;
        let sql = format!("SELECT abs(beat_ms - {now_ms}) < 60000 FROM heartbeat");
        self.wait_for_number(&sql, 1);
    }

    /// Turns the clock to when the next recording falls due, and says by how much that was.
    pub fn turn_to_next_try(&self) -> Duration {
        let sql = "SELECT min(next_at) FROM recordings WHERE state = 'pending'";
        let next: String = self
            .files
            .index()
            .query_row(sql, [], |row| row.get(0))
            .expect(sql);
        let next: jiff::Timestamp = next.parse().expect("a time");
        let ahead_ms = next.as_millisecond() - self.clock.now().0;
        let ahead = Duration::from_millis(ahead_ms.max(0) as u64);
        self.turn(ahead);
        ahead
    }

    /// Until so many attempts have ended, and their recordings are settled.
    pub fn wait_for_attempts(&self, count: i64) {
        let sql = "SELECT count(*) FROM attempts WHERE ended_at IS NOT NULL";
        self.wait_for_number(sql, count);
    }

    pub fn wait_for_number(&self, sql: &str, expected: i64) {
        let what = format!("{expected} is the answer to {sql}");
        wait_for(&what, NOTICED_WITHIN, || self.files.number(sql) == expected);
    }

    /// Once it was seen to run at this time.
    pub fn status(&self) -> Status {
        self.wait_until_followed();
        let path = app::index_path(&self.settings);
        let reader = Reader::open(&path).expect("open the index");
        status::status(&reader, &self.settings, self.clock.now()).expect("the status")
    }
}
