//! Signing in with a token, or with a link that is good once; and out.
//!
//! Never here: a sign-in by GET, which whoever looks ahead at a link would do unasked.

use std::net::IpAddr;

use maud::{Markup, html};
use warp::http::{HeaderValue, Method, StatusCode, header};
use warp::reply::Response;

use super::frame::{self, capital};
use super::{Shown, Visit, see_other};
use crate::http::api::Api;
use crate::http::api::problem::Problem;
use crate::http::api::query::{self, Query};
use crate::http::request::{Body, Request};
use crate::http::session::{self, COOKIE, set_cookie};
use crate::model::digest::Digest;
use crate::model::time::UtcMs;
use crate::store::custody::{self, Entry};
use crate::store::links;
use crate::store::tokens::TokenRow;

/// What the form carries before there is a session: a stranger's page cannot sign anybody in.
const FORM: &str = "callvault_form";

/// Why somebody is not signed in, as they read it.
const OPENS_NOTHING: &str = "This token opens nothing: it is wrong, has expired or was revoked";
const LINK_IS_VOID: &str = "This link signs nobody in any more: it was used, or is too old";
const FORM_IS_OLD: &str = "The form was too old, or cookies are off. Please try again";

pub async fn sign_in(api: &Api, request: &Request, body: Body) -> Shown {
    match request.method {
        Method::GET => {
            let asked = query::parse(&request.query)?;
            match asked.get("once") {
                Some(code) => offer(api, request, code).await,
                None => {
                    let to = local_path(asked.get("to").map(String::as_str));
                    form(request, StatusCode::OK, None, &with_a_token(to))
                }
            }
        }
        Method::POST => {
            let body = body.read().await.ok_or(Problem::TooLarge)?;
            enter(api, request, &query::parse(&body)?).await
        }
        _ => Err(super::no_such_method(vec![&Method::GET, &Method::POST])),
    }
}

/// What a link opens: a button. Whoever only looks at a link, as mail programs do, leaves it good.
async fn offer(api: &Api, request: &Request, code: &str) -> Shown {
    let (sha256, now) = (Digest::of(code.as_bytes()), api.clock.now());
    let found = api.store.read(move |db| links::find(db, sha256, now));
    match found.await?.filter(|token| token.is_valid(now)) {
        Some(token) => form(request, StatusCode::OK, None, &with_a_link(&token, code)),
        None => refuse(request, StatusCode::GONE, "/", LINK_IS_VOID),
    }
}

async fn enter(api: &Api, request: &Request, fields: &Query) -> Shown {
    let field = |name: &str| fields.get(name).map(String::as_str);
    let to = local_path(field("to"));
    let given = session::cookie(&request.headers, FORM);
    let is_ours = given.is_some_and(|given| session::is_same(given, field("form")));
    if !is_ours || session::is_foreign(&request.headers) {
        return match field("once") {
            // The link is as good as before; only its form is not.
            Some(code) => offer(api, request, code).await,
            None => refuse(request, StatusCode::FORBIDDEN, to, FORM_IS_OLD),
        };
    }
    let (entered, status, why) = match field("once") {
        Some(code) => (
            by_link(api, request, code).await,
            StatusCode::GONE,
            LINK_IS_VOID,
        ),
        None => (
            by_token(api, request, field("token").unwrap_or_default()).await,
            StatusCode::UNAUTHORIZED,
            OPENS_NOTHING,
        ),
    };
    match entered {
        Ok(Some(token)) => open(api, request, &token, to),
        Ok(None) => refuse(request, status, to, why),
        Err(problem @ Problem::TooManyWrongTokens) => {
            let (status, _, why) = problem.parts();
            refuse(request, status, to, &why)
        }
        Err(problem) => Err(problem),
    }
}

/// Entered in custody before it has any effect, as is the use of a token that has ended.
async fn by_token(
    api: &Api,
    request: &Request,
    presented: &str,
) -> Result<Option<TokenRow>, Problem> {
    let presented = api.gate.presented(api, presented, request.address).await?;
    let (token, known) = match presented {
        Ok(token) => (Some(token.clone()), Some(token)),
        Err(ended) => (None, ended),
    };
    if let Some(known) = known {
        let now = api.clock.now();
        api.enter(entry(&known, request.address, now, None)).await?;
    }
    Ok(token)
}

/// The same with a link, which is used up by it.
async fn by_link(api: &Api, request: &Request, code: &str) -> Result<Option<TokenRow>, Problem> {
    let (sha256, address, now) = (
        Digest::of(code.as_bytes()),
        request.address,
        api.clock.now(),
    );
    api.gate.admit(address, now)?;
    let taken = api.store.write(move |tx| {
        let token = links::take(tx, sha256, now)?;
        if let Some(token) = &token {
            custody::append(tx, &entry(token, address, now, Some("with a link")))?;
        }
        Ok(token)
    });
    let token = taken.await?.filter(|token| token.is_valid(now));
    if token.is_none() {
        api.gate.wrong(address, now);
    }
    Ok(token)
}

