//! A body on its way to S3: sized, and read from disk only as fast as it is sent.
//!
//! Never here: the whole of a file in memory.

use std::fs::File;
use std::future::ready;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt as _};
use http_body::{Frame, SizeHint};

use crate::objects::body::{self, Body, FileRange};
use crate::objects::error::Error;

pub struct Sending {
    body: Body,
    file: Option<Arc<File>>,
    failure: Failure,
}

/// Why the file could not be read on; the SDK would call it a failed connection.
type Failure = Arc<Mutex<Option<io::Error>>>;

impl Sending {
    pub fn open(body: Body) -> Result<Sending, Error> {
        let file = body.tail.as_ref().map(FileRange::open).transpose()?;
        Ok(Sending {
            body,
            file: file.map(Arc::new),
            failure: Failure::default(),
        })
    }

    pub fn stream(&self) -> ByteStream {
        let head = self.body.head.clone();
        let (Some(range), Some(file)) = (&self.body.tail, &self.file) else {
            // In memory, so that the SDK signs the payload too.
            return ByteStream::from(head);
        };
        let tail = chunks(range, Arc::clone(file), Arc::clone(&self.failure));
        let chunks = stream::once(ready(Ok(head))).chain(tail);
        ByteStream::new(SdkBody::from_body_1_x(Sized {
            chunks: Box::pin(chunks),
            left_bytes: self.body.bytes(),
        }))
    }

    /// What the local file did wrong, if anything.
    pub fn failure(self) -> Option<Error> {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        let source = failure.take()?;
        self.body.tail.map(|range| range.unreadable(source))
    }
}

fn chunks(
    range: &FileRange,
    file: Arc<File>,
    failure: Failure,
) -> impl Stream<Item = io::Result<Bytes>> + Send + Sync + use<> {
    let end = range.from + range.bytes;
    stream::try_unfold(range.from, move |from| {
        let (file, failure) = (Arc::clone(&file), Arc::clone(&failure));
        async move {
            if from == end {
                return Ok(None);
            }
            match body::read_at(file, from, end - from).await {
                Ok(chunk) => {
                    let next = from + chunk.len() as u64;
                    Ok(Some((chunk, next)))
                }
                Err(error) => {
                    let kind = error.kind();
                    *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    Err(kind.into())
                }
            }
        }
    })
}

/// A stream whose length is known, so that it goes out with a Content-Length.
struct Sized {
    chunks: Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send + Sync>>,
    left_bytes: u64,
}

impl http_body::Body for Sized {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.chunks.as_mut().poll_next(context).map(|next| {
            next.map(|chunk| {
                let chunk = chunk?;
                self.left_bytes -= chunk.len() as u64;
                Ok(Frame::data(chunk))
            })
        })
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left_bytes)
    }
}
