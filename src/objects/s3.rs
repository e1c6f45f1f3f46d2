//! An S3 bucket as object store: the only room that knows the SDK.
//!
//! Never here: a second try (the pipeline's retry table decides that), a proxy or any other setting
//! taken from the environment (but for credentials, where the settings name none), or a PUT without
//! its SHA-256 and its condition; that falls only where the store knows none, by the caller's leave.

mod canaries;
mod locks;
mod metadata;
mod sending;

use std::time::Duration;

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::provider_config::ProviderConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Builder, Credentials, HttpClient, Region, RequestChecksumCalculation,
    ResponseChecksumValidation, SharedCredentialsProvider, SharedHttpClient,
    StalledStreamProtectionConfig,
};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::RequestId;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumMode, ServerSideEncryption, StorageClass};
use aws_smithy_http_client::tls;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use secrecy::ExposeSecret as _;

use super::error::{Answer, At, Error, Operation, Source};
use super::{Head, Put, Range, Stored};
use crate::config::{S3Settings, Sse};
use crate::model::chain::is_about_trust;
use crate::model::digest::Digest;
use crate::model::key::ObjectKey;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// From the request to the head of its answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest silence within a body that is being read.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(30);
/// An upload slower than this is given up, after the time any answer may take: eight at once pass a
/// line of 1 Mbit/s.
const SLOWEST_UPLOAD_BYTES_PER_S: u64 = 16 * 1024;
/// What is sent at that pace within the time that any answer may take. To set a time for a request
/// costs the SDK more than to sign it.
const SOON_SENT_BYTES: u64 = ANSWER_TIMEOUT.as_secs() * SLOWEST_UPLOAD_BYTES_PER_S;

#[derive(Debug, Clone)]
pub struct Bucket {
    client: Client,
    name: String,
    /// Empty, or ends in `/`.
    prefix: String,
    sse: Option<ServerSideEncryption>,
    kms_key: Option<String>,
    storage_class: Option<StorageClass>,
}

