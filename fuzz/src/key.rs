//! Any template of keys, PBX and recording: where a key comes of them, it lies below the store's
//! own root and beside no other recording's.

use std::path::{Component, Path};

use callvault::model::id::{PbxName, RecordingName};
use callvault::model::key::{KeyTemplate, ObjectKey};

pub fn check(data: &[u8]) {
    let [template, pbx, recording, other, days] = super::lines(data);
    if let Ok(key) = template.parse::<ObjectKey>() {
        is_confined(&key);
    }
    let Ok(template_read) = KeyTemplate::parse(&template) else {
        return;
    };
    let pbx: PbxName = pbx.parse().unwrap_or_else(|_| "hq".parse().unwrap());
    let name = |text: &str, or: &str| -> RecordingName {
        text.parse().unwrap_or_else(|_| or.parse().unwrap())
    };
    let (recording, other) = (name(&recording, "230307142318_40-2-1"), name(&other, "u-0"));
    let days = i32::from(days.bytes().fold(0, |sum: u16, byte| {
        sum.wrapping_mul(10).wrapping_add(byte.into())
    }));
    let day = jiff::civil::date(1970, 1, 1) + jiff::Span::new().days(days);

    let key = template_read.key(&pbx, day, &recording);
    is_confined(&key);
    let own = &template[..template.find('{').unwrap()];
    assert!(key.as_str().starts_with(own) && key.as_str().ends_with(".mp3"));
    assert_eq!(key.as_str().split('/').count(), template.split('/').count());
    let beside = template_read.key(&pbx, day, &other);
    assert_eq!(key == beside, recording == other, "{key} {beside}");
}

fn is_confined(key: &ObjectKey) {
    for key in [key, &key.manifest()] {
        assert_eq!(key.as_str().parse().as_ref(), Ok(key));
        let normal = |part| matches!(part, Component::Normal(_));
        assert!(Path::new(key.as_str()).components().all(normal), "{key}");
        assert!(
            !key.as_str().contains(|c: char| !c.is_ascii_graphic()),
            "{key}"
        );
    }
    assert_ne!(key.manifest().as_str(), key.as_str());
}
