//! Named crash points, for tests that kill the process between two steps.
//!
//! Nothing without the cargo feature `failpoints`. Never here: returned errors or delays; a point
//! either does nothing or ends the process as a power cut would.

macro_rules! points {
    ($($point:ident = $name:literal),* $(,)?) => {
        /// A place where a test may end the process.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Point { $($point),* }

        impl Point {
            pub const ALL: &[Point] = &[$(Point::$point),*];

            pub fn name(self) -> &'static str {
                match self { $(Point::$point => $name),* }
            }
        }
    };
}

points! {
    BeforeCommit = "before-commit",
    AfterCommit = "after-commit",
    BeforeSpoolRename = "before-spool-rename",
    AfterSpoolRename = "after-spool-rename",
    BeforePut = "before-put",
    AfterPut = "after-put",
    BeforeManifest = "before-manifest",
    AfterManifest = "after-manifest",
    BeforeIndex = "before-index",
    AfterIndex = "after-index",
    BeforeRelease = "before-release",
}

/// Passes by `point`.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn hit(_point: Point) {}

/// Passes by `point`; aborts if `CALLVAULT_FAILPOINT=name[:nth]` plans it for this pass.
#[cfg(feature = "failpoints")]
pub fn hit(point: Point) {
    plan::pass(point);
}

#[cfg(feature = "failpoints")]
mod plan {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::Point;

    const VARIABLE: &str = "CALLVAULT_FAILPOINT";

    struct Plan {
        point: Point,
        passes_left: AtomicU64,
    }

    static PLAN: LazyLock<Option<Plan>> = LazyLock::new(|| {
        let text = std::env::var(VARIABLE).ok()?;
        let plan = read(&text);
        if plan.is_none() {
            // A plan that cannot be followed would let a crash test pass without its crash.
            eprintln!("{VARIABLE}={text}: expected name[:nth]");
            std::process::abort();
        }
        plan
    });

    fn read(text: &str) -> Option<Plan> {
        let (name, nth) = text.split_once(':').unwrap_or((text, "1"));
        let nth = nth.parse().ok().filter(|nth| *nth > 0)?;
        Some(Plan {
            point: *Point::ALL.iter().find(|point| point.name() == name)?,
            passes_left: AtomicU64::new(nth),
        })
    }

    pub fn pass(point: Point) {
        if let Some(plan) = &*PLAN
            && plan.point == point
            && plan.passes_left.fetch_sub(1, Ordering::Relaxed) == 1
        {
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kebab_case_of_the_variants() {
        for point in Point::ALL {
            let mut kebab = String::new();
            for letter in format!("{point:?}").chars() {
                if letter.is_uppercase() && !kebab.is_empty() {
                    kebab.push('-');
                }
                kebab.push(letter.to_ascii_lowercase());
            }
            assert_eq!(point.name(), kebab);
        }
    }

    /// Not a test of its own: the process that [`the_planned_pass_aborts`] starts.
    #[test]
    #[ignore = "started by another test"]
    fn three_passes() {
        for pass in 1..=3 {
            hit(Point::AfterPut);
            hit(Point::BeforePut);
            println!("pass {pass} survived");
        }
    }

    #[test]
    fn the_planned_pass_aborts() {
        let cases: &[(Option<&str>, &str)] = &[
            (None, "123"),
            (Some("after-put"), ""),
            (Some("after-put:1"), ""),
            (Some("before-put:3"), "12"),
            (Some("after-put:4"), "123"),
            (Some("after-index"), "123"),
            (Some("no-such-point"), ""),
            (Some("after-put:0"), ""),
        ];
        for (plan, expected) in cases {
            let mut child = std::process::Command::new(std::env::current_exe().unwrap());
            child.args(["--exact", "failpoint::tests::three_passes"]);
            child.args(["--ignored", "--nocapture"]);
            child.env_remove("CALLVAULT_FAILPOINT");
            if let Some(plan) = plan {
                child.env("CALLVAULT_FAILPOINT", plan);
            }
            let out = child.output().unwrap();
            let out = String::from_utf8(out.stdout).unwrap();
            let survived: String = ["1", "2", "3"]
                .into_iter()
                .filter(|pass| out.contains(&format!("pass {pass} survived")))
                .collect();
            let expected = if cfg!(feature = "failpoints") {
                expected
            } else {
                "123"
            };
            assert_eq!(survived, expected, "{plan:?}: {out}");
        }
    }
}
