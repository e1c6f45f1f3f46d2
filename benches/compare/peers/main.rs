//! The servers that `benches/compare/run` needs and nobody packages: a web server with recordings,
//! and an S3 store that keeps nothing. Of std only, so that one call of rustc builds it.
//!
//! `peers recordings DIR` and `peers sink` print their port and serve until killed. Never here:
//! anything of callvault's.

mod http;
mod recordings;
mod sha256;
mod sink;

fn main() -> std::io::Result<()> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let given: Vec<&str> = given.iter().map(String::as_str).collect();
    match given[..] {
        ["recordings", directory] => {
            let directory = std::path::PathBuf::from(directory);
            http::serve(move |request| recordings::answer(&directory, request))
        }
        ["sink"] => {
            let sink = sink::Sink::default();
            http::serve(move |request| sink.answer(request))
        }
        _ => Err(std::io::Error::other("peers recordings DIR | peers sink")),
    }
}
