//! What stands in systemd's place: it hears what the service tells, and holds its sockets.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use rustix::process::Signal;

use super::service::Service;

const TOLD_WITHIN: Duration = Duration::from_secs(20);

pub struct Manager(UnixDatagram);

impl Manager {
    /// Also starts the service, and waits until it says that it is ready.
    pub fn start(service: &mut Service) -> Manager {
        let path = service.dir().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(TOLD_WITHIN)).unwrap();
        service.set_env("NOTIFY_SOCKET", Some(path.to_str().unwrap()));
        service.restart();
        let manager = Manager(socket);
        assert_eq!(manager.told(), "READY=1\n");
        manager
    }

    pub fn told(&self) -> String {
        let mut message = [0; 4096];
        let bytes = self.0.recv(&mut message).expect("a message in time");
        String::from_utf8(message[..bytes].to_vec()).unwrap()
    }

    /// What was told and not heard yet, without waiting for more.
    pub fn heard(&self) -> Vec<String> {
        let mut heard = Vec::new();
        let mut message = [0; 4096];
        self.0.set_nonblocking(true).unwrap();
        while let Ok(bytes) = self.0.recv(&mut message) {
            heard.push(String::from_utf8(message[..bytes].to_vec()).unwrap());
        }
        self.0.set_nonblocking(false).unwrap();
        heard
    }

    /// Reloads, and answers what is said when it is done.
    pub fn reload(&self, service: &Service) -> String {
        service.signal(Signal::HUP);
        let begun = self.told();
        let lines: Vec<&str> = begun.lines().collect();
        assert!(
            matches!(lines[..], ["RELOADING=1", time] if time.starts_with("MONOTONIC_USEC=")),
            "{begun}"
        );
        let done = self.told();
        done.strip_prefix("READY=1\nSTATUS=")
            .expect(&done)
            .trim_end()
            .to_owned()
    }
}
