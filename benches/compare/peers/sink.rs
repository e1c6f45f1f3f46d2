//! An S3 store that costs nothing: it takes everything and keeps what a HEAD asks for. Small bodies
//! (canaries, manifests) are kept and their SHA-256 checked, as a good store would; of large ones
//! the client is believed. Never here: a disk.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, PoisonError};

use crate::http::Request;
use crate::sha256;

const SMALL_BYTES: usize = 16 * 1024;

#[derive(Default)]
pub struct Sink(Mutex<HashMap<String, Object>>);

#[derive(Clone)]
struct Object {
    bytes: u64,
    sha256: String,
    body: Vec<u8>,
}

impl Object {
    fn headers(&self) -> String {
        let Object { bytes, sha256, .. } = self;
        let sha256 = match sha256.is_empty() {
            true => String::new(),
            false => format!("x-amz-checksum-sha256: {sha256}\r\n"),
        };
        format!("ETag: \"0\"\r\nContent-Length: {bytes}\r\n{sha256}")
    }
}

impl Sink {
    pub fn answer(&self, mut request: Request<'_>) -> io::Result<()> {
        let is_bucket = request.path.trim_matches('/').split('/').count() < 2;
        match (request.method.as_str(), is_bucket) {
            ("PUT", false) => self.put(request),
            ("GET", true) => {
                let root = match request.query.contains("versions") {
                    true => "ListVersionsResult",
                    false => "ListBucketResult",
                };
                let empty = format!("<{root}><IsTruncated>false</IsTruncated></{root}>");
                request.answer(
                    "200 OK",
                    "Content-Type: application/xml\r\n",
                    empty.as_bytes(),
                )
            }
            ("DELETE", false) => {
                self.objects().remove(&request.path);
                request.answer("204 No Content", "", b"")
            }
            (_, true) => {
                request.body(0)?;
                request.answer("200 OK", "", b"")
            }
            _ => {
                let found = self.objects().get(&request.path).cloned();
                let Some(object) = found else {
                    return request.answer("404 Not Found", "", error("NoSuchKey").as_bytes());
                };
                let is_get = request.method == "GET";
                let body = if is_get { &object.body[..] } else { b"" };
                request.answer("200 OK", &object.headers(), body)
            }
        }
    }

    fn put(&self, mut request: Request<'_>) -> io::Result<()> {
        let sha256 = request.header("x-amz-checksum-sha256").unwrap_or_default();
        let sha256 = sha256.to_owned();
        let (bytes, mut body) = request.body(SMALL_BYTES)?;
        if bytes > SMALL_BYTES as u64 {
            body.clear();
        } else if !sha256.is_empty() && sha256 != sha256::base64(&body) {
            return request.answer("400 Bad Request", "", error("BadDigest").as_bytes());
        }
        let object = Object {
            bytes,
            sha256: sha256.clone(),
            body,
        };
        {
            let mut objects = self.objects();
            if request.header("if-none-match").is_some() && objects.contains_key(&request.path) {
                drop(objects);
                let failed = error("PreconditionFailed");
                return request.answer("412 Precondition Failed", "", failed.as_bytes());
            }
            objects.insert(request.path.clone(), object);
        }
        let kept = match sha256.is_empty() {
            true => String::new(),
            false => format!("x-amz-checksum-sha256: {sha256}\r\n"),
        };
        request.answer("200 OK", &format!("ETag: \"0\"\r\n{kept}"), b"")
    }

    fn objects(&self) -> std::sync::MutexGuard<'_, HashMap<String, Object>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn error(code: &str) -> String {
    format!("<Error><Code>{code}</Code></Error>")
}
