//! The body of a request, against a deadline: a sender that drips holds its place only so long.
//!
//! Never here: how much of a body is wanted.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Sleep;

/// Why a body ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the body did not come in time")]
    TooSlow,
    #[error(transparent)]
    Read { source: hyper::Error },
}

pub(super) struct Timed {
    body: Incoming,
    deadline: Pin<Box<Sleep>>,
}

impl Timed {
    pub(super) fn new(body: Incoming, time: Duration) -> Timed {
        let deadline = Box::pin(tokio::time::sleep(time));
        Timed { body, deadline }
    }
}

impl Body for Timed {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame.map(|frame| frame.map_err(|source| Error::Read { source })));
        }
        let late = self.deadline.as_mut().poll(cx);
        late.map(|()| Some(Err(Error::TooSlow)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Whether a body failed because it did not come in time.
pub(super) fn is_too_slow(error: &warp::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if matches!(error.downcast_ref(), Some(Error::TooSlow)) {
            return true;
        }
        cause = error.source();
    }
    false
}
