//! Removing: only canaries ever are.
//!
//! Never here: a key that a recording could have.

use super::{Bucket, failure};
use crate::model::key::ObjectKey;
use crate::objects::error::{At, Error, Operation};
use crate::objects::probe::PREFIX;

impl Bucket {
    /// Removes a version for good, or, where none is named, what a plain DELETE removes. Answers
    /// the version id of the delete marker that this may have made.
    pub(in crate::objects) async fn remove_canary(
        &self,
        key: &ObjectKey,
        version_id: Option<&str>,
    ) -> Result<Option<String>, Error> {
        let at = At::new(Operation::Remove, key);
        let removed = self
            .client
            .delete_object()
            .bucket(&self.name)
            .key(self.key(key))
            .set_version_id(version_id.map(str::to_owned))
            .send()
            .await;
        match removed {
            Ok(answer) => Ok(answer.version_id.filter(|_| version_id.is_none())),
            Err(error) => Err(failure(at, error).into()),
        }
    }

    /// Removes canaries that were left, where that is allowed, or allowed by now: a locked one
    /// goes when its lock has passed. Returns how many went.
    pub(in crate::objects) async fn sweep(&self) -> Result<usize, Error> {
        let mut removed = 0;
        for (key, version_id) in self.left().await? {
            match self.remove_canary(&key, version_id.as_deref()).await {
                Ok(_) => removed += 1,
                Err(error) if error.is_refusal() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(removed)
    }

    /// Every version of every canary, delete markers too; of a store that lists no versions, the
    /// objects.
    async fn left(&self) -> Result<Vec<(ObjectKey, Option<String>)>, Error> {
        let prefix = format!("{}{PREFIX}canary-", self.prefix);
        let listed = self.client.list_object_versions().bucket(&self.name);
        let listed = listed.prefix(&prefix).send().await;
        let Ok(listed) = listed else {
            return self.left_objects(prefix).await;
        };
        let versions = listed.versions.unwrap_or_default().into_iter();
        let versions = versions.map(|version| (version.key, version.version_id));
        let markers = listed.delete_markers.unwrap_or_default().into_iter();
        let markers = markers.map(|marker| (marker.key, marker.version_id));
        let left = versions.chain(markers);
        Ok(left
            .filter_map(|(name, version_id)| Some((self.canary(&name?)?, version_id)))
            .collect())
    }

    async fn left_objects(
        &self,
        prefix: String,
    ) -> Result<Vec<(ObjectKey, Option<String>)>, Error> {
        let pattern: ObjectKey = format!("{PREFIX}canary-")
            .parse()
            .expect("a fixed name is a key");
        let listed = self.client.list_objects_v2().bucket(&self.name);
        let listed = listed.prefix(prefix).send().await;
        let listed =
            listed.map_err(|error| Error::from(failure(At::new(Operation::List, &pattern), error)));
        let objects = listed?.contents.unwrap_or_default().into_iter();
        Ok(objects
            .filter_map(|object| Some((self.canary(&object.key?)?, None)))
            .collect())
    }

    /// A listing is the store's word: what does not begin so is none of ours.
    fn canary(&self, name: &str) -> Option<ObjectKey> {
        let key = name.strip_prefix(&self.prefix)?;
        let key = key.starts_with(PREFIX).then_some(key)?;
        key.parse().ok()
    }
}
