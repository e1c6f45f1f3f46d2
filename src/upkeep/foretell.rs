//! Announcements that never came: a lost request is a lost event, but the URL of a recording can
//! be foretold from its leg. A file that is there is logged as if it had been announced, and goes
//! the way of all others.

use std::time::Duration;

use crate::clock::{Clock, Mark};
use crate::model::chain::chain;
use crate::model::id::{PbxName, RecordingId};
use crate::model::vendor::Vendor;
use crate::pbx::{Client, Error};
use crate::spool::Spool;
use crate::store::foretold::{self, Due};
use crate::store::log::{self, Delivery, FORETOLD};
use crate::store::{self, Store};

const AT_A_TIME: u32 = 50;

/// Of one PBX.
pub struct Foreteller {
    pub store: Store,
    pub clock: Clock,
    pub spool: Spool,
    pub pbx: PbxName,
    pub vendor: Vendor,
    pub client: Client,
    /// Extensions that are not recorded by policy.
    pub not_recorded: Vec<String>,
    /// How long the PBX keeps its files.
    pub source_keeps: Duration,
}

/// What looking for a recording came to.
enum Sight {
    There,
    NotThere,
    /// Nothing was learnt: the PBX was away, or our disk was full.
    Unknown,
}

impl Foreteller {
    /// Looks for what is overdue; returns whether something was found and logged.
    pub async fn look(&self) -> Result<bool, store::Error> {
        let mark = self.clock.mark();
        if self.clock.followed().set_until(mark).is_some() {
            // What is due, and since when, is known again as soon as the index has followed.
            return Ok(false);
        }
        let (now, pbx) = (mark.wall, self.pbx.clone());
        let due = self
            .store
            .read(move |db| foretold::due(db, &pbx, now, AT_A_TIME))
            .await?;
        let mut found = false;
        for due in due {
            found |= self.look_for(due, mark).await?;
        }
        Ok(found)
    }

    async fn look_for(&self, due: Due, mark: Mark) -> Result<bool, store::Error> {
        let extension = due.extension.as_ref();
        if extension.is_some_and(|extension| self.not_recorded.contains(extension)) {
            return self
                .store
                .write(move |tx| foretold::settled(tx, &due))
                .await
                .map(|()| false);
        }
        let sight = self.sight(&due).await;
        let now = self.clock.now();
        match sight {
            Sight::There => {
                let delivery = self.announcement(&due);
                let logged = self.store.write(move |tx| {
                    log::append(tx.one(), &delivery)?;
                    foretold::settled(tx, &due)
                });
                logged.await.map(|()| true)
            }
            Sight::NotThere => self
                .store
                .write(move |tx| foretold::missed(tx, &due, now))
                .await
                .map(|()| false),
            Sight::Unknown => {
                // Also if the clock was set since it was found overdue.
                let by_then = mark.carried_to(self.clock.mark());
                let is_past = by_then >= due.window.plus(self.source_keeps);
                let put_off = self.store.write(move |tx| match is_past {
                    true => foretold::settled(tx, &due),
                    false => foretold::put_off(tx, &due, now),
                });
                put_off.await.map(|()| false)
            }
        }
    }

    fn announcement(&self, due: &Due) -> Delivery {
        let path = self.vendor.foretold(&due.leg_id());
        Delivery {
            pbx: due.call.pbx.clone(),
            received: self.clock.now(),
            live: false,
            method: FORETOLD.to_owned(),
            content_type: None,
            target: None,
            peer: None,
            raw: self.client.url(&path).into_bytes(),
        }
    }

    /// Only audio counts: a PBX may answer anything with a page.
    async fn sight(&self, due: &Due) -> Sight {
        let leg = due.leg_id();
        let Ok(recording) = format!("{leg}-1").parse() else {
            return Sight::NotThere;
        };
        let id = RecordingId {
            pbx: due.call.pbx.clone(),
            recording,
        };
        let path = self.vendor.foretold(&leg);
        match self.client.fetch(&path, &id, &self.spool).await {
            Ok(fetched) => {
                let looked = tokio::task::spawn_blocking(move || fetched.look());
                match looked.await {
                    Ok(Ok((_, Ok(_)))) => Sight::There,
                    Ok(Ok((_, Err(_)))) => Sight::NotThere,
                    Ok(Err(_)) | Err(_) => Sight::Unknown,
                }
            }
            Err(
                Error::NotThere { .. }
                | Error::Redirect { .. }
                | Error::Failed { .. }
                | Error::Status { .. },
            ) => Sight::NotThere,
            Err(error) => {
                tracing::debug!(recording = %id, error = chain(&error), "could not be looked for");
                Sight::Unknown
            }
        }
    }
}
