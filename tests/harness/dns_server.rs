//! A DNS server: dnsmasq, a real one.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use crate::{Folder, eventually, program};

/// dnsmasq, which knows what a test tells it about `.internal`, and nothing else. Ended when dropped.
///
/// Its `Display` is its address: `127.0.0.1:40053`.
#[derive(Debug)]
pub struct DnsServer {
    program: PathBuf,
    address: SocketAddr,
    folder: Folder,
    running: Mutex<Option<Child>>,
}

const HOSTS: &str = "hosts";
const LOG: &str = "log";

impl DnsServer {
    /// Starts one with these lines of a hosts file (`127.0.0.1 users.internal`) and these options
    /// (`--srv-host=_http._tcp.orders.internal,a.internal,8080,0,1`). None where there is no dnsmasq on this machine.
    pub async fn start(hosts: &str, options: &[&str]) -> Option<Self> {
        let server = DnsServer {
            program: program("dnsmasq")?,
            address: free_port(),
            folder: Folder::new(),
            running: Mutex::default(),
        };
        server.folder.write(HOSTS, hosts);
        server.run(options).await;
        Some(server)
    }

    /// These are the addresses from now on.
    pub fn know(&self, hosts: &str) {
        self.folder.write(HOSTS, hosts);
        let id = self.running.lock().expect("the server").as_ref().map(Child::id);
        let id = id.expect("a running server").to_string();
        let sent = Command::new("sh").args(["-c", &format!("kill -HUP {id}")]).status();
        assert!(sent.is_ok_and(|status| status.success()), "SIGHUP was not sent");
    }

    /// These will be the addresses when it is started again.
    pub fn know_later(&self, hosts: &str) {
        self.folder.write(HOSTS, hosts);
    }

    /// Ends it: nobody answers at its address.
    pub fn stop(&self) {
        if let Some(mut child) = self.running.lock().expect("the server").take() {
            // Both fail only where it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it again at the same address, with these options.
    pub async fn restart(&self, options: &[&str]) {
        self.stop();
        self.run(options).await;
    }

    /// How often a name has been asked for in this way: `A`, `AAAA`, `SRV`.
    pub fn questions(&self, kind: &str, name: &str) -> usize {
        self.log().matches(&format!("query[{kind}] {name} ")).count()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join(LOG)).unwrap_or_default()
    }

    async fn run(&self, options: &[&str]) {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let user = Command::new("id").arg("-un").output().expect("a user").stdout;
        let user = String::from_utf8(user).expect("a name");
        let starts = self.log().matches("started, version").count();
        let child = Command::new(&self.program)
            .args(["--keep-in-foreground", "--conf-file=/dev/null", "--pid-file="])
            .args([
                "--no-resolv",
                "--no-hosts",
                "--local=/internal/",
                "--log-queries",
                "--bind-interfaces",
            ])
            .arg(format!("--listen-address={}", self.address.ip()))
            .arg(format!("--port={}", self.address.port()))
            .arg(format!("--user={}", user.trim()))
            .arg(format!("--addn-hosts={}", path(HOSTS)))
            .arg(format!("--log-facility={}", path(LOG)))
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("dnsmasq starts");
        *self.running.lock().expect("the server") = Some(child);
        eventually("dnsmasq runs", async || {
            let ended = self.running.lock().expect("the server").as_mut().map(Child::try_wait);
            assert!(matches!(ended, Some(Ok(None))), "dnsmasq ended:\n{}", self.log());
            self.log().matches("started, version").count() > starts
        })
        .await;
    }
}

impl std::fmt::Display for DnsServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.address.fmt(f)
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            eprintln!("--- dnsmasq\n{}", self.log());
        }
    }
}

/// A port that is free for UDP and for TCP: dnsmasq takes 0 for "no DNS".
fn free_port() -> SocketAddr {
    loop {
        let address = crate::free_address();
        if UdpSocket::bind(address).is_ok() {
            return address;
        }
    }
}
