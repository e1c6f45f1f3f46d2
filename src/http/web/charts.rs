//! How the archive went along time: a table for each PBX, which a script draws.
//!
//! The table is all the data there is on the page, so that no chart says anything else. Never here:
//! how the numbers come about.

use jiff::tz::TimeZone;
use maud::{Markup, html};

use super::frame::{self, dash, when, wide};
use crate::catalog::series::{Bucket, PbxSeries, Series, Window};
use crate::catalog::status::ago;
use crate::config::Settings;

/// What a chart is called, the table's columns that it draws, and how.
const CHARTS: [(&str, &str, &str); 3] = [
    ("Events a minute", "1", "bars"),
    ("Archive delay", "2 3", "points"),
    ("Pending", "4", "steps"),
];

pub fn charts(settings: &Settings, series: &Series) -> Markup {
    let windows = [(Window::Day, "24 hours"), (Window::Week, "7 days")];
    html! {
        section aria-labelledby="along" {
            h2 #along { "Along time" }
            nav aria-label="How far back" {
                ul.windows {
                    @for (window, name) in windows {
                        li {
                            a href={ "/health?window=" (window) "#along" }
                                aria-current=[(window == series.window).then_some("true")] { (name) }
                        }
                    }
                }
            }
            @for one in &series.pbxs { (of_pbx(one, &frame::zone(settings, &one.pbx))) }
        }
        link rel="stylesheet" href="/static/uPlot.min.css";
        script src="/static/uPlot.iife.min.js" defer {}
        script type="module" src="/static/charts.js" {}
    }
}

fn of_pbx(series: &PbxSeries, zone: &TimeZone) -> Markup {
    html! {
        section.series aria-label={ "PBX " (series.pbx) } data-zone=[zone.iana_name()] {
            h3 { (series.pbx) }
            div.charts {
                @for (name, columns, how) in CHARTS {
                    figure.card.chart data-columns=(columns) data-how=(how) {
                        figcaption { (name) }
                        div.plot role="img" aria-label={ (name) " of " (series.pbx) ", in the table below" } {}
                    }
                }
            }
            details {
                summary { "The same as a table" }
                (wide(&format!("{} along time", series.pbx), &table(series, zone)))
            }
        }
    }
}

fn table(series: &PbxSeries, zone: &TimeZone) -> Markup {
    html! {
        table {
            caption { "Each row is a time that ends then; delays are of what was archived in it" }
            thead { tr {
                th scope="col" { "Until" }
                th.number scope="col" { "Events a minute" }
                th.number scope="col" { "Delay p50" }
                th.number scope="col" { "Delay p95" }
                th.number scope="col" { "Pending" }
            } }
            tbody { @for bucket in &series.buckets { (row(bucket, zone)) } }
        }
    }
}

fn row(bucket: &Bucket, zone: &TimeZone) -> Markup {
    let a_minute = bucket.events_per_minute;
    html! {
        tr {
            th scope="row" { (when(&bucket.at.to_string(), zone)) }
            td.number { data value=(a_minute) { (format!("{a_minute:.2}")) } }
            td.number { (delay(bucket.delay_p50_s)) }
            td.number { (delay(bucket.delay_p95_s)) }
            td.number { data value=(bucket.pending) { (bucket.pending) } }
        }
    }
}

fn delay(seconds: Option<f64>) -> Markup {
    let Some(seconds) = seconds else {
        return dash();
    };
    let text = match seconds {
        ..120.0 => format!("{seconds:.1} s"),
        _ => ago(seconds as i64),
    };
    html! { data value=(seconds) { (text) } }
}
