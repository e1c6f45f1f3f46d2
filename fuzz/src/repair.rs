//! Any text as damaged JSON: quotes are put back and nothing else is changed; what is whole is left
//! alone, and so is what has been mended.

use callvault::model::vendor::threecx::repair::quotes;
use serde_json::Value;

pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mended = quotes(&text);
    let is_json = |text: &str| serde_json::from_str::<Value>(text).is_ok();
    let Some(mended) = mended else { return };
    assert!(!is_json(&text), "whole: {text}");
    assert_eq!(without_quotes(&text), without_quotes(&mended));
    assert!(mended.len() <= text.len() + 2 * text.matches(':').count());
    assert!(
        !is_json(&mended) || quotes(&mended).is_none(),
        "again: {mended}"
    );
}

fn without_quotes(text: &str) -> String {
    let kept = |c: &char| *c != '"' && !c.is_whitespace();
    text.chars().filter(kept).collect()
}