impl Bucket {
    pub(super) async fn open(settings: &S3Settings) -> Bucket {
        let http = http_client();
        let credentials = credentials(settings, &http).await;
        let mut config = Builder::new()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .http_client(http)
            .region(Region::new(settings.region.clone()))
            .credentials_provider(credentials)
            .force_path_style(settings.path_style)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .retry_config(RetryConfig::disabled())
            .timeout_config(answer_within(ANSWER_TIMEOUT))
            // It has false alarms on uploads; on downloads CHUNK_TIMEOUT does its work.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        if let Some(endpoint) = &settings.endpoint {
            config = config.endpoint_url(endpoint.to_string());
        }
        Bucket {
            client: Client::from_conf(config.build()),
            name: settings.bucket.clone(),
            prefix: settings.prefix.clone(),
            sse: settings.sse.map(|sse| match sse {
                Sse::Aes256 => ServerSideEncryption::Aes256,
                Sse::AwsKms => ServerSideEncryption::AwsKms,
            }),
            kms_key: settings.kms_key.clone(),
            storage_class: settings.storage_class.as_deref().map(StorageClass::from),
        }
    }

    pub(super) async fn put_new(&self, put: Put<'_>) -> Result<Stored, Error> {
        match self.send(&put, Some("*")).await {
            Err(error) if put.or_unconditionally && error.is_not_implemented() => {
                self.send(&put, None).await
            }
            stored => stored,
        }
    }

    async fn send(&self, put: &Put<'_>, if_none_match: Option<&str>) -> Result<Stored, Error> {
        let at = At::new(Operation::Put, put.key);
        let bytes = put.body.bytes();
        let body = sending::Sending::open(put.body.clone())?;
        let request = self
            .client
            .put_object()
            .bucket(&self.name)
            .key(self.key(put.key))
            .set_if_none_match(if_none_match.map(str::to_owned))
            .checksum_sha256(BASE64.encode(put.sha256.as_bytes()))
            .content_type(put.content_type)
            .set_metadata(Some(metadata::headers(put.sha256, &put.metadata)))
            .set_server_side_encryption(self.sse.clone())
            .set_ssekms_key_id(self.kms_key.clone())
            .set_storage_class(self.storage_class.clone())
            .set_object_lock_mode(put.lock.map(locks::mode))
            .set_object_lock_retain_until_date(put.lock.map(locks::until))
            .body(body.stream());
        let sent = match bytes <= SOON_SENT_BYTES {
            true => request.send().await,
            false => {
                let sending = Duration::from_secs(bytes / SLOWEST_UPLOAD_BYTES_PER_S);
                let within = answer_within(ANSWER_TIMEOUT + sending);
                let patient = Builder::new().timeout_config(within);
                request.customize().config_override(patient).send().await
            }
        };
        match sent {
            Ok(answer) => Ok(Stored::Created {
                sha256: answer.checksum_sha256.as_deref().and_then(read_digest),
                version_id: answer.version_id,
            }),
            Err(error) => match (body.failure(), failure(at, error)) {
                // The SDK takes a body that fails for a connection that fails.
                (Some(local), _) => Err(local),
                (None, Failure::Answered(_, Answer { status: 412, .. })) => {
                    Ok(Stored::AlreadyThere)
                }
                (None, failure) => Err(failure.into()),
            },
        }
    }

    pub(super) async fn head(&self, key: &ObjectKey) -> Result<Option<Head>, Error> {
        let at = At::new(Operation::Head, key);
        let asked = self
            .client
            .head_object()
            .bucket(&self.name)
            .key(self.key(key))
            .checksum_mode(ChecksumMode::Enabled)
            .send()
            .await;
        match asked {
            Ok(head) => Ok(Some(Head {
                bytes: length(at, head.content_length)?,
                sha256: head.checksum_sha256.as_deref().and_then(read_digest),
                version_id: head.version_id,
                lock: locks::read(
                    head.object_lock_mode.as_ref(),
                    head.object_lock_retain_until_date,
                ),
            })),
            Err(error) => match failure(at, error) {
                Failure::Answered(at, Answer { status: 404, .. }) => {
                    self.bucket_is_there(at).await.map(|()| None)
                }
                failure => Err(failure.into()),
            },
        }
    }

    pub(super) async fn get(
        &self,
        key: &ObjectKey,
        version_id: Option<&str>,
        range: Option<Range>,
    ) -> Result<Option<AnswerBody>, Error> {
        let at = At::new(Operation::Get, key);
        let asked = self
            .client
            .get_object()
            .bucket(&self.name)
            .key(self.key(key))
            .set_version_id(version_id.map(str::to_owned))
            .set_range(
                range.map(|Range { from, bytes }| format!("bytes={from}-{}", from + bytes - 1)),
            )
            .send()
            .await;
        match asked {
            Ok(answer) => Ok(Some(AnswerBody {
                head: Head {
                    bytes: length(at, answer.content_length)?,
                    sha256: None,
                    version_id: answer.version_id,
                    lock: locks::read(
                        answer.object_lock_mode.as_ref(),
                        answer.object_lock_retain_until_date,
                    ),
                },
                stream: answer.body,
            })),
            Err(error) => match failure(at, error) {
                Failure::Answered(_, answer)
                    if matches!(answer.code.as_deref(), Some("NoSuchKey" | "NoSuchVersion")) =>
                {
                    Ok(None)
                }
                failure => Err(failure.into()),
            },
        }
    }

    pub(super) fn describe(&self) -> String {
        format!("s3://{}/{}", self.name, self.prefix)
            .trim_end_matches('/')
            .to_owned()
    }

    /// A HEAD's 404 has no body to tell a missing object from a missing bucket (or from a server
    /// that is no store at all): taken at its word, a misspelt bucket would be an archive all gone.
    async fn bucket_is_there(&self, at: At) -> Result<(), Error> {
        let asked = self.client.head_bucket().bucket(&self.name).send().await;
        let Err(error) = asked else { return Ok(()) };
        match failure(at, error) {
            // Only who may list it may ask: it is there.
            Failure::Answered(_, Answer { status: 403, .. }) => Ok(()),
            Failure::Answered(at, answer) if answer.status == 404 => {
                Err(Error::NoBucket { at, source: answer })
            }
            failure => Err(failure.into()),
        }
    }

    fn key(&self, key: &ObjectKey) -> String {
        format!("{}{key}", self.prefix)
    }
}

