//! The table: what each failure is called, what it means for the recording, and what a person can
//! do. `docs/errors.txt` is made of it.
//!
//! Exhaustive on purpose: a failure without its row does not build.

use super::error::Disposition;
use Disposition::{Interrupted, Later, Permanent, Recheck, Retry};

/// What failed: with a PBX, the store or room on our disk every recording that needs them waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// This one alone.
    Recording,
    Pbx,
    Store,
    Room,
    /// Our program or its index; nothing is known of anything else.
    Us,
}

/// One failure's row.
pub struct Row {
    /// Stable: the index, `jobs` and `status` show it.
    pub code: &'static str,
    pub disposition: Disposition,
    pub of: Of,
    pub means: &'static str,
    pub advice: &'static str,
}

macro_rules! table {
    ($($code:ident $word:literal $disposition:expr, $of:ident,
        $means:literal, $advice:literal;)+) => {
        /// A kind of failure.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code { $($code),+ }

        impl Code {
            pub const ALL: &[Code] = &[$(Code::$code),+];

            pub fn row(self) -> Row {
                match self {
                    $(Code::$code => Row {
                        code: $word,
                        disposition: $disposition,
                        of: Of::$of,
                        means: $means,
                        advice: $advice,
                    }),+
                }
            }
        }
    };
}

table! {
    UrlOffPath "url_off_path" Permanent, Recording,
        "the announced URL is not on the PBX's recording path, so it is never requested", "look at what the PBX announces: no retry can help";
    UrlInvalid "url_invalid" Permanent, Recording,
        "the announced text is no URL, so nothing is requested", "look at what the PBX announces: no retry can help";
    UrlTooLong "url_too_long" Permanent, Recording,
        "the announced URL is too long, so it is never requested", "look at what the PBX announces: no retry can help";
    PbxNotConfigured "pbx_not_configured" Later(None), Us,
        "the settings name no such PBX any more", "put its [[pbx]] section back";
    PbxUnreachable "pbx_unreachable" Later(None), Pbx,
        "no connection to the PBX, no answer in time, or one that is no HTTP", "look at the network, base_url and connect_to";
    PbxTls "pbx_tls" Later(None), Pbx,
        "the PBX's certificate is not trusted", "renew it, or name its authority in ca_file";
    PbxLogin "pbx_login" Later(None), Pbx,
        "the PBX answered 401 or 403", "set or correct basic_user or bearer for this PBX";
    PbxBusy "pbx_busy" Later(None), Pbx,
        "the PBX answered 429, 502, 503 or 504", "nothing, unless it goes on";
    NotThere "not_there" Retry, Recording,
        "the PBX answered 404 or 410: not converted yet, or gone", "nothing at first; later look whether the PBX deletes too early";
    Redirect "redirect" Retry, Recording,
        "the PBX redirects, which is never followed", "let base_url point where recordings are served";
    PbxFailed "pbx_failed" Retry, Recording,
        "the PBX answered 500 for this recording", "try it in a browser; look at the PBX's log";
    PbxStatus "pbx_status" Retry, Recording,
        "an HTTP status that no recording comes with", "try it in a browser";
    BodyShort "body_short" Retry, Recording,
        "the body broke off before its end", "look at proxies on the way if it goes on";
    BodySlow "body_slow" Retry, Recording,
        "the body came slower than 1 KiB a second, or was not there after an hour", "look at the line to the PBX";
    BodyLarge "body_large" Retry, Recording,
        "the body is larger than any call", "look at what the PBX serves there";
    BodyEmpty "body_empty" Retry, Recording,
        "the answer was a 200 without a byte", "nothing at first; later look at the file on the PBX";
    NotAudio "not_audio" Retry, Recording,
        "the answer was a 200 with no MP3 in it, such as an error page", "try it in a browser";
    Doubtful "doubtful" Recheck, Recording,
        "the audio is shorter than the leg, or its last frame is cut", "nothing: it is fetched again, and archived flagged if it stays so";
    SourceChanged "source_changed" Retry, Recording,
        "the PBX now gives another body than the one that was tagged", "keep both in mind; look whether the PBX's counter restarted";
    Tag "tag" Permanent, Recording,
        "the tag could not be made, such as around a tag of over 16 MiB in the source", "report it, with the recording";
    SpoolFull "spool_full" Later(None), Room,
        "no room on our disk beyond spool_reserve", "make room where data_dir lies";
    Spool "spool" Later(None), Room,
        "our disk failed", "look at the disk where data_dir lies";
    StoreUnreachable "store_unreachable" Later(None), Store,
        "no connection to the store, or no answer in time", "look at the network and store.endpoint";
    StoreTls "store_tls" Later(None), Store,
        "the store's certificate is not trusted", "renew it, or have this machine trust its authority (update-ca-certificates)";
    StoreUnsent "store_unsent" Later(None), Store,
        "no request could be made, for want of credentials", "set access_key_file and secret_key_file";
    StoreRefused "store_refused" Later(None), Store,
        "the store refuses our key or its rights", "give the key the right to read and write this bucket";
    StoreClockSkew "store_clock_skew" Later(None), Store,
        "our clock or the store's is wrong", "set the clock";
    StoreNoBucket "store_no_bucket" Later(None), Store,
        "there is no such bucket", "make it, or correct store.bucket";
    StoreBusy "store_busy" Later(None), Store,
        "the store asks to slow down, or another write came between", "nothing, unless it goes on";
    StoreBadDigest "store_bad_digest" Later(None), Recording,
        "something else arrived at the store than was sent", "look at proxies and memory on the way if it goes on";
    StoreServer "store_server" Later(None), Store,
        "the store failed", "look at the store";
    StoreUnexpected "store_unexpected" Later(None), Recording,
        "an answer of the store that makes no sense here", "report it, with the error's text";
    StoreFull "store_full" Later(None), Store,
        "the store has no room", "make room in the store";
    StorePermission "store_permission" Later(None), Store,
        "the store's directory may not be written, or is read-only", "correct its owner and rights, or ReadWritePaths= in the unit";
    StoreDisk "store_disk" Later(None), Store,
        "the store's directory failed, or is not mounted", "look at the disk under store.path";
    StoreCut "store_cut" Later(None), Store,
        "the store's answer broke off", "nothing, unless it goes on";
    StoreOtherContent "store_other_content" Later(None), Recording,
        "the store gives back something else than was stored", "do not trust this store; look at it";
    NotProved "not_proved" Later(None), Recording,
        "the object is not in the store as it was sent", "look at the store if it goes on";
    LockNotEnforced "lock_not_enforced" Later(None), Us,
        "object_lock = \"compliance\" is set, and the store was seen to break its locks", "use a store that enforces object lock, or set object_lock to what it can keep";
    LockNotTried "lock_not_tried" Later(None), Store,
        "object_lock is set, and the store's locks could not be tried yet", "callvault check --online says why";
    LockNotKept "lock_not_kept" Later(None), Recording,
        "the object is in the store without the lock that it was to have", "look at the bucket's object lock if it goes on; give the key s3:PutObjectRetention";
    Conflict "conflict" Permanent, Recording,
        "another recording lies at this key; it is left, ours is kept in the spool", "find out who else writes this bucket; then callvault jobs retry";
    Index "index" Later(None), Us,
        "the index could not be read or written", "look at the disk where data_dir lies";
    IndexRow "index_row" Permanent, Us,
        "what the index holds of this recording cannot be read", "restore the index from a copy, or report it with the log's words";
    Panicked "panicked" Later(None), Us,
        "the program panicked on this recording", "report it, with what the log says at that time";
    LeaseLost "lease_lost" Interrupted, Us,
        "another attempt has taken this recording over", "nothing";
}

