//! The waveform of a recording: how loud it is along its length, for a player to draw.
//!
//! Never here: drawing, or a decoder of our own.

use std::collections::HashMap;
use std::io::{Seek, Write};
use std::sync::{Arc, Mutex, PoisonError};

use symphonia::core::audio::SampleBuffer;
use symphonia::core::codecs::DecoderOptions;
use symphonia::core::errors::Error as Symphonia;
use symphonia::core::formats::FormatOptions;
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::MetadataOptions;
use symphonia::core::probe::Hint;

use super::listen::Shelf;
use super::verify::{ReadError, Stored};
use crate::model::digest::Digest;

/// As many as a wide screen shows.
const PEAKS: usize = 800;
const CACHED_MAX: usize = 500;
/// By so much may frames of one bitrate differ.
const PADDING_BYTES: usize = 1;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("keep a recording while it is decoded")]
    Temporary(#[source] std::io::Error),
    #[error("decode a recording")]
    Decode(#[source] Symphonia),
    #[error("decoding was interrupted")]
    Interrupted,
}

#[derive(Debug)]
pub struct Peaks {
    /// Loudness from 0 to 1, evenly along the recording.
    pub peaks: Vec<f32>,
    /// Its frames differ in length, so that no place in it can be told from a time.
    pub is_vbr: bool,
}

/// Waveforms by the digest of the object, the newest ones.
#[derive(Debug, Default)]
pub struct Cache(Mutex<HashMap<Digest, Arc<Peaks>>>);

impl Cache {
    /// The waveform of a recording that is `media_ms` long.
    pub async fn peaks(
        &self,
        shelf: &Shelf,
        of: &Stored,
        media_ms: u64,
    ) -> Result<Arc<Peaks>, Error> {
        let cached = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(peaks) = cached().get(&of.sha256) {
            return Ok(peaks.clone());
        }
        let mut file = tempfile::tempfile().map_err(Error::Temporary)?;
        let mut listening = shelf.open(of, None).await?;
        while let Some(chunk) = listening.next().await? {
            file.write_all(&chunk).map_err(Error::Temporary)?;
        }
        file.rewind().map_err(Error::Temporary)?;
        let decoded = tokio::task::spawn_blocking(move || decode(file, media_ms)).await;
        let peaks = Arc::new(decoded.unwrap_or(Err(Error::Interrupted))?);
        let mut cache = cached();
        if cache.len() >= CACHED_MAX {
            cache.clear();
        }
        cache.insert(of.sha256, peaks.clone());
        Ok(peaks)
    }
}

fn decode(file: std::fs::File, media_ms: u64) -> Result<Peaks, Error> {
    let stream = MediaSourceStream::new(Box::new(file), Default::default());
    let mut hint = Hint::new();
    hint.with_extension("mp3");
    let (format, metadata) = (FormatOptions::default(), MetadataOptions::default());
    let probed = symphonia::default::get_probe().format(&hint, stream, &format, &metadata);
    let mut format = probed.map_err(Error::Decode)?.format;
    let track = format
        .default_track()
        .ok_or(Error::Decode(Symphonia::Unsupported("no track")))?;
    let (params, track_id) = (track.codec_params.clone(), track.id);
    let codecs = symphonia::default::get_codecs();
    let mut decoder = codecs
        .make(&params, &DecoderOptions::default())
        .map_err(Error::Decode)?;
    let rate_hz = u64::from(params.sample_rate.unwrap_or(8000));
    let samples = (media_ms * rate_hz / 1000).max(1);
    let mut peaks = vec![0f32; PEAKS];
    let mut at = 0u64;
    let (mut least_bytes, mut most_bytes) = (usize::MAX, 0);
    // A damaged frame is passed over: a waveform with a hole is better than none.
    while let Ok(packet) = format.next_packet() {
        if packet.track_id() != track_id {
            continue;
        }
        least_bytes = least_bytes.min(packet.data.len());
        most_bytes = most_bytes.max(packet.data.len());
        let Ok(decoded) = decoder.decode(&packet) else {
            continue;
        };
        let channels = decoded.spec().channels.count().max(1);
        let mut buffer = SampleBuffer::<f32>::new(decoded.capacity() as u64, *decoded.spec());
        buffer.copy_interleaved_ref(decoded);
        for frame in buffer.samples().chunks(channels) {
            let loud = frame
                .iter()
                .fold(0f32, |loud, sample| loud.max(sample.abs()));
            let place = (at * PEAKS as u64 / samples).min(PEAKS as u64 - 1) as usize;
            peaks[place] = peaks[place].max(loud.min(1.0));
            at += 1;
        }
    }
    // Two digits are all that a screen shows.
    peaks
        .iter_mut()
        .for_each(|peak| *peak = (*peak * 100.0).round() / 100.0);
    Ok(Peaks {
        peaks,
        is_vbr: most_bytes > least_bytes.saturating_add(PADDING_BYTES),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speech_is_loud_and_silence_is_not() {
        let file = tempfile_of(include_bytes!("../../tests/audio/230307142318_40-1-1.mp3"));
        let Peaks { peaks, is_vbr } = decode(file, 14_760).unwrap();
        assert_eq!((peaks.len(), is_vbr), (PEAKS, false));
        assert!(peaks.iter().any(|peak| *peak > 0.2), "{peaks:?}");
        assert!(peaks.iter().any(|peak| *peak < 0.05), "{peaks:?}");
        assert!(decode(tempfile_of(b"no audio"), 1000).is_err());
        let vbr = tempfile_of(include_bytes!("../../tests/audio/vbr.mp3"));
        assert!(decode(vbr, 4000).unwrap().is_vbr);
    }

    fn tempfile_of(bytes: &[u8]) -> std::fs::File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        file
    }
}
