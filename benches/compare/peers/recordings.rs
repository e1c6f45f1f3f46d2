//! A PBX's web server: the files of a directory, by their names. Never here: events.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::http::Request;

pub fn answer(directory: &Path, mut request: Request<'_>) -> io::Result<()> {
    let name = request.path.rsplit('/').next().unwrap_or_default();
    let Ok(mut file) = File::open(directory.join(name)) else {
        return request.answer("404 Not Found", "", b"");
    };
    let bytes = file.metadata()?.len();
    let headers = format!("Content-Type: audio/mpeg\r\nContent-Length: {bytes}\r\n");
    request.answer("200 OK", &headers, b"")?;
    if request.method == "GET" {
        io::copy(&mut file, request.to)?;
    }
    Ok(())
}
