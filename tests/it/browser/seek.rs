//! A recording of variable bitrate: what is heard after a seek is what lies there.

use super::{ATTENDED, FIRST, give_reason, sign_in};
use crate::support::browser::Browser;
use crate::support::calls::post_table;
use crate::support::pbx::{self, Answer, Pbx};
use crate::support::people;
use crate::support::service::Setup;

/// MPEG-2.5 Layer III, 8 kHz, mono: silence at 8 and at 64 kbit/s, 72 ms a frame.
const SPARSE: ([u8; 4], usize) = ([0xff, 0xe3, 0x18, 0xc4], 72);
const DENSE: ([u8; 4], usize) = ([0xff, 0xe3, 0x88, 0xc4], 576);
const FRAME_S: f64 = 0.072;
const FRAMES: usize = 280;
/// Before somebody speaks.
const LEAD_S: f64 = 0.5;

fn silence((header, bytes): ([u8; 4], usize)) -> Vec<u8> {
    let mut frame = header.to_vec();
    frame.resize(bytes, 0);
    frame.repeat(FRAMES)
}

#[test]
fn a_seek_lands_within_half_a_second() {
    let pbx = Pbx::start();
    let voice = pbx::audio(FIRST);
    let whole = [silence(SPARSE), silence(DENSE), voice, silence(SPARSE)].concat();
    pbx.script(FIRST, [Answer::ok(whole)]);
    let service = Setup::hq(&pbx.base_url()).start();
    post_table(&service, 2);
    service.wait_for_recordings("archived", 2);
    let token = people::add(&service, "kim", "compliance", &[]);
    let browser = Browser::start(service.admin());
    sign_in(&browser, &token);
    browser.open(ATTENDED);
    give_reason(&browser, "complaint 4711");
    // By its place: once it is known that its bitrate varies, its address names it no more.
    let first = "document.querySelector('audio')";
    let streamed = format!("{first}.src.startsWith('blob:')");
    browser.wait_until("its bitrate is known", &streamed);
    browser.click_at("(//audio)[1]", 20.0);
    browser.wait_until("it plays", &format!("{first}.currentTime > 0.2"));

    let spoken_at_s = 2.0 * FRAMES as f64 * FRAME_S;
    let heard_at_s = browser.script(&format!(
        "const audio = {first}, context = new AudioContext(), ear = context.createAnalyser();
         context.createMediaElementSource(audio).connect(ear).connect(context.destination);
         await context.resume();
         audio.currentTime = {};
         await new Promise((done) => audio.addEventListener('seeked', done, {{ once: true }}));
         const samples = new Float32Array(ear.fftSize);
         const painted = () => new Promise(requestAnimationFrame);
         for (await painted(); !audio.ended; await painted()) {{
             ear.getFloatTimeDomainData(samples);
             if (samples.some((one) => Math.abs(one) > 0.05)) break;
         }}
         return audio.currentTime;",
        spoken_at_s - LEAD_S,
    ));
    let heard_at_s = heard_at_s.as_f64().expect("seconds");
    assert!(
        (heard_at_s - spoken_at_s).abs() < 0.5,
        "heard at {heard_at_s} s, said at {spoken_at_s} s"
    );
    browser.finish();
}