fn entry(token: &TokenRow, address: IpAddr, now: UtcMs, how: Option<&str>) -> Entry {
    let (act, why) = match (token.is_valid(now), token.revoked_at) {
        (true, _) => ("signed in", None),
        (false, Some(_)) => ("sign-in refused", Some("the token was revoked")),
        (false, None) => ("sign-in refused", Some("the token has expired")),
    };
    let detail: Vec<&str> = how.into_iter().chain(why).collect();
    Entry {
        actor: token.actor(),
        address: Some(address.to_string()),
        detail: Some(detail.join("; ")).filter(|detail| !detail.is_empty()),
        ..Entry::of_service(now, act, &format!("token/{}", token.name))
    }
}

fn open(api: &Api, request: &Request, token: &TokenRow, to: &str) -> Shown {
    api.gate.sessions.close(&request.headers);
    let opened = api.gate.sessions.open(&token.name, api.clock.now());
    let id = opened.map_err(|_| Problem::Unavailable)?;
    let mut response = see_other(to);
    add_cookie(&mut response, COOKIE, &id);
    add_cookie(&mut response, FORM, "");
    Ok(response)
}

fn refuse(request: &Request, status: StatusCode, to: &str, why: &str) -> Shown {
    form(request, status, Some(why), &with_a_token(to))
}

fn with_a_token(to: &str) -> Markup {
    html! {
        input type="hidden" name="to" value=(to);
        label for="token" { "Token" }
        input #token type="password" name="token" required autofocus
            autocomplete="current-password" spellcheck="false";
        p.dim { "It begins with " code { "cv_" } ". Whoever runs callvault makes one by "
            code { "callvault token add" } "." }
        button type="submit" { "Sign in" }
    }
}

fn with_a_link(token: &TokenRow, code: &str) -> Markup {
    html! {
        input type="hidden" name="once" value=(code);
        p.dim { "This link signs in once. You will be " b { (token.person) } " (" (token.role) ")." }
        button type="submit" autofocus { "Sign in as " (token.person) }
    }
}

fn form(request: &Request, status: StatusCode, why: Option<&str>, fields: &Markup) -> Shown {
    // The same for each of a browser's tabs, so that none makes another's form too old.
    let known = session::cookie(&request.headers, FORM);
    let known = known.filter(|known| known.parse::<Digest>().is_ok());
    let secret = match known {
        Some(known) => known.to_owned(),
        None => session::random().map_err(|_| Problem::Unavailable)?,
    };
    let body = html! {
        div.alone {
            h1 { "Sign in" }
            @if let Some(why) = why {
                p.notice.bad role="alert" { (frame::icon("bad")) (capital(why)) "." }
            }
            form method="post" action="/sign-in" {
                input type="hidden" name="form" value=(secret);
                (fields)
            }
        }
    };
    let mut response = frame::open_page(status, "Sign in", &body);
    add_cookie(&mut response, FORM, &secret);
    Ok(response)
}

/// A session is over whether or not that can be entered.
pub async fn sign_out(api: &Api, visit: &Visit) -> Shown {
    let asked = &visit.asked;
    api.gate.sessions.close(&asked.headers);
    let subject = format!("token/{}", asked.who.name);
    let entry = asked.entry(api.clock.now(), "signed out", &subject);
    api.enter(entry).await?;
    let mut response = see_other("/sign-in");
    add_cookie(&mut response, COOKIE, "");
    Ok(response)
}

/// Where whoever is not signed in is sent; a page is come back to, a form is not.
pub fn to_sign_in(request: &Request) -> Response {
    let wanted = match (request.method == Method::GET, request.query.is_empty()) {
        (true, true) if request.path != "/" => request.path.clone(),
        (true, false) => format!(
            "{}?{}",
            request.path,
            String::from_utf8_lossy(&request.query)
        ),
        _ => return see_other("/sign-in"),
    };
    let to = serde_urlencoded::to_string([("to", wanted)]).unwrap_or_default();
    see_other(&format!("/sign-in?{to}"))
}

/// Only a path of our own: `//host` and `/\host` are other sites to a browser.
fn local_path(to: Option<&str>) -> &str {
    let ours = |to: &&str| {
        to.starts_with('/')
            && !to[1..].starts_with(['/', '\\'])
            && to.bytes().all(|byte| byte.is_ascii_graphic())
    };
    to.filter(ours).unwrap_or("/")
}

fn add_cookie(response: &mut Response, name: &str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(&set_cookie(name, value)) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

#[cfg(test)]
mod tests {
    use super::local_path;

    #[test]
    fn nobody_is_sent_to_another_site() {
        for (to, expected) in [
            (None, "/"),
            (Some("/call/hq/1?a=b"), "/call/hq/1?a=b"),
            (Some("//evil.example"), "/"),
            (Some("/\\evil.example"), "/"),
            (Some("https://evil.example"), "/"),
            (Some("/\r\nSet-Cookie: a=b"), "/"),
            (Some(""), "/"),
        ] {
            assert_eq!(local_path(to), expected, "{to:?}");
        }
    }
}
