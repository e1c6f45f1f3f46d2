//! Object lock, as S3 writes it.
//!
//! Never here: lifting one. No request of ours carries the right to bypass governance.

use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{ObjectLockMode, ObjectLockRetention, ObjectLockRetentionMode};

use super::{Bucket, Failure, failure};
use crate::model::key::ObjectKey;
use crate::model::lock::{Lock, LockMode};
use crate::model::time::UtcMs;
use crate::objects::error::{Answer, At, Error, Operation};

pub fn mode(lock: Lock) -> ObjectLockMode {
    match lock.mode {
        LockMode::Governance => ObjectLockMode::Governance,
        LockMode::Compliance => ObjectLockMode::Compliance,
    }
}

pub fn until(lock: Lock) -> DateTime {
    DateTime::from_millis(lock.until.0)
}

/// What an answer's headers say.
pub fn read(mode: Option<&ObjectLockMode>, until: Option<DateTime>) -> Option<Lock> {
    let mode = match mode? {
        ObjectLockMode::Governance => LockMode::Governance,
        ObjectLockMode::Compliance => LockMode::Compliance,
        _ => return None,
    };
    let until = UtcMs(until?.to_millis().ok()?);
    Some(Lock { mode, until })
}

impl Bucket {
    pub(in crate::objects) async fn lock(
        &self,
        key: &ObjectKey,
        version_id: Option<&str>,
    ) -> Result<Option<Lock>, Error> {
        let asked = self
            .client
            .get_object_retention()
            .bucket(&self.name)
            .key(self.key(key))
            .set_version_id(version_id.map(str::to_owned))
            .send()
            .await;
        match asked {
            Ok(answer) => Ok(answer.retention.and_then(|retention| {
                let mode = ObjectLockMode::from(retention.mode?.as_str());
                read(Some(&mode), retention.retain_until_date)
            })),
            Err(error) => match failure(At::new(Operation::ReadLock, key), error) {
                // Neither the object nor, maybe, its bucket has one.
                Failure::Answered(
                    _,
                    Answer {
                        status: 400 | 404, ..
                    },
                ) => Ok(None),
                failure => Err(failure.into()),
            },
        }
    }

    pub(in crate::objects) async fn set_lock(
        &self,
        key: &ObjectKey,
        version_id: Option<&str>,
        lock: Lock,
    ) -> Result<(), Error> {
        let retention = ObjectLockRetention::builder()
            .mode(ObjectLockRetentionMode::from(mode(lock).as_str()))
            .retain_until_date(until(lock));
        let set = self
            .client
            .put_object_retention()
            .bucket(&self.name)
            .key(self.key(key))
            .set_version_id(version_id.map(str::to_owned))
            .retention(retention.build())
            .send()
            .await;
        let at = At::new(Operation::SetLock, key);
        set.map(|_| ()).map_err(|error| failure(at, error).into())
    }
}
