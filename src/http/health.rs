//! `/healthz`: 200 while events can be stored, 503 when they cannot.

use bytes::Bytes;
use warp::Filter;
use warp::http::{Response, StatusCode};

use crate::store::Store;

pub fn routes(
    store: Store,
) -> impl Filter<Extract = (Response<Bytes>,), Error = warp::Rejection> + Clone + Send + Sync + 'static
{
    warp::path!("healthz")
        .and(warp::get().or(warp::head()).unify())
        .then(move || {
            let store = store.clone();
            async move { healthz(&store).await }
        })
}

async fn healthz(store: &Store) -> Response<Bytes> {
    let (status, text) = match store.rehearse().await {
        Ok(()) => (StatusCode::OK, "ok\n"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "events cannot be stored\n"),
    };
    let mut response = Response::new(Bytes::from_static(text.as_bytes()));
    *response.status_mut() = status;
    response
}
