//! Between a socket and hyper: percent-encodes what hyper would refuse in a request line.
//!
//! The PBX sends raw spaces, quotes and UTF-8 in its queries; hyper answers some of them 400 before
//! any code of ours runs, and the event would be lost.
//!
//! It also times what hyper cannot: hyper sees no byte of a head before the head is whole.
//!
//! Never here: framing. Where a body ends is hyper's to say, and until it has said so for one
//! request it is given nothing beyond that request's head. So this file cannot take bytes of a body
//! for a request line, whatever they look like.

pub mod encode;

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;
use tokio_util::io::poll_read_buf;

use encode::encode;

const READ_BYTES: usize = 8 * 1024;
/// How long what the peer still sends is thrown away, once the answer is out and closes.
const LINGER: Duration = Duration::from_secs(2);

/// What may pass to hyper now: the one thing a connection's reader and its service share.
#[derive(Clone, Default)]
pub(super) struct Gate(Arc<Mutex<Passing>>);

#[derive(Default)]
struct Passing {
    stage: Stage,
    /// Of the head that passed last, as it came.
    target: Bytes,
    /// No request after this one is served on this connection.
    last: bool,
}

#[derive(Default, Clone, Copy, PartialEq)]
enum Stage {
    /// A head is collected; nothing passes until it is complete.
    #[default]
    Head,
    /// A head has passed, and nothing else does until hyper has said how long its body is.
    Held,
    /// So many bytes of a body pass, then the next head is collected.
    Body(u64),
    /// All passes as it comes: a chunked body, or a head that hyper will refuse.
    Rest,
}

/// What the service learns of a request that hyper hands it.
pub(super) struct Admitted {
    /// The request's target as it came on the wire.
    pub(super) target: Bytes,
    /// The answer must say `Connection: close`.
    pub(super) last: bool,
}

impl Gate {
    /// To be called first thing for each request; `body_bytes` is hyper's own word on the length of
    /// its body, `None` for a chunked one.
    pub(super) fn admit(&self, body_bytes: Option<u64>) -> Admitted {
        let mut passing = self.lock();
        // Not held would mean that hyper saw this head end elsewhere than we did. It cannot; if it
        // ever does, this is the last request of the connection.
        let held = passing.stage == Stage::Held;
        let after = match body_bytes {
            Some(0) if held && passing.last => Stage::Held,
            Some(0) if held => Stage::Head,
            Some(bytes) if held => Stage::Body(bytes),
            _ => Stage::Rest,
        };
        passing.stage = after;
        passing.last |= after == Stage::Rest;
        Admitted {
            target: std::mem::take(&mut passing.target),
            last: passing.last,
        }
    }

    /// Whether an answer given now comes before the request's body has: hyper then closes after it,
    /// without saying so by itself.
    pub(super) fn is_body_due(&self) -> bool {
        matches!(self.lock().stage, Stage::Body(_))
    }

    fn lock(&self) -> MutexGuard<'_, Passing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bytes of a connection that hyper has not been given yet.
struct Input {
    unread: BytesMut,
    /// `unread` holds no end of a head before this index.
    searched: usize,
    /// A complete head, encoded where needed, as far as hyper has not taken it.
    head: Bytes,
    head_max_bytes: usize,
    ended: bool,
}

impl Input {
    /// What hyper gets now, at most `room` bytes.
    fn pass(&mut self, passing: &mut Passing, room: usize) -> Bytes {
        if passing.stage == Stage::Head {
            if let Some(head) = self.cut_head() {
                passing.stage = Stage::Held;
                (self.head, passing.target, passing.last) = encode(head);
            } else if self.ended || self.unread.len() >= self.head_max_bytes {
                passing.stage = Stage::Rest;
            }
        }
        if !self.head.is_empty() {
            return self.head.split_to(room.min(self.head.len()));
        }
        let bytes = room.min(self.unread.len());
        let bytes = match passing.stage {
            Stage::Head | Stage::Held => 0,
            Stage::Rest => bytes,
            Stage::Body(left) => {
                let bytes = usize::try_from(left).map_or(bytes, |left| left.min(bytes));
                passing.stage = match left - bytes as u64 {
                    0 if passing.last => Stage::Held,
                    0 => Stage::Head,
                    left => Stage::Body(left),
                };
                bytes
            }
        };
        self.unread.split_to(bytes).freeze()
    }

