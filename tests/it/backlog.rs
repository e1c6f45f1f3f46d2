//! The backlog: the order of its turns, whole and page by page, and how long each may take.

use callvault::model::time::UtcMs;
use callvault::store::jobs::JobRow;
use serde_json::json;

use crate::support::index::{FIRST_ARRIVAL_MS, Index};

/// The service did not run for ten days, or its clock was set: who had waited before is not given up
/// for that, and who came later, or was given another chance, has no more time than others.
#[tokio::test]
async fn skipped_time_moves_the_windows_that_were_open() {
    const DAY_MS: i64 = 86_400_000;
    let mut index = Index::new();
    let announced = |nth| format!("https://h/webapi/recording/230307142318_{nth}-1-1.mp3");
    for nth in [1, 2] {
        index
            .log("hq", &json!({ "FILES": [announced(nth)] }).to_string())
            .await;
    }
    index.catch_up().await;
    let now = UtcMs(FIRST_ARRIVAL_MS + 20 * DAY_MS);
    let [first, second] = [1, 2].map(|nth| FIRST_ARRIVAL_MS + nth * 1000);
    assert_eq!(index.windows(now).await, [first, second].map(UtcMs));
    index.skip_time(10 * DAY_MS).await;
    let moved = [first, second].map(|at| UtcMs(at + 10 * DAY_MS));
    assert_eq!(index.windows(now).await, moved);
    index.retry("hq/230307142318_1-1-1", now).await;
    index
        .log("hq", &json!({ "FILES": [announced(3)] }).to_string())
        .await;
    index.catch_up().await;
    let third = UtcMs(FIRST_ARRIVAL_MS + 3000);
    assert_eq!(index.windows(now).await, [now, moved[1], third]);
    index.skip_time(-4 * DAY_MS).await;
    let back = [now, moved[1], third].map(|at| UtcMs(at.0 - 4 * DAY_MS));
    assert_eq!(index.windows(now).await, back);
}

/// What failed and what is pending, in turns, by twos that are of one moment.
#[tokio::test]
async fn what_failed_comes_first_then_what_is_tried_next_on_any_page() {
    let mut index = Index::new();
    for nth in 0..6 {
        let path = ["webapi/recording", "elsewhere"][nth % 2];
        let files = [1, 2].map(|leg| format!("https://h/{path}/230307142318_{nth}-{leg}-1.mp3"));
        index
            .log("hq", &json!({ "FILES": files }).to_string())
            .await;
    }
    index.catch_up().await;
    let all = index.jobs(None, None).await;
    let turn = |job: &JobRow| {
        let at = job.next_at.as_ref().unwrap_or(&job.announced_at).clone();
        (job.state.clone(), at, job.recording.to_string())
    };
    let turns: Vec<_> = all.iter().map(turn).collect();
    assert_eq!(turns.len(), 12);
    assert!(turns.is_sorted(), "{turns:#?}");
    for limit in 1..=13 {
        let mut paged = Vec::new();
        while paged.len() < 12 {
            let behind = paged.last().map(JobRow::turn);
            let page = index.jobs(behind, Some(limit)).await;
            assert!(!page.is_empty() && page.len() <= limit as usize);
            paged.extend(page);
        }
        let paged: Vec<_> = paged.iter().map(turn).collect();
        assert_eq!(paged, turns, "{limit} at a time");
    }
}