/// The codes of what fails with somebody.
pub fn codes_of(of: Of) -> Vec<&'static str> {
    let rows = Code::ALL.iter().map(|code| code.row());
    rows.filter(|row| row.of == of)
        .map(|row| row.code)
        .collect()
}

/// What a code means and what a person can do; none for a code that is not of this table.
pub fn explain(code: &str) -> Option<(&'static str, &'static str)> {
    let row = Code::ALL.iter().map(|known| known.row());
    let row = row.into_iter().find(|row| row.code == code)?;
    Some((row.means, row.advice))
}

/// The operators' list, as text.
pub fn errors_txt() -> String {
    let mut text = String::from(
        "Why a recording is not archived yet, by code. Made from the program's own table.\n\
         retry: tried by the schedule, given up once the PBX keeps the file no longer.\n\
         recheck: fetched again after recheck_doubtful.\n\
         wait: tried for ever; it goes on by itself. Of what fails with all others one is tried at a time.\n\
         fail: a person must look; callvault jobs retry.\n",
    );
    for code in Code::ALL {
        let row = code.row();
        let fate = match row.disposition {
            Retry => "retry",
            Recheck => "recheck",
            Later(_) => "wait",
            Permanent => "fail",
            Interrupted => "handed back",
        };
        text.push_str(&format!(
            "\n{}: {fate}\n    what: {}\n    do:   {}\n",
            row.code, row.means, row.advice
        ));
    }
    text
}