    /// A head ends with its first blank line; blank lines before it are dropped, as hyper does.
    fn cut_head(&mut self) -> Option<Bytes> {
        loop {
            let blank = match &self.unread[..] {
                [b'\n', ..] => 1,
                [b'\r', b'\n', ..] => 2,
                _ => break,
            };
            self.unread.advance(blank);
        }
        let end = (self.searched..self.unread.len())
            .filter(|&at| self.unread[at] == b'\n')
            .find_map(|at| match &self.unread[at + 1..] {
                [b'\n', ..] => Some(at + 2),
                [b'\r', b'\n', ..] => Some(at + 3),
                _ => None,
            });
        self.searched = match end {
            Some(_) => 0,
            None => self.unread.len().saturating_sub(2),
        };
        Some(self.unread.split_to(end?).freeze())
    }
}

/// A socket whose request lines reach hyper percent-encoded.
pub(super) struct RequestLines<S> {
    socket: S,
    gate: Gate,
    input: Input,
    times: Times,
    /// Runs from the first byte of a head to its last.
    head: Option<Pin<Box<Sleep>>>,
    /// Runs while the peer takes nothing of an answer.
    stall: Option<Pin<Box<Sleep>>>,
    /// Set once our side is shut.
    linger: Option<Pin<Box<Sleep>>>,
}

/// What a peer may take its time for.
#[derive(Clone, Copy)]
pub(super) struct Times {
    /// A whole head, from its first byte.
    pub(super) head: Duration,
    /// Some part of an answer.
    pub(super) stall: Duration,
}

impl<S> RequestLines<S> {
    /// A head that has not ended after `head_max_bytes` passes as it is; hyper refuses it for its
    /// length if its own buffer is no larger.
    pub(super) fn new(
        socket: S,
        gate: Gate,
        head_max_bytes: usize,
        times: Times,
    ) -> RequestLines<S> {
        let input = Input {
            unread: BytesMut::new(),
            searched: 0,
            head: Bytes::new(),
            head_max_bytes,
            ended: false,
        };
        RequestLines {
            socket,
            gate,
            input,
            times,
            head: None,
            stall: None,
            linger: None,
        }
    }

    /// What was polled, or an error once the peer has taken nothing for too long.
    fn unless_stalled<T>(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.stall = None;
            return polled;
        }
        in_time(&mut self.stall, self.times.stall, cx)?;
        Poll::Pending
    }

    /// Whether the peer may be sending something that nobody will read.
    fn is_cut_short(&self) -> bool {
        let passing = self.gate.lock();
        !self.input.ended && (passing.last || passing.stage != Stage::Head)
    }
}

/// Starts the clock where it does not run; an error once it has run out.
fn in_time(
    clock: &mut Option<Pin<Box<Sleep>>>,
    time: Duration,
    cx: &mut Context<'_>,
) -> io::Result<()> {
    let clock = clock.get_or_insert_with(|| Box::pin(tokio::time::sleep(time)));
    match clock.as_mut().poll(cx) {
        Poll::Pending => Ok(()),
        Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
    }
}

impl<S: AsyncRead + Unpin> RequestLines<S> {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.input.unread.reserve(READ_BYTES);
        let socket = Pin::new(&mut self.socket);
        self.input.ended = ready!(poll_read_buf(socket, cx, &mut self.input.unread))? == 0;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for RequestLines<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // Blank lines before a head are dropped, and begin it all the same.
        let mut begun = this.head.is_some();
        loop {
            let mut passing = this.gate.lock();
            let bytes = this.input.pass(&mut passing, out.remaining());
            let stage = passing.stage;
            drop(passing);
            if stage != Stage::Head {
                (this.head, begun) = (None, false);
            }
            if !bytes.is_empty() {
                out.put_slice(&bytes);
                return Poll::Ready(Ok(()));
            }
            // Nobody need be woken: hyper has a whole head to work on, reads again by itself after
            // it has called the service, and never after the last request.
            if stage == Stage::Held {
                return Poll::Pending;
            }
            if this.input.ended {
                return Poll::Ready(Ok(()));
            }
            if stage == Stage::Head && (begun || !this.input.unread.is_empty()) {
                in_time(&mut this.head, this.times.head, cx)?;
            }
            ready!(this.poll_fill(cx))?;
            begun = true;
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for RequestLines<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.socket).poll_write(cx, bytes);
        this.unless_stalled(cx, polled)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.socket).poll_write_vectored(cx, bytes);
        this.unless_stalled(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.socket).poll_flush(cx);
        this.unless_stalled(cx, polled)
    }

    /// Closing a socket with unread bytes resets the connection, and a reset can overtake the
    /// answer (a 413 while the body still comes). So what comes is read for a while.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.linger.is_none() {
            let polled = Pin::new(&mut this.socket).poll_shutdown(cx);
            ready!(this.unless_stalled(cx, polled))?;
            this.linger = Some(Box::pin(tokio::time::sleep(LINGER)));
        }
        while this.is_cut_short() {
            let patient = this
                .linger
                .as_mut()
                .is_some_and(|end| end.as_mut().poll(cx).is_pending());
            if !patient {
                break;
            }
            this.input.unread.clear();
            // What the peer does now changes nothing: the answer is out.
            if ready!(this.poll_fill(cx)).is_err() {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}
