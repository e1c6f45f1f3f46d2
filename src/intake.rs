//! Receiving: a delivery goes into the log, and that is all.
//!
//! Never here: parsing. Whatever a delivery says, it is kept first and read afterwards, so that no
//! event can be lost for what is in it.

use crate::model::id::EventSeq;
use crate::store::log::{self, Delivery};
use crate::store::{Error, Store};

/// Logs a delivery. Returns after COMMIT; only then may it be acknowledged.
pub async fn log(store: &Store, delivery: Delivery) -> Result<EventSeq, Error> {
    store
        .write_one(move |one| log::append(one, &delivery))
        .await
}
