//! The servers that `benches/compare/run` needs and nobody packages: a web server with recordings,
//! and an S3 store that keeps nothing. Of std only, so that one call of rustc builds it.
//!
//! `peers PORT recordings DIR` and `peers PORT sink` print their port (0 is any free one) and serve
//! until killed. Never here: anything of callvault's.

mod http;
mod recordings;
mod sha256;
mod sink;

fn main() -> std::io::Result<()> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let given: Vec<&str> = given.iter().map(String::as_str).collect();
    let usage = || std::io::Error::other("peers PORT recordings DIR | peers PORT sink");
    let (port, words) = given.split_first().ok_or_else(usage)?;
    let port = port.parse().map_err(|_| usage())?;
    match words[..] {
        ["recordings", directory] => {
            let directory = std::path::PathBuf::from(directory);
            http::serve(port, move |request| recordings::answer(&directory, request))
        }
        ["sink"] => {
            let sink = sink::Sink::default();
            http::serve(port, move |request| sink.answer(request))
        }
        _ => Err(usage()),
    }
}
