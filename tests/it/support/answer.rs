//! One answer of the PBX's web server, good or bad, as a test scripts it.
//!
//! Never here: sockets, or which answer comes when.

use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use super::pbx::audio;

/// One answer of a script.
#[derive(Debug, Clone)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    framing: Framing,
    delay: Duration,
    cut: Option<usize>,
    drip: Option<(usize, Duration)>,
}

#[derive(Debug, Clone, Copy)]
enum Framing {
    /// With a Content-Length of so many bytes more or less than the body has.
    Length(isize),
    /// In chunks, the last one sent or not.
    Chunked { ended: bool },
    /// Until the connection ends.
    Close,
    /// The body is all there is: no status, no headers.
    Raw,
}

impl Answer {
    pub fn status(status: u16) -> Answer {
        Answer {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            framing: Framing::Length(0),
            delay: Duration::ZERO,
            cut: None,
            drip: None,
        }
    }

    pub fn ok(body: impl Into<Vec<u8>>) -> Answer {
        Answer::status(200).body(body)
    }

    /// What the PBX has for a recording.
    pub fn audio(recording: &str) -> Answer {
        Answer::ok(audio(recording)).header("Content-Type", "audio/mpeg")
    }

    pub fn redirect(to: &str) -> Answer {
        Answer::status(302).header("Location", to)
    }

    /// These bytes instead of HTTP.
    pub fn garbage(bytes: impl Into<Vec<u8>>) -> Answer {
        Answer {
            framing: Framing::Raw,
            ..Answer::ok(bytes)
        }
    }

    /// Takes the request and hangs up.
    pub fn hang_up() -> Answer {
        Answer::garbage(Vec::new())
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Answer {
        self.body = body.into();
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Answer {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Before the first byte.
    pub fn delay(mut self, delay: Duration) -> Answer {
        self.delay = delay;
        self
    }

    /// Hangs up after so many bytes of the body, whatever was promised.
    pub fn cut(mut self, bytes: usize) -> Answer {
        self.cut = Some(bytes);
        self
    }

    /// A Content-Length that is wrong by so much; too short a one leaves bytes over.
    pub fn length_off_by(mut self, bytes: isize) -> Answer {
        self.framing = Framing::Length(bytes);
        self
    }

    pub fn chunked(mut self) -> Answer {
        self.framing = Framing::Chunked { ended: true };
        self
    }

    /// Chunked, and then no more: the last chunk never comes.
    pub fn chunked_without_end(mut self) -> Answer {
        self.framing = Framing::Chunked { ended: false };
        self
    }

    /// No length: the body ends with the connection.
    pub fn without_length(mut self) -> Answer {
        self.framing = Framing::Close;
        self
    }

    /// So many bytes of the body at a time, with a pause after each.
    pub fn drip(mut self, bytes: usize, pause: Duration) -> Answer {
        self.drip = Some((bytes, pause));
        self
    }

    pub(super) fn is_cut(&self) -> bool {
        self.cut.is_some()
    }

    /// True if the connection can go on.
    pub(super) fn write(&self, to: &mut impl Write) -> io::Result<bool> {
        thread::sleep(self.delay);
        to.write_all(&self.head())?;
        let end = self
            .cut
            .map_or(self.body.len(), |cut| cut.min(self.body.len()));
        let (piece, pause) = self.drip.unwrap_or((16 * 1024, Duration::ZERO));
        for piece in self.body[..end].chunks(piece) {
            match self.framing {
                Framing::Chunked { .. } => {
                    write!(to, "{:x}\r\n", piece.len())?;
                    to.write_all(piece)?;
                    to.write_all(b"\r\n")?;
                }
                _ => to.write_all(piece)?,
            }
            to.flush()?;
            thread::sleep(pause);
        }
        let is_whole = self.cut.is_none();
        match self.framing {
            Framing::Chunked { ended: true } if is_whole => {
                to.write_all(b"0\r\n\r\n")?;
                Ok(true)
            }
            Framing::Length(0) => Ok(is_whole),
            _ => Ok(false),
        }
    }

    fn head(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} Whatever\r\n", self.status);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        match self.framing {
            Framing::Raw => return Vec::new(),
            Framing::Length(off) => {
                let bytes = self.body.len().saturating_add_signed(off);
                head += &format!("Content-Length: {bytes}\r\n");
            }
            Framing::Chunked { .. } => head += "Transfer-Encoding: chunked\r\n",
            Framing::Close => head += "Connection: close\r\n",
        }
        (head + "\r\n").into_bytes()
    }
}
