//! A port on loopback before another one: shut until it is opened.
//!
//! Never here: what is said over a connection.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// Hangs up on everybody at first. One that nobody opens is a decoy: it counts who came.
pub struct Gate {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    is_open: AtomicBool,
    connections: AtomicUsize,
}

impl Gate {
    pub fn before(to: SocketAddr) -> Gate {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("its address");
        let state: Arc<State> = Arc::default();
        let accepting = state.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                accepting.connections.fetch_add(1, Ordering::SeqCst);
                if let (Ok(stream), true) = (stream, accepting.is_open.load(Ordering::SeqCst)) {
                    // Either side may leave at any time.
                    let _ = pass(stream, to);
                }
            }
        });
        Gate { address, state }
    }

    /// Leads nowhere, and nobody should come.
    pub fn decoy() -> Gate {
        Gate::before(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)))
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// For connections that begin from now on.
    pub fn open(&self) {
        self.state.is_open.store(true, Ordering::SeqCst);
    }

    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }
}

fn pass(near: TcpStream, to: SocketAddr) -> io::Result<()> {
    let far = TcpStream::connect(to)?;
    let (from_near, from_far) = (near.try_clone()?, far.try_clone()?);
    thread::spawn(move || copy(from_near, far));
    thread::spawn(move || copy(from_far, near));
    Ok(())
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
