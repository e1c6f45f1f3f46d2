//! Hearing and downloading: a reason first, an entry in custody before the first byte, and for a
//! whole download the digest before the last one. Streamed from the store, never whole in memory.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use warp::Reply;
use warp::http::{HeaderMap, HeaderValue, StatusCode, header};
use warp::reply::Response;

use super::problem::{NOT_SOUND, Problem};
use super::singles::visible_row;
use super::{Answer, Api, Asked};
use crate::catalog::listen::Listening;
use crate::catalog::peaks::Error as Undrawn;
use crate::catalog::verify::{ReadError, Stored, stored};
use crate::model::access::Right;
use crate::model::chain::chain;
use crate::model::time::UtcMs;
use crate::store::custody::{self, Entry};
use crate::store::search::RecordingRow;
use crate::store::{Error, Tx, integrity, reasons};

const REASON: &str = "x-callvault-reason";
const CASE: &str = "x-callvault-case";
/// How often a running stream asks whether its token still opens anything.
const RECHECK: Duration = Duration::from_millis(500);

pub async fn head(api: Arc<Api>, asked: Asked) -> Answer {
    let (_, object) = visible(&api, &asked).await?;
    let download = is_download(&api, &asked).await?;
    let mut response = Response::default();
    let headers = response.headers_mut();
    describe(headers, &object, download);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(object.bytes));
    Ok(response)
}

pub async fn audio(api: Arc<Api>, asked: Asked) -> Answer {
    let (row, object) = visible(&api, &asked).await?;
    let download = is_download(&api, &asked).await?;
    let range = if download {
        None
    } else {
        let asked = asked.headers.get(header::RANGE);
        range(asked.and_then(|value| value.to_str().ok()), object.bytes)?
    };
    enter(
        &api,
        &asked,
        &row,
        if download {
            "downloaded by a person"
        } else {
            "listened"
        },
    )
    .await?;
    serve(api, asked, object, range, download).await
}

/// Whether it is asked for as a file, by one who may have it.
async fn is_download(api: &Api, asked: &Asked) -> Result<bool, Problem> {
    let download = match asked.query.get("download").map(String::as_str) {
        None | Some("0") => false,
        Some("1") => true,
        Some(_) => return Err(Problem::Query("download: expected 0 or 1".to_owned())),
    };
    if download && !asked.who.role.may(Right::Download) {
        api.deny(asked, Right::Download).await?;
        return Err(Problem::Forbidden(Right::Download));
    }
    Ok(download)
}

pub async fn peaks(api: Arc<Api>, asked: Asked) -> Answer {
    let (row, object) = visible(&api, &asked).await?;
    let duration_s = row.media_duration_s.unwrap_or_default();
    let media_ms = (duration_s * 1000.0) as u64;
    let found = api.peaks.peaks(&api.shelf, &object, media_ms).await;
    if let Err(Undrawn::Read(error)) = &found {
        note_damage(&api, &asked, &object, error).await;
    }
    let peaks = found?;
    let answer = serde_json::json!({ "duration_s": duration_s, "peaks": peaks.peaks, "is_vbr": peaks.is_vbr });
    Ok(warp::reply::json(&answer).into_response())
}

/// The recording, if the one who asks may see it and there is something to hear.
async fn visible(api: &Api, asked: &Asked) -> Result<(RecordingRow, Stored), Problem> {
    let row = visible_row(api, asked).await?;
    let object = stored(&row)?;
    Ok((row, object))
}

/// The act, with its reason, is committed before the first byte; once for each reason's window.
async fn enter(
    api: &Api,
    asked: &Asked,
    row: &RecordingRow,
    act: &'static str,
) -> Result<(), Problem> {
    let now = api.clock.now();
    let given = given_reason(&asked.headers)?;
    let required = api.settings.access.require_reason;
    let call = match &row.call {
        Some(call) => format!("{}/{call}", row.pbx),
        None => row.recording.to_string(),
    };
    let entry = asked.entry(now, act, &row.recording.to_string());
    let entered = api
        .store
        .write(move |tx| enter_act(tx, entry, &call, given, required, now));
    match entered.await? {
        true => Ok(()),
        false => Err(Problem::ReasonRequired),
    }
}

type Given = Option<(String, Option<String>)>;

/// False where a reason is needed and none holds.
fn enter_act(
    tx: &mut Tx,
    mut entry: Entry,
    call: &str,
    given: Given,
    required: bool,
    now: UtcMs,
) -> Result<bool, Error> {
    if let Some((reason, case)) = given {
        let until = now.plus(reasons::HOLDS);
        reasons::give(tx, &entry.actor, call, &reason, case.as_deref(), until)?;
    }
    let reason = reasons::holding(tx, &entry.actor, call, now)?;
    let until = match reason {
        Some(reason) => {
            entry.reason = Some(reason.reason);
            entry.case = reason.case;
            reason.until
        }
        None if required => return Ok(false),
        None => now.plus(reasons::HOLDS),
    };
    if custody::is_first(tx, &entry.actor, &entry.subject, entry.act, now, until)? {
        custody::append(tx, &entry)?;
    }
    Ok(true)
}

