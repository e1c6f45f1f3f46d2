//! The pure parts on every event's and every recording's way: reading an event, folding a call,
//! walking frames, making a tag. `cargo bench --bench hot`. Never here: a disk or a network.

use std::fs;
use std::hint::black_box;
use std::path::Path;

use callvault::model::call::Call;
use callvault::model::digest::Digest;
use callvault::model::event::Logged;
use callvault::model::id::{CallId, EventSeq, RecordingId};
use callvault::model::tags::{Facts, tags};
use callvault::model::time::UtcMs;
use callvault::model::vendor::Vendor;
use callvault::model::{id3, mp3};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use jiff::tz::TimeZone;

const CALL: &str = "230307142318_40";
/// As announced, in the middle of the recordings' sizes.
const RECORDING_BYTES: usize = 300_000;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The vendor's examples.
fn payloads() -> Vec<String> {
    let text = fs::read_to_string(root().join("tests/corpus/vendor_events.jsonl"));
    let text = text.expect("the corpus can be read");
    let payloads = text.lines().map(|line| {
        let row: serde_json::Value = serde_json::from_str(line).expect("a line is an object");
        row["payload"].as_str().expect("a payload").to_owned()
    });
    payloads.collect()
}

/// As they are in the log.
fn logged(payloads: &[String]) -> Vec<Logged> {
    let logged = (1..).zip(payloads).map(|(seq, raw)| Logged {
        seq: EventSeq(seq),
        pbx: "hq".parse().expect("a name"),
        received: UtcMs(1_678_195_398_000 + seq),
        live: true,
        foretold: false,
        readings: Vendor::ThreeCx.read(raw.as_bytes()).into(),
        attached: Vec::new(),
    });
    logged.collect()
}

fn call() -> (CallId, Vec<Logged>) {
    let id = CallId {
        pbx: "hq".parse().expect("a name"),
        call: CALL.parse().expect("an id"),
    };
    let mut of_call = payloads();
    of_call.retain(|raw| raw.contains(CALL));
    (id, logged(&of_call))
}

fn events(criterion: &mut Criterion) {
    let corpus = payloads();
    let mut group = criterion.benchmark_group("events");
    group.throughput(Throughput::Elements(corpus.len() as u64));
    group.bench_function("read the corpus", |bencher| {
        bencher.iter(|| {
            let read = corpus
                .iter()
                .map(|raw| Vendor::ThreeCx.read(raw.as_bytes()).len());
            read.sum::<usize>()
        });
    });
    group.finish();
    let ((id, events), zone) = (call(), TimeZone::UTC);
    let mut group = criterion.benchmark_group("calls");
    group.throughput(Throughput::Elements(events.len() as u64));
    group.bench_function("fold a transferred call", |bencher| {
        bencher.iter(|| Call::fold(id.clone(), &zone, black_box(&events)));
    });
    group.finish();
}

fn recordings(criterion: &mut Criterion) {
    let audio = root().join("tests/audio").join(format!("{CALL}-1-1.mp3"));
    let audio = fs::read(audio).expect("a recording can be read");
    let whole = audio.repeat(RECORDING_BYTES / audio.len());
    let mut group = criterion.benchmark_group("recordings");
    group.throughput(Throughput::Bytes(whole.len() as u64));
    group.bench_function("walk its frames", |bencher| {
        bencher.iter(|| mp3::walk(black_box(&whole)));
    });
    group.bench_function("hash it", |bencher| {
        bencher.iter(|| Digest::of(black_box(&whole)));
    });
    group.finish();
    let (id, events) = call();
    let call = Call::fold(id, &TimeZone::UTC, &events);
    let recording: RecordingId = format!("hq/{CALL}-1-1").parse().expect("an id");
    let url = format!("https://FQDN:5001/webapi/recording/{CALL}-1-1.mp3");
    criterion.bench_function("tags/make a tag", |bencher| {
        bencher.iter(|| {
            let set = tags(&Facts {
                id: &recording,
                call: Some(&call),
                leg: Some(1),
                media_ms: 14_700,
                source_url: &url,
                original_sha256: Digest::of(b""),
                as_of: UtcMs(1_678_195_500_000),
            });
            id3::encode(black_box(&set), b"")
        });
    });
}

criterion_group!(benches, events, recordings);
criterion_main!(benches);
