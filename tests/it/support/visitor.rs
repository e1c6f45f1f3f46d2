//! A browser as far as pages need one: it keeps cookies, and fills in forms.
//!
//! Never here: what a page must say.

use std::net::SocketAddr;

use super::hook::{self, Reply, Request};
use super::service::Service;

const FORM: &str = "application/x-www-form-urlencoded";

#[derive(Clone)]
pub struct Visitor {
    pub admin: SocketAddr,
    pub cookies: Vec<(String, String)>,
}

pub fn text(reply: &Reply) -> String {
    String::from_utf8(reply.body.clone()).expect("a page is UTF-8")
}

/// The value of a form's hidden field.
pub fn field(page: &str, name: &str) -> String {
    let mark = format!("name=\"{name}\" value=\"");
    let at = page.find(&mark).unwrap_or_else(|| panic!("{name}: {page}"));
    let rest = &page[at + mark.len()..];
    rest[..rest.find('"').unwrap()].to_owned()
}

/// What a person reads of a piece of HTML: no tags, each run of white space one space.
pub fn read(html: &str) -> String {
    let mut pieces = html.split('<');
    let mut words = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        words += " ";
        words += piece.split_once('>').map_or("", |(_, text)| text);
    }
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

pub fn token(service: &Service, name: &str, role: &str, more: &[&str]) -> String {
    let add = ["token", "add", name, "--person", name, "--role", role];
    let made = service.cli(&[&add, more].concat());
    assert_eq!(made.status, 0, "{}", made.stderr);
    made.stdout.trim().to_owned()
}

impl Visitor {
    pub fn new(service: &Service) -> Visitor {
        Visitor::at(service.admin())
    }

    pub fn at(admin: SocketAddr) -> Visitor {
        Visitor {
            admin,
            cookies: Vec::new(),
        }
    }

    pub fn signed_in(service: &Service, role: &str, more: &[&str]) -> Visitor {
        let name = format!("{role}{}", more.len());
        let token = token(service, &name, role, more);
        let mut visitor = Visitor::new(service);
        let reply = visitor.sign_in(&token);
        assert_eq!((reply.status, reply.header("location")), (303, Some("/")));
        visitor
    }

    /// What its browser sends with each request.
    pub fn cookie(&self) -> String {
        let pairs = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join("; ")
    }

    pub fn send(&mut self, mut request: Request) -> Reply {
        let cookie = self.cookie();
        request.headers.push(("Cookie".to_owned(), cookie));
        let reply = hook::send(self.admin, &request).expect("an answer");
        for (_, line) in reply
            .headers
            .iter()
            .filter(|(name, _)| name == "set-cookie")
        {
            let (name, rest) = line.split_once('=').unwrap();
            let value = rest.split(';').next().unwrap();
            self.cookies.retain(|(known, _)| known != name);
            if !value.is_empty() {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        reply
    }

    pub fn get(&mut self, path: &str) -> Reply {
        self.send(Request::get(path))
    }

    /// A page that must be there.
    pub fn page(&mut self, path: &str) -> String {
        let reply = self.get(path);
        assert_eq!(reply.status, 200, "{path}: {}", text(&reply));
        text(&reply)
    }

    pub fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let body = serde_urlencoded::to_string(fields).unwrap();
        self.send(Request::post(path, FORM, body))
    }

    pub fn sign_in(&mut self, token: &str) -> Reply {
        let page = text(&self.get("/sign-in"));
        let form = field(&page, "form");
        self.post(
            "/sign-in",
            &[("form", &form), ("token", token), ("to", "/")],
        )
    }

    pub fn csrf(&mut self) -> String {
        field(&self.page("/"), "csrf")
    }
}