/// The body of an answer being read.
#[derive(Debug)]
pub struct AnswerBody {
    head: Head,
    stream: ByteStream,
}

impl AnswerBody {
    /// Its length is that of what is read.
    pub(super) fn head(&self) -> &Head {
        &self.head
    }

    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, Source> {
        let next = tokio::time::timeout(CHUNK_TIMEOUT, self.stream.next());
        Ok(next.await?.transpose()?)
    }
}

/// The SDK's own client, but for the proxies of the environment: recordings go to the configured
/// endpoint and nowhere else.
fn http_client() -> SharedHttpClient {
    let crypto = tls::rustls_provider::CryptoMode::AwsLc;
    aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(crypto))
        .build_https()
}

async fn credentials(
    settings: &S3Settings,
    http: &(impl HttpClient + Clone + 'static),
) -> SharedCredentialsProvider {
    if let Some(keys) = &settings.keys {
        return SharedCredentialsProvider::new(Credentials::new(
            keys.access_key.expose_secret(),
            keys.secret_key.expose_secret(),
            None,
            None,
            "callvault settings",
        ));
    }
    let region = Region::new(settings.region.clone());
    let surroundings = ProviderConfig::default()
        .with_behavior_version(Some(BehaviorVersion::v2026_01_12()))
        .with_http_client(http.clone());
    let chain = DefaultCredentialsChain::builder()
        .configure(surroundings)
        .region(region)
        .build()
        .await;
    SharedCredentialsProvider::new(chain)
}

/// No read time-out: the SDK starts its clock with the request, so that it would end uploads,
/// and keeps a connection pool for each value of it.
fn answer_within(attempt: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(attempt)
        .build()
}

fn length(at: At, bytes: Option<i64>) -> Result<u64, Error> {
    bytes
        .and_then(|bytes| u64::try_from(bytes).ok())
        .ok_or_else(|| Error::Unexpected {
            at,
            source: Answer {
                status: 200,
                code: None,
                message: Some("without a content length".to_owned()),
                request_id: None,
            },
        })
}

/// `None` too for a digest over the parts of a multipart upload (`…-3`), which is not the object's.
fn read_digest(base64: &str) -> Option<Digest> {
    let bytes = BASE64.decode(base64).ok()?;
    Some(Digest::from_bytes(bytes.try_into().ok()?))
}

/// A failure, before it is known whether its answer is one that the operation expects.
enum Failure {
    Answered(At, Answer),
    Unanswered(Error),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Error {
        match failure {
            Failure::Answered(at, answer) => Error::answered(at, answer),
            Failure::Unanswered(error) => error,
        }
    }
}

fn failure<E>(at: At, error: SdkError<E>) -> Failure
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    if let Some(raw) = error.raw_response() {
        return Failure::Answered(
            at,
            Answer {
                status: raw.status().as_u16(),
                code: error.code().map(str::to_owned),
                message: error.message().map(str::to_owned),
                request_id: error.request_id().map(str::to_owned),
            },
        );
    }
    let unsent = match &error {
        SdkError::ConstructionFailure(_) => true,
        SdkError::DispatchFailure(failed) => failed.is_other() && !is_of_http(&error),
        _ => false,
    };
    let source = error.into_source().unwrap_or_else(Source::from);
    Failure::Unanswered(match unsent {
        true => Error::Unsent { at, source },
        false if is_about_trust(&*source) => Error::Untrusted { at, source },
        false => Error::Unreachable { at, source },
    })
}

/// Credentials that cannot be had look like a connection that failed, but for this.
fn is_of_http(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source())
        .any(|error| error.is::<hyper::Error>())
}
