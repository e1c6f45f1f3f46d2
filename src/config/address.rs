//! Where a server is reached: a URL without path, and an address to use in its place.
//!
//! Never here: name resolution.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// Scheme, host and port of a server; no path, query or user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    https: bool,
    host: String,
    port: Option<u16>,
}

impl BaseUrl {
    pub fn scheme(&self) -> &'static str {
        if self.https { "https" } else { "http" }
    }

    /// A name or an address in lower case, an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// As written, else the scheme's own.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(if self.https { 443 } else { 80 })
    }

    /// The same with another port, if there is one.
    pub fn with_port(mut self, port: Option<u16>) -> BaseUrl {
        self.port = port.or(self.port);
        self
    }

    /// `host[:port]`, as a Host header says it.
    pub fn authority(&self) -> String {
        let url = self.to_string();
        url[self.scheme().len() + "://".len()..].to_owned()
    }
}

/// `scheme://host[:port]`, as written; a path may be appended.
impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "{}://[{}]", self.scheme(), self.host)?,
            false => write!(f, "{}://{}", self.scheme(), self.host)?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// The text is no address of its kind. It is not repeated: it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an address of this form")]
pub struct BadAddress;

impl FromStr for BaseUrl {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<BaseUrl, BadAddress> {
        let text = text.to_ascii_lowercase();
        let (scheme, rest) = text.split_once("://").ok_or(BadAddress)?;
        let https = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(BadAddress),
        };
        let (host, port) = host_and_port(rest.strip_suffix('/').unwrap_or(rest))?;
        Ok(BaseUrl { https, host, port })
    }
}

/// The address to connect to instead of the one a URL names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectTo {
    /// A name, or an address without brackets.
    pub host: String,
    /// None means the URL's.
    pub port: Option<u16>,
}

impl FromStr for ConnectTo {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<ConnectTo, BadAddress> {
        let (host, port) = match text.parse::<Ipv6Addr>() {
            Ok(bare) => (bare.to_string(), None),
            Err(_) => host_and_port(&text.to_ascii_lowercase())?,
        };
        Ok(ConnectTo { host, port })
    }
}

fn host_and_port(text: &str) -> Result<(String, Option<u16>), BadAddress> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return match address.port() {
            0 => Err(BadAddress),
            port => Ok((address.ip().to_string(), Some(port))),
        };
    }
    let bracketed = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    if let Some(inner) = bracketed {
        let address: Ipv6Addr = inner.parse().map_err(|_| BadAddress)?;
        return Ok((address.to_string(), None));
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(nonzero(port)?)),
        None => (text, None),
    };
    match is_host(host) {
        true => Ok((host.to_owned(), port)),
        false => Err(BadAddress),
    }
}

fn nonzero(port: &str) -> Result<u16, BadAddress> {
    let digits = port.bytes().all(|b| b.is_ascii_digit());
    let port = port.parse().ok().filter(|port| digits && *port != 0);
    port.ok_or(BadAddress)
}

fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    // A last label of digits only is an IPv4 address to everyone who reads a URL.
    let numeric = text
        .rsplit('.')
        .next()
        .is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    if numeric {
        return text.parse::<IpAddr>().is_ok();
    }
    text.len() <= 253 && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: FromStr>(show: fn(T) -> String, cases: &[(&str, &str)]) {
        for (text, expected) in cases {
            let found = text.parse().map_or("refused".to_owned(), show);
            assert_eq!(&found, expected, "{text}");
        }
    }

    #[test]
    fn base_url() {
        let show = |url: BaseUrl| format!("{url} {} {}", url.host(), url.port());
        let cases = [
            (
                "https://pbx.example.com:5001",
                "https://pbx.example.com:5001 pbx.example.com 5001",
            ),
            (
                "HTTPS://PBX.example.com/",
                "https://pbx.example.com pbx.example.com 443",
            ),
            ("http://10.0.0.5", "http://10.0.0.5 10.0.0.5 80"),
            ("http://[::1]:81", "http://[::1]:81 ::1 81"),
            ("http://[::1]", "http://[::1] ::1 80"),
            ("http://a_b-c:8080", "http://a_b-c:8080 a_b-c 8080"),
            ("pbx.example.com", "refused"),
            ("ftp://pbx.example.com", "refused"),
            ("https://", "refused"),
            ("https://:443", "refused"),
            ("https://pbx.example.com:", "refused"),
            ("https://pbx.example.com:0", "refused"),
            ("https://pbx.example.com:+5", "refused"),
            ("https://pbx.example.com:70000", "refused"),
            ("https://10.0.0.5:0", "refused"),
            ("https://10.0.0.256", "refused"),
            ("https://::1", "refused"),
            ("https://[fe80::1%eth0]", "refused"),
            ("https://pbx.example.com//", "refused"),
            ("https://pbx.example.com/xapi", "refused"),
            ("https://pbx.example.com?x", "refused"),
            ("https://pbx.example.com#x", "refused"),
            ("https://user:word@pbx.example.com", "refused"),
            ("https://pbx example.com", "refused"),
            ("https://pbx..example.com", "refused"),
        ];
        check(show, &cases);
    }

    #[test]
    fn connect_to() {
        let show = |to: ConnectTo| format!("{} {:?}", to.host, to.port);
        let cases = [
            ("10.0.0.5", "10.0.0.5 None"),
            ("10.0.0.5:5001", "10.0.0.5 Some(5001)"),
            ("::1", "::1 None"),
            ("[::1]", "::1 None"),
            ("[::1]:5001", "::1 Some(5001)"),
            ("Inner.example.com", "inner.example.com None"),
            ("localhost:80", "localhost Some(80)"),
            ("http://10.0.0.5", "refused"),
            ("10.0.0.5:", "refused"),
            ("localhost:0", "refused"),
            ("a/b", "refused"),
        ];
        check(show, &cases);
    }
}