fn given_reason(headers: &HeaderMap) -> Result<Given, Problem> {
    let text = |name: &str| -> Result<Option<String>, Problem> {
        let Some(value) = headers.get(name) else {
            return Ok(None);
        };
        let text = String::from_utf8_lossy(value.as_bytes()).trim().to_owned();
        match text.chars().count() {
            0 => Ok(None),
            1..=reasons::MAX_CHARS => Ok(Some(text)),
            _ => Err(Problem::Query(format!(
                "{name}: at most {} characters",
                reasons::MAX_CHARS
            ))),
        }
    };
    let (reason, case) = (text(REASON)?, text(CASE)?);
    Ok(reason.map(|reason| (reason, case)))
}

/// What a Range header asks of so many bytes: where it begins and how many. One range; several are
/// answered whole, as the standard allows.
pub fn range(asked: Option<&str>, bytes: u64) -> Result<Option<(u64, u64)>, Problem> {
    let Some(spec) = asked.and_then(|asked| asked.strip_prefix("bytes=")) else {
        return Ok(None);
    };
    let Some((from, to)) = spec.split_once('-').filter(|_| !spec.contains(',')) else {
        return Ok(None);
    };
    // Signs and blanks are none of the standard's, though Rust would read a sign.
    let digits = |text: &&str| text.bytes().all(|byte| byte.is_ascii_digit());
    let number = |text: &str| Some(text).filter(digits)?.parse::<u64>().ok();
    let (from, end) = match (number(from), number(to)) {
        (Some(from), Some(to)) if from <= to => (from, to.saturating_add(1).min(bytes)),
        (Some(from), None) if to.is_empty() => (from, bytes),
        (None, Some(last)) if from.is_empty() && last > 0 => (bytes.saturating_sub(last), bytes),
        _ => return Ok(None),
    };
    match from < end {
        true => Ok(Some((from, end - from))),
        false => Err(Problem::Range { bytes }),
    }
}

async fn serve(
    api: Arc<Api>,
    asked: Asked,
    object: Stored,
    range: Option<(u64, u64)>,
    download: bool,
) -> Answer {
    let begun = begin(&api, &object, range).await;
    if let Err(error) = &begun {
        note_damage(&api, &asked, &object, error).await;
    }
    let (listening, first) = begun?;
    let bytes = listening.bytes();
    let flow = Flow {
        api,
        asked,
        object: object.clone(),
        checked: None,
        first,
        listening,
    };
    let mut response = warp::reply::stream(stream::try_unfold(flow, Flow::next)).into_response();
    let headers = response.headers_mut();
    describe(headers, &object, download);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes));
    if let Some((from, bytes)) = range {
        let text = format!("bytes {from}-{}/{}", from + bytes - 1, object.bytes);
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(header::CONTENT_RANGE, value);
        }
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

/// Opened, and its first piece read before the head goes out, so that what is damaged in its only
/// piece is still said to be.
async fn begin(
    api: &Api,
    object: &Stored,
    range: Option<(u64, u64)>,
) -> Result<(Listening, Option<Bytes>), ReadError> {
    let mut listening = api.shelf.open(object, range).await?;
    let first = listening.next().await?;
    Ok((listening, first))
}

/// What somebody found not to be what was archived is known to all from then on.
async fn note_damage(api: &Arc<Api>, asked: &Asked, object: &Stored, error: &ReadError) {
    if !error.is_integrity() {
        return;
    }
    let (id, damage) = (object.id.clone(), chain(error));
    let seen = asked.entry(api.clock.now(), "mismatch", &id.to_string());
    let api = api.clone();
    // A task of its own: it is noted also if the one who found it is gone.
    let noting = tokio::spawn(async move {
        let note = move |tx: &mut Tx| integrity::note(tx, &id, Some(&damage), seen);
        if let Err(error) = api.store.write(note).await {
            tracing::error!(error = chain(&error), "damage could not be noted");
        }
    });
    let _ = noting.await;
}

/// A recording on its way to a person, as long as the token opens anything.
struct Flow {
    api: Arc<Api>,
    asked: Asked,
    object: Stored,
    /// When the token was last seen to be valid.
    checked: Option<tokio::time::Instant>,
    /// Was read before the answer began.
    first: Option<Bytes>,
    listening: Listening,
}

impl Flow {
    async fn next(mut self) -> std::io::Result<Option<(Bytes, Flow)>> {
        if self
            .checked
            .is_none_or(|checked| checked.elapsed() > RECHECK)
        {
            self.api.still_valid(&self.asked.who.name).await?;
            self.checked = Some(tokio::time::Instant::now());
        }
        if let Some(first) = self.first.take() {
            return Ok(Some((first, self)));
        }
        match self.listening.next().await {
            Ok(chunk) => Ok(chunk.map(|chunk| (chunk, self))),
            Err(error) => {
                // The head is out already: all that can be done is to end before the last byte.
                match error.is_integrity() {
                    true => tracing::error!(error = chain(&error), "{NOT_SOUND}"),
                    false => tracing::error!(error = chain(&error), "a recording broke off"),
                }
                note_damage(&self.api, &self.asked, &self.object, &error).await;
                Err(std::io::Error::other(error))
            }
        }
    }
}

fn describe(headers: &mut HeaderMap, object: &Stored, download: bool) {
    let how = if download { "attachment" } else { "inline" };
    // A recording's name is of a safe alphabet.
    let name = format!("{how}; filename=\"{}.mp3\"", object.id.recording);
    if let Ok(value) = HeaderValue::from_str(&name) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("audio/mpeg"));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("private, no-store"),
    );
}
