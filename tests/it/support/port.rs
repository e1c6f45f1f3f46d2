//! A port of one's own, also while nothing listens on it.
//!
//! A port that is given back goes to whoever asks next, another test's server included, and a
//! service that comes to a PBX which is "down" would meet a stranger there.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use tokio::net::TcpSocket;

/// Bound as long as this lives: nobody else gets it, and without a listener it refuses.
pub struct Port {
    address: SocketAddr,
    _bound: TcpSocket,
}

impl Port {
    pub fn reserve() -> Port {
        let socket = TcpSocket::new_v4().expect("a socket");
        // Only so may a second socket, the listener's, have the same address.
        socket.set_reuseaddr(true).expect("to share its address");
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        socket.bind(any).expect("a free port");
        Port {
            address: socket.local_addr().expect("its address"),
            _bound: socket,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// One at a time.
    pub fn listen(&self) -> TcpListener {
        TcpListener::bind(self.address).expect("a port of one's own")
    }
}
