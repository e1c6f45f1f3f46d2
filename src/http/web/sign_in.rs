//! Signing in with a token, and out.

use maud::html;
use warp::http::{HeaderValue, Method, StatusCode, header};
use warp::reply::Response;

use super::frame::{self, capital};
use super::{Shown, Visit, see_other};
use crate::http::api::Api;
use crate::http::api::problem::Problem;
use crate::http::api::query;
use crate::http::request::Request;
use crate::http::session::{self, COOKIE, set_cookie};
use crate::model::digest::Digest;

/// What the form carries before there is a session: a stranger's page cannot sign anybody in.
const FORM: &str = "callvault_form";

pub async fn sign_in(api: &Api, request: &Request) -> Shown {
    match request.method {
        Method::GET => {
            let asked = query::parse(&request.query)?;
            let to = asked.get("to").map(String::as_str);
            form(request, StatusCode::OK, local_path(to), None)
        }
        Method::POST => enter(api, request).await,
        _ => Err(Problem::Method),
    }
}

async fn enter(api: &Api, request: &Request) -> Shown {
    let fields = query::parse(&request.body)?;
    let field = |name: &str| fields.get(name).map(String::as_str);
    let to = local_path(field("to"));
    let given = session::cookie(&request.headers, FORM);
    let is_ours = given.is_some_and(|given| session::is_same(given, field("form")));
    if !is_ours || session::is_foreign(&request.headers) {
        let why = "The form was too old, or cookies are off. Please try again";
        return form(request, StatusCode::FORBIDDEN, to, Some(why));
    }
    let presented = field("token").unwrap_or_default();
    match api.gate.token(api, presented, request.address).await {
        Ok(token) => {
            api.gate.sessions.close(&request.headers);
            let opened = api.gate.sessions.open(&token.name, api.clock.now());
            let id = opened.map_err(|_| Problem::Unavailable)?;
            let mut response = see_other(to);
            add_cookie(&mut response, COOKIE, &id);
            add_cookie(&mut response, FORM, "");
            Ok(response)
        }
        Err(Problem::Unauthorized) => {
            let why = "This token opens nothing: it is wrong, has expired or was revoked";
            form(request, StatusCode::UNAUTHORIZED, to, Some(why))
        }
        Err(problem @ Problem::TooManyWrongTokens) => {
            let (status, _, why) = problem.parts();
            form(request, status, to, Some(&why))
        }
        Err(problem) => Err(problem),
    }
}

fn form(request: &Request, status: StatusCode, to: &str, why: Option<&str>) -> Shown {
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
                input type="hidden" name="to" value=(to);
                label for="token" { "Token" }
                input #token type="password" name="token" required autofocus
                    autocomplete="current-password" spellcheck="false";
                p.dim { "It begins with " code { "cv_" } ". Whoever runs callvault makes one by "
                    code { "callvault token add" } "." }
                button type="submit" { "Sign in" }
            }
        }
    };
    let mut response = frame::open_page(status, "Sign in", &body);
    add_cookie(&mut response, FORM, &secret);
    Ok(response)
}

pub async fn sign_out(api: &Api, visit: &Visit) -> Shown {
    api.gate.sessions.close(&visit.asked.headers);
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
