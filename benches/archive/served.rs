//! The real binary on the seeded index: its API, its page, and the verb `search`.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use callvault::model::access::Role;

use crate::filters::Case;
use crate::{Times, audio};

const BINARY: &str = env!("CARGO_BIN_EXE_callvault");

/// A running service; stopped when dropped.
pub struct Served {
    child: Child,
    pub base: String,
    pub token: String,
    pub client: reqwest::Client,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub async fn measure(directory: &Path, cases: &[Case]) -> anyhow::Result<()> {
    let settings = settings(directory)?;
    audio::prepare(directory)?;
    let served = serve(directory, &settings).await?;
    let session = served.sign_in().await?;
    println!("\nThe binary, pages of 100, in ms:\n");
    println!("| filter | API recordings p50 | p95 | p99 | page of calls p50 | p95 | p99 |");
    println!("|---|---|---|---|---|---|---|");
    for case in cases.iter().filter(|case| case.is_address()) {
        let api = served.times("/api/v1/recordings", case, None).await?;
        let page = served.times("/", case, Some(&session)).await?;
        println!("| {} | {} | {} |", case.name, api.cells(), page.cells());
    }
    verbs(&settings, cases)?;
    audio::measure(&served).await
}

fn settings(directory: &Path) -> anyhow::Result<std::path::PathBuf> {
    let pbx = |name: &str, zone: &str| {
        format!(
            "[[pbx]]\nname = \"{name}\"\ntimezone = \"{zone}\"\nbase_url = \"http://127.0.0.1:9\"\n\
             hook_secret = \"0123456789abcdef0123456789abcdef\"\n"
        )
    };
    let path = directory.join("callvault.toml");
    let text = format!(
        "data_dir = \"{0}/data\"\n[listen]\nhook = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n{1}{2}\
         [store]\nkind = \"directory\"\npath = \"{0}/archive\"\n",
        directory.display(),
        pbx("hq", "Europe/Prague"),
        pbx("branch", "America/New_York"),
    );
    std::fs::write(&path, text)?;
    Ok(path)
}

async fn serve(directory: &Path, settings: &Path) -> anyhow::Result<Served> {
    let verb = || {
        let mut command = Command::new(BINARY);
        command.arg("--config").arg(settings).stderr(Stdio::null());
        command
    };
    let name = format!("bench-{}", std::process::id());
    let role = Role::Compliance.as_str();
    let add = ["token", "add", &name, "--person", "Bench", "--role", role];
    let token = String::from_utf8(verb().args(add).output()?.stdout)?;
    let listen = directory.join("data/listen.json");
    let _ = std::fs::remove_file(&listen);
    let child = verb().arg("serve").stdout(Stdio::null()).spawn()?;
    let mut served = Served {
        child,
        base: String::new(),
        token: token.trim().to_owned(),
        client: reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()?,
    };
    let began = Instant::now();
    while served.base.is_empty() {
        anyhow::ensure!(
            began.elapsed() < Duration::from_secs(60),
            "it does not start"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
        let Ok(text) = std::fs::read_to_string(&listen) else {
            continue;
        };
        let addresses: serde_json::Value = serde_json::from_str(&text)?;
        let admin = addresses["admin"].as_str().context("an address")?;
        served.base = format!("http://{admin}");
    }
    println!("Ready after {:.1} s.", began.elapsed().as_secs_f64());
    Ok(served)
}

impl Served {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn get(&self, path: &str) -> reqwest::RequestBuilder {
        let request = self.client.get(format!("{}{path}", self.base));
        request.bearer_auth(&self.token)
    }

    async fn sign_in(&self) -> anyhow::Result<String> {
        let address = format!("{}/sign-in", self.base);
        let form = self.client.get(&address).send().await?;
        let cookie = cookies(&form);
        let page = form.text().await?;
        let (_, rest) = page
            .split_once("name=\"form\" value=\"")
            .context("a form")?;
        let secret = rest.split('"').next().unwrap_or_default();
        let fields = [("form", secret), ("token", &self.token), ("to", "/")];
        let post = self.client.post(&address).header("Cookie", cookie);
        let post = post.header("Content-Type", "application/x-www-form-urlencoded");
        let post = post.body(serde_urlencoded::to_string(fields)?);
        Ok(cookies(&post.send().await?))
    }

    async fn times(&self, path: &str, case: &Case, cookie: Option<&str>) -> anyhow::Result<Times> {
        let began = Instant::now();
        let mut times = Vec::new();
        while times.len() < 100 && began.elapsed() < Duration::from_secs(3) {
            let address = format!("{path}?{}", case.query(times.len()));
            let request = match cookie {
                None => self.get(&address),
                Some(cookie) => {
                    let request = self.client.get(format!("{}{address}", self.base));
                    request.header("Cookie", cookie)
                }
            };
            let at = Instant::now();
            let response = request.send().await?;
            anyhow::ensure!(response.status() == 200, "{address}: {}", response.status());
            response.bytes().await?;
            times.push(at.elapsed());
        }
        Ok(Times::of(times))
    }
}

fn cookies(response: &reqwest::Response) -> String {
    let lines = response.headers().get_all("set-cookie").iter();
    let pairs = lines.filter_map(|line| line.to_str().ok()?.split(';').next());
    pairs.collect::<Vec<_>>().join("; ")
}

/// `search` from its start to its end.
fn verbs(settings: &Path, cases: &[Case]) -> anyhow::Result<()> {
    println!("\nThe verb `search`, the whole process, in ms:\n");
    println!("| filter | p50 | p95 | p99 |");
    println!("|---|---|---|---|");
    for name in [
        "number",
        "*ddd*",
        "extension, month",
        "call",
        "day, the PBX's",
        "failed",
    ] {
        let case = cases.iter().find(|case| case.name == name);
        let case = case.context("a case")?;
        let (times, status) = Times::measure(40, |nth| {
            let mut verb = Command::new(BINARY);
            verb.arg("--config").arg(settings).arg("search");
            for pair in case.query(nth).split_terminator('&') {
                verb.arg(format!("--{pair}"));
            }
            verb.args(["--limit", "100"]);
            verb.stdout(Stdio::null()).stderr(Stdio::null()).status()
        });
        status?;
        println!("| {name} | {} |", times.cells());
    }
    Ok(())
}
