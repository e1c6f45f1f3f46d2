//! What is searched for: each filter that people may choose, and the combinations that an index
//! could fail at.

use callvault::model::access::Scope;
use callvault::model::call::Outcome;
use callvault::model::event::Direction;
use callvault::model::filter::Filter;
use callvault::model::job::State;
use callvault::store::Reader;

use crate::seed::{FREQUENT, RARE_EXTENSION, Random, number};

pub struct Case {
    pub name: &'static str,
    query: Box<dyn Fn(&mut Random) -> String>,
}

impl Case {
    /// The query of an address, another one each time where the filter is of many values.
    pub fn query(&self, nth: usize) -> String {
        let mut random = Random(0x9e37_79b9 + 7919 * nth as u64);
        random.below(1);
        (self.query)(&mut random)
    }

    /// A scope is a token's, no part of an address.
    pub fn is_address(&self) -> bool {
        !self.query(0).contains("scope")
    }

    pub fn filter(&self, nth: usize) -> Filter {
        let mut filter = Filter {
            limit: Some(100),
            ..Filter::default()
        };
        for pair in self.query(nth).split_terminator('&') {
            let (name, value) = pair.split_once('=').expect("a pair");
            let text = || Some(value.to_owned());
            match name {
                "number" => filter.number = text(),
                "extension" => filter.extension = text(),
                "did" => filter.did = text(),
                "pbx" => filter.pbx = value.parse().ok(),
                "direction" if value == "internal" => filter.direction = Some(Direction::Internal),
                "direction" => {
                    filter.direction = Some(match value {
                        "in" => Direction::Incoming,
                        _ => Direction::Outgoing,
                    });
                }
                "outcome" => filter.outcome = Outcome::from_word(value),
                "state" => filter.state = State::from_word(value),
                "call" => filter.call = value.parse().ok(),
                "from" => filter.from = value.parse().ok(),
                "to" => filter.to = value.parse().ok(),
                "min_duration" => filter.min_duration = value.parse().ok(),
                "max_duration" => filter.max_duration = value.parse().ok(),
                "scope" => {
                    filter.scope = Scope {
                        pbx: None,
                        extensions: value.split(',').map(str::to_owned).collect(),
                    };
                }
                other => panic!("no filter {other}"),
            }
        }
        filter
    }
}

fn case(name: &'static str, query: impl Fn(&mut Random) -> String + 'static) -> Case {
    Case {
        name,
        query: Box::new(query),
    }
}

fn fixed(name: &'static str, query: &str) -> Case {
    let query = query.to_owned();
    case(name, move |_| query.clone())
}

fn month(random: &mut Random) -> String {
    let (year, month) = (2023 + random.below(3), 1 + random.below(11));
    format!("from={year}-{month:02}-01&to={year}-{:02}-01", month + 1)
}

fn day(random: &mut Random, suffix: &str) -> String {
    let (year, month, day) = (
        2023 + random.below(3),
        1 + random.below(12),
        1 + random.below(27),
    );
    format!(
        "from={year}-{month:02}-{day:02}{suffix}&to={year}-{month:02}-{:02}{suffix}",
        day + 1
    )
}

pub fn cases(reader: &Reader) -> anyhow::Result<Vec<Case>> {
    let sql = "SELECT call FROM call WHERE id IN (SELECT abs(random()) % (SELECT max(id) FROM call) \
        FROM json_each('[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]'))";
    let mut names = reader.prepare(sql)?;
    let names = names.query_map([], |row| row.get(0))?;
    let names: Vec<String> = names.collect::<Result<_, _>>()?;
    let hot = FREQUENT;
    let combined = vec![
        fixed("frequent number", &format!("number={hot}")),
        case("frequent number, month", move |r| {
            format!("number={hot}&{}", month(r))
        }),
        fixed(
            "frequent number, never out",
            &format!("number={hot}&direction=out"),
        ),
        fixed(
            "frequent number, rare extension",
            &format!("number={hot}&extension={RARE_EXTENSION}"),
        ),
        fixed(
            "frequent number, failed",
            &format!("number={hot}&state=failed"),
        ),
        case("frequent number, extension", move |r| {
            format!("number={hot}&extension={}", 100 + r.below(300))
        }),
        case("extension, month", |r| {
            format!("extension={}&{}", 100 + r.below(300), month(r))
        }),
        case("rare extension, month", |r| {
            format!("extension={RARE_EXTENSION}&{}", month(r))
        }),
        case("failed, month", |r| format!("state=failed&{}", month(r))),
        case("DID, out: never", |r| {
            format!("did=DID-4202220003{:02}&direction=out", r.below(40))
        }),
        case("missed, day", |r| format!("outcome=missed&{}", day(r, ""))),
        case("*ddd*, month", |r| {
            format!("number=*{}*&{}", 100 + r.below(900), month(r))
        }),
    ];
    let single = vec![
        fixed("none", ""),
        case("number", |r| format!("number={}", number(r.below(100_000)))),
        case("number, last 7 digits", |r| {
            format!("number={}", &number(r.below(500))[4..])
        }),
        case("*ddd*", |r| format!("number=*{}*", 100 + r.below(900))),
        case("*dddd*", |r| format!("number=*{}*", 1000 + r.below(9000))),
        case("*dddddd", |r| {
            format!("number=*{}", &number(r.below(100_000))[5..])
        }),
        case("*ddddd*", |r| {
            format!("number=*{}*", &number(r.below(100_000))[3..8])
        }),
        fixed("letters that none has", "number=anon*"),
        case("*dd*", |r| format!("number=*{}*", 10 + r.below(90))),
        fixed("*", "number=*"),
        case("extension", |r| format!("extension={}", 100 + r.below(300))),
        fixed("rare extension", &format!("extension={RARE_EXTENSION}")),
        case("DID", |r| format!("did=DID-4202220003{:02}", r.below(40))),
        fixed("PBX", "pbx=branch"),
        fixed("direction", "direction=out"),
        fixed("direction that none has", "direction=internal"),
        fixed("answered", "outcome=answered"),
        fixed("missed", "outcome=missed"),
        fixed("archived", "state=archived"),
        fixed("pending", "state=pending"),
        fixed("failed", "state=failed"),
        case("call", move |r| {
            format!("call={}", names[r.below(names.len() as u64) as usize])
        }),
        case("day, the PBX's", |r| day(r, "")),
        case("day, UTC", |r| day(r, "T00:00:00Z")),
        fixed("from", "from=2023-06-01"),
        fixed("to", "to=2023-06-01"),
        fixed("at least 20 min", "min_duration=20m"),
        fixed("at least 3 h: none", "min_duration=3h"),
        fixed("at most 5 s", "max_duration=5s"),
        case("scope of 3 extensions", |r| {
            let mine = [r.below(300), r.below(300), r.below(300)];
            format!(
                "scope={},{},{}",
                100 + mine[0],
                100 + mine[1],
                100 + mine[2]
            )
        }),
        fixed(
            "scope of a rare extension",
            &format!("scope={RARE_EXTENSION}"),
        ),
    ];
    Ok(single.into_iter().chain(combined).collect())
}
