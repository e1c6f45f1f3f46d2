//! Named crash points, for tests that kill the process between two steps, or let it panic there.
//!
//! Nothing without the cargo feature `failpoints`. Never here: returned errors or delays; a point
//! does nothing, ends the process as a power cut would, or panics as a fault of ours would.

macro_rules! effects {
    ($($effect:ident = $name:literal),* $(,)?) => {
        /// Something that is still there after a crash, or that others see.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Effect { $($effect),* }

        impl Effect {
            pub fn name(self) -> &'static str {
                match self { $(Effect::$effect => $name),* }
            }
        }

        impl Point {
            pub const ALL: &[Point] = &[
                $(Point::Before(Effect::$effect), Point::After(Effect::$effect)),*
            ];
        }
    };
}

/// A place where a test may end the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    Before(Effect),
    After(Effect),
}

effects! {
    // The index: its making, and each commit of it.
    ToWal = "to-wal",
    Migration = "migration",
    IndexDirectorySync = "index-directory-sync",
    Commit = "commit",
    // What a start settles.
    LeaseRelease = "lease-release",
    SetAside = "set-aside",
    SpoolSweep = "spool-sweep",
    StoreSweep = "store-sweep",
    AddressFile = "address-file",
    // From the hook to jobs.
    Log = "log",
    Fold = "fold",
    Claim = "claim",
    Settle = "settle",
    // A recording's way.
    Download = "download",
    SpoolCreate = "spool-create",
    SpoolWrite = "spool-write",
    SpoolSync = "spool-sync",
    SpoolRename = "spool-rename",
    SpoolDirectorySync = "spool-directory-sync",
    NoteDownload = "note-download",
    Freeze = "freeze",
    Put = "put",
    Prove = "prove",
    Manifest = "manifest",
    Index = "index",
    Release = "release",
    // An object of the directory store.
    ObjectWrite = "object-write",
    ObjectSync = "object-sync",
    ObjectDirectory = "object-directory",
    ObjectRename = "object-rename",
    ObjectDirectorySync = "object-directory-sync",
}

impl Point {
    /// As tests name it: `before-put`.
    pub fn name(self) -> String {
        match self {
            Point::Before(effect) => format!("before-{}", effect.name()),
            Point::After(effect) => format!("after-{}", effect.name()),
        }
    }
}

/// Comes to `effect`.
#[inline(always)]
#[track_caller]
pub fn before(effect: Effect) {
    hit(Point::Before(effect), String::new);
}

/// As `before`, with something at hand that the words of a panic would quote.
#[inline(always)]
#[track_caller]
pub fn before_with(effect: Effect, at_hand: impl FnOnce() -> String) {
    hit(Point::Before(effect), at_hand);
}

/// Has done `effect`.
#[inline(always)]
#[track_caller]
pub fn after(effect: Effect) {
    hit(Point::After(effect), String::new);
}

#[cfg(not(feature = "failpoints"))]
#[inline(always)]
fn hit(_point: Point, _at_hand: impl FnOnce() -> String) {}

#[cfg(feature = "failpoints")]
#[track_caller]
fn hit(point: Point, at_hand: impl FnOnce() -> String) {
    plan::pass(point, at_hand);
}

#[cfg(feature = "failpoints")]
mod plan {
    use std::fs::File;
    use std::io::Write as _;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::Point;

    /// Where the process ends: `name[:nth][!]`, at the nth pass; with `!` it panics there.
    const PLAN_VARIABLE: &str = "CALLVAULT_FAILPOINT";
    /// The path of a file that gets a line for each pass, the point's name.
    const TALLY_VARIABLE: &str = "CALLVAULT_FAILPOINT_TALLY";

    struct Plan {
        point: Point,
        passes_left: AtomicU64,
        panics: bool,
    }

    static PLAN: LazyLock<Option<Plan>> = LazyLock::new(|| {
        let text = std::env::var(PLAN_VARIABLE).ok()?;
        // A plan that cannot be followed would let a crash test pass without its crash.
        Some(read(&text).unwrap_or_else(|| give_up(&format!("{text}: expected name[:nth][!]"))))
    });

    static TALLY: LazyLock<Option<File>> = LazyLock::new(|| {
        let path = std::env::var_os(TALLY_VARIABLE)?;
        let opened = File::options().create(true).append(true).open(path);
        Some(opened.unwrap_or_else(|error| give_up(&format!("the tally: {error}"))))
    });

    fn read(text: &str) -> Option<Plan> {
        let (text, panics) = text
            .strip_suffix('!')
            .map_or((text, false), |text| (text, true));
        let (name, nth) = text.split_once(':').unwrap_or((text, "1"));
        let nth = nth.parse().ok().filter(|nth| *nth > 0)?;
        Some(Plan {
            point: *Point::ALL.iter().find(|point| point.name() == name)?,
            passes_left: AtomicU64::new(nth),
            panics,
        })
    }

    fn give_up(why: &str) -> ! {
        eprintln!("{PLAN_VARIABLE}: {why}");
        std::process::abort()
    }

    #[track_caller]
    pub fn pass(point: Point, at_hand: impl FnOnce() -> String) {
        if let Some(mut tally) = TALLY.as_ref()
            && let Err(error) = tally.write_all(format!("{}\n", point.name()).as_bytes())
        {
            give_up(&format!("the tally: {error}"));
        }
        if let Some(plan) = &*PLAN
            && plan.point == point
            && plan.passes_left.fetch_sub(1, Ordering::Relaxed) == 1
        {
            match plan.panics {
                true => panic!("{} {}", point.name(), at_hand()),
                false => std::process::abort(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kebab_case_of_the_variants() {
        for point in Point::ALL {
            let (Point::Before(effect) | Point::After(effect)) = point;
            let mut kebab = String::new();
            for letter in format!("{effect:?}").chars() {
                if letter.is_uppercase() && !kebab.is_empty() {
                    kebab.push('-');
                }
                kebab.push(letter.to_ascii_lowercase());
            }
            assert_eq!(effect.name(), kebab);
        }
    }

    /// Not a test of its own: the process that [`the_planned_pass_is_the_last`] starts.
    #[test]
    #[ignore = "started by another test"]
    fn three_passes() {
        for pass in 1..=3 {
            after(Effect::Put);
            before(Effect::Put);
            println!("pass {pass} survived");
        }
    }

    #[test]
    fn the_planned_pass_is_the_last() {
        let cases: &[(Option<&str>, &str)] = &[
            (None, "123"),
            (Some("after-put"), ""),
            (Some("after-put:1"), ""),
            (Some("before-put:3"), "12"),
            (Some("after-put:4"), "123"),
            (Some("before-put:2!"), "1"),
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
