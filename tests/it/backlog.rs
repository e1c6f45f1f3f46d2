//! The backlog in the order of its turns, whole and page by page.

use callvault::store::jobs::JobRow;
use serde_json::json;

use crate::support::index::Index;

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
