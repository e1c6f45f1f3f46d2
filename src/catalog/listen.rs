//! Hearing a recording: its bytes from the store as they come, never whole in memory.
//!
//! Of a whole recording the last piece is held back until all of it is known to be what was
//! archived. Never here: who may hear it, or why.

use bytes::Bytes;

use super::verify::{Damage, ReadError, Stored};
use crate::model::digest::Hasher;
use crate::objects::{ObjectStore, Range, Reader};

/// The archive's store as those see it who only read.
#[derive(Debug, Clone)]
pub struct Shelf(ObjectStore);

impl Shelf {
    pub fn new(store: ObjectStore) -> Shelf {
        Shelf(store)
    }

    /// Opens a recording: all of it, or `bytes` from an offset.
    pub async fn open(
        &self,
        recording: &Stored,
        part: Option<(u64, u64)>,
    ) -> Result<Listening, ReadError> {
        let range = part.map(|(from, bytes)| Range { from, bytes });
        let opened = match range {
            Some(range) => self.0.get_range(&recording.key, range).await,
            None => self.0.get(&recording.key).await,
        };
        let opened = opened.map_err(|source| recording.unread(source))?;
        let reader = opened.ok_or_else(|| ReadError::Gone {
            id: recording.id.clone(),
            key: recording.key.clone(),
        })?;
        let expected_bytes = range.map_or(recording.bytes, |range| range.bytes);
        if reader.bytes() != expected_bytes {
            return Err(ReadError::Length {
                id: recording.id.clone(),
                bytes: reader.bytes(),
                expected_bytes,
            });
        }
        Ok(Listening {
            recording: recording.clone(),
            // A player asks for all of it by a part.
            hasher: (reader.bytes() == recording.bytes).then(Hasher::new),
            reader,
            held: None,
        })
    }
}

/// A recording on its way to somebody.
#[derive(Debug)]
pub struct Listening {
    recording: Stored,
    reader: Reader,
    /// Kept back until it is known that more follows, or that all of it was right.
    held: Option<Bytes>,
    /// Of a whole recording.
    hasher: Option<Hasher>,
}

impl Listening {
    /// How many bytes will come, if all is well.
    pub fn bytes(&self) -> u64 {
        self.reader.bytes()
    }

    /// The next bytes, none at the end. Of a whole recording the last ones come only if all were
    /// what was archived.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        loop {
            let chunk = self.reader.chunk().await;
            let Some(chunk) = chunk.map_err(|source| self.recording.unread(source))? else {
                self.check()?;
                return Ok(self.held.take());
            };
            if let Some(hasher) = &mut self.hasher {
                hasher.update(&chunk);
            }
            if let Some(ready) = self.held.replace(chunk) {
                return Ok(Some(ready));
            }
        }
    }

    fn check(&mut self) -> Result<(), ReadError> {
        let Some(found) = self.hasher.take().map(Hasher::finish) else {
            return Ok(());
        };
        match found == self.recording.sha256 {
            true => Ok(()),
            false => {
                self.held = None;
                Err(ReadError::Damaged {
                    id: self.recording.id.clone(),
                    damage: Box::new(Damage::Flipped),
                    expected: self.recording.sha256,
                    found,
                })
            }
        }
    }
}
