//! Announcements that come again long after: the file is fetched once more and compared with what
//! is archived. The same is noted; another one is kept beside it, and flagged.
//!
//! Never here: anything that changes what is archived.

use crate::clock::Clock;
use crate::model::chain::chain;
use crate::model::doubt;
use crate::model::id::{PbxName, RecordingId};
use crate::pbx::{Client, Fetched};
use crate::spool::Spool;
use crate::store::claims::Original;
use crate::store::comparison::{self, Due};
use crate::store::{self, Store, Tx};

/// One after another, so that a replay of old events is no load on the PBX.
const AT_A_TIME: u32 = 10;
const DIGEST_DIGITS: usize = 8;

/// Of one PBX.
pub struct Comparer {
    pub store: Store,
    pub clock: Clock,
    pub spool: Spool,
    pub pbx: PbxName,
    pub client: Client,
}

/// What the PBX has now.
enum Sight {
    Same,
    Other {
        beside: RecordingId,
        original: Original,
        media_ms: u64,
    },
    /// Nothing whole, and why.
    Nothing(String),
}

impl Comparer {
    /// Compares what is due.
    pub async fn look(&self) -> Result<(), store::Error> {
        let now = self.clock.now();
        let pbx = self.pbx.clone();
        let due = self
            .store
            .read(move |db| comparison::due(db, &pbx, now, AT_A_TIME))
            .await?;
        for due in due {
            if due.is_moot {
                let moot = move |tx: &mut Tx| comparison::moot(tx, &due, now);
                self.store.write(moot).await?;
                continue;
            }
            let sight = self.sight(&due).await;
            self.note(due, sight).await?;
        }
        Ok(())
    }

    async fn note(&self, due: Due, sight: Sight) -> Result<(), store::Error> {
        let now = self.clock.now();
        let Sight::Other {
            beside,
            original,
            media_ms,
        } = sight
        else {
            let noted = self.store.write(move |tx| match &sight {
                Sight::Nothing(why) => comparison::missed(tx, &due, why, now),
                _ => comparison::same(tx, &due, now),
            });
            return noted.await;
        };
        match due.short_of_s {
            Some(_) => tracing::info!(recording = %due.id, %beside, "all of it came later"),
            None => {
                tracing::error!(recording = %due.id, %beside, "the PBX has other content by now");
            }
        }
        let copy = beside.clone();
        let waits = self
            .store
            .write(move |tx| comparison::other(tx, &due, &beside, original, media_ms, now));
        if !waits.await?
            && let Err(error) = self.spool.remove(&copy)
        {
            tracing::warn!(recording = %copy, error = chain(&error), "a file stays in the spool");
        }
        Ok(())
    }

    async fn sight(&self, due: &Due) -> Sight {
        match self.client.fetch(&due.path, &due.id, &self.spool).await {
            Err(error) => Sight::Nothing(chain(&error)),
            Ok(Fetched {
                broke_off: Some(why),
                ..
            }) => Sight::Nothing(chain(&why)),
            Ok(fetched) => self.looked_at(fetched, due).await,
        }
    }

    async fn looked_at(&self, fetched: Fetched, due: &Due) -> Sight {
        let (spool, due) = (self.spool.clone(), due.clone());
        let looked = tokio::task::spawn_blocking(move || {
            let (fresh, walked) = fetched.look()?;
            let body = fresh.body();
            if body.sha256 == due.original {
                return Ok(Sight::Same);
            }
            let walk = match walked {
                Ok(walked) => walked.walk,
                Err(not_audio) => return Ok(Sight::Nothing(chain(&not_audio))),
            };
            if doubt::is_doubtful(&doubt::flags(&walk, None)) {
                return Ok(Sight::Nothing("its last frame is cut".to_owned()));
            }
            if due
                .short_of_s
                .is_some_and(|leg_s| doubt::is_short(walk.media_ms, leg_s))
            {
                return Ok(Sight::Nothing(
                    "it is shorter than its leg still".to_owned(),
                ));
            }
            let beside = beside(&due.id, &body.sha256.to_string());
            let original = Original {
                sha256: body.sha256,
                bytes: body.bytes,
            };
            fresh.keep_as(&spool.path(&beside))?;
            Ok(Sight::Other {
                beside,
                original,
                media_ms: walk.media_ms,
            })
        });
        let looked = looked
            .await
            .unwrap_or(Err(crate::spool::Error::Interrupted));
        looked.unwrap_or_else(|error| Sight::Nothing(chain(&error)))
    }
}

/// `230307142318_40-2-1~0a1b2c3d`: the same file again has the same name again.
fn beside(id: &RecordingId, sha256: &str) -> RecordingId {
    // A name may be 64 bytes long, and what is cut off its end is told by the digest.
    let kept = 64 - 1 - DIGEST_DIGITS;
    let name: String = id.recording.as_str().chars().take(kept).collect();
    let digits = &sha256[..DIGEST_DIGITS];
    RecordingId {
        pbx: id.pbx.clone(),
        recording: format!("{name}~{digits}")
            .parse()
            .expect("a name, a tilde and hex digits are a name"),
    }
}
