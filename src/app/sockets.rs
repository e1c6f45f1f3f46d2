//! Listening sockets that systemd holds. They outlive the service: who calls while it restarts waits
//! in the kernel's queue and is not refused.
//!
//! Never here: what is served on them.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;

const NAMES: [&str; 2] = ["hook", "admin"];

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("systemd passes a socket named {0:?}: FileDescriptorName= must be hook or admin")]
    Name(String),
    #[error("systemd passes two sockets named {0:?}: one ListenStream= is the most")]
    Twice(String),
    #[error("systemd's socket {name:?} is none that takes TCP connections")]
    Take {
        name: String,
        #[source]
        source: io::Error,
    },
    /// What the settings promise of an address, TLS off loopback above all, is checked of theirs.
    #[error(
        "systemd's socket {name:?} is bound to {bound}, but listen.{name} = \"{wanted}\": \
         make them the same"
    )]
    Address {
        name: String,
        bound: SocketAddr,
        wanted: SocketAddr,
    },
}

/// By name. What is not among them the service binds itself.
#[derive(Debug, Default)]
pub struct Sockets(BTreeMap<String, TcpListener>);

impl Sockets {
    /// What systemd passed to this process; nothing where there is no systemd.
    pub fn passed() -> Result<Sockets, Error> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut passed = ListenFd::from_env();
        let mut sockets = BTreeMap::new();
        let mut names = names.split(':');
        for at in 0..passed.len() {
            let name = names.next().unwrap_or_default().to_owned();
            if !NAMES.contains(&name.as_str()) {
                return Err(Error::Name(name));
            }
            let taken = passed.take_tcp_listener(at);
            let taken = taken.map_err(|source| Error::Take {
                name: name.clone(),
                source,
            })?;
            if taken.is_some_and(|socket| sockets.insert(name.clone(), socket).is_some()) {
                return Err(Error::Twice(name));
            }
        }
        Ok(Sockets(sockets))
    }

    /// The socket of this name, if there is one; it must be bound to what the settings say.
    pub(super) fn take(
        &mut self,
        name: &str,
        wanted: SocketAddr,
    ) -> Result<Option<TcpListener>, Error> {
        let Some(socket) = self.0.remove(name) else {
            return Ok(None);
        };
        let bound = socket.local_addr().map_err(|source| Error::Take {
            name: name.to_owned(),
            source,
        })?;
        let is_wanted = bound.ip() == wanted.ip() && [0, bound.port()].contains(&wanted.port());
        match is_wanted {
            true => Ok(Some(socket)),
            false => Err(Error::Address {
                name: name.to_owned(),
                bound,
                wanted,
            }),
        }
    }
}
