//! A certificate authority that speaks ACME: pebble, which Let's Encrypt tests with.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};

use crate::{Authority, DnsServer, Folder, Process, TlsClient, eventually, free_address, program, write_pair};

/// pebble, with a DNS server that leads it to the gateway under test. Ended when dropped.
#[derive(Debug)]
pub struct Pebble {
    program: PathBuf,
    folder: Folder,
    /// Who has signed the certificate that it is itself reached with.
    authority: Authority,
    address: SocketAddr,
    management: SocketAddr,
    https: SocketAddr,
    http: SocketAddr,
    settings: Mutex<Value>,
    dns: DnsServer,
    running: Mutex<Option<Process>>,
}

impl Pebble {
    /// Starts one for these domains, of which each one is the gateway's. None where something for it is missing on this
    /// machine.
    pub async fn start(domains: &[&str]) -> Option<Self> {
        let pebble = Pebble::new(domains).await?;
        pebble.run().await;
        Some(pebble)
    }

    /// The same, which does not run yet.
    pub async fn new(domains: &[&str]) -> Option<Self> {
        let (address, https) = (free_address(), free_address());
        let hosts: String = domains
            .iter()
            .map(|domain| format!("{} {domain}\n", https.ip()))
            .collect();
        let pebble = Pebble {
            program: program("pebble")?,
            dns: DnsServer::start(&hosts, &[]).await?,
            folder: Folder::new(),
            authority: Authority::new(),
            management: beside(address),
            address,
            http: beside(https),
            https,
            settings: Mutex::default(),
            running: Mutex::default(),
        };
        pebble.folder.write("ca.pem", pebble.authority.pem());
        let certificate = pebble.authority.issue(&[&address.ip().to_string()]);
        write_pair(&pebble.folder, "pebble", &certificate);
        *pebble.settings.lock().expect("the settings") = json!({
            "listenAddress": pebble.address.to_string(),
            "managementListenAddress": pebble.management.to_string(),
            "certificate": pebble.path("pebble.pem"),
            "privateKey": pebble.path("pebble.key"),
            "httpPort": pebble.http.port(),
            "tlsPort": pebble.https.port(),
        });
        Some(pebble)
    }

    /// With another setting of its own, from its next start on: `certificateValidityPeriod`, `domainBlocklist`.
    pub fn set(&self, key: &str, value: Value) {
        self.settings.lock().expect("the settings")[key] = value;
    }

    /// Starts it, or starts it again: it has then forgotten all accounts, and has another root.
    pub async fn run(&self) {
        self.stop();
        let settings = json!({ "pebble": *self.settings.lock().expect("the settings") });
        let file = self.folder.write("pebble.json", settings.to_string());
        let mut command = Command::new(&self.program);
        command
            .arg("-config")
            .arg(file)
            .args(["-dnsserver", &self.dns.to_string()])
            // It would wait for up to 15 seconds before it validates, find domains validated already, and have some
            // requests, which are counted, made again for the sake of it.
            .envs([
                ("PEBBLE_VA_NOSLEEP", "1"),
                ("PEBBLE_AUTHZREUSE", "0"),
                ("PEBBLE_WFE_NONCEREJECT", "0"),
            ]);
        *self.running.lock().expect("pebble") = Some(Process::of(command));
        // It says that it runs before it listens.
        eventually("pebble runs", async || {
            self.root().await.is_ok() && self.answers(self.address, "/dir").await.is_ok()
        })
        .await;
    }

    /// Its root certificate in PEM.
    async fn root(&self) -> std::io::Result<String> {
        self.answers(self.management, "/roots/0").await
    }

    async fn answers(&self, address: SocketAddr, path: &str) -> std::io::Result<String> {
        let client = TlsClient::trusting(&self.authority);
        Ok(client.get(address, &address.ip().to_string(), path).await?.0)
    }

    /// Ends it: nobody answers at its address.
    pub fn stop(&self) {
        self.running.lock().expect("pebble").take();
    }

    /// A gateway's configuration: a listener with a certificate from here, with these keys in its `acme`, a listener of
    /// plain HTTP, and what else is configured. The store is in pebble's folder, so that it outlives the gateway.
    pub fn configuration(&self, acme: &str, rest: &str) -> String {
        let mut keys = String::new();
        for (key, value) in [
            ("directory", format!("'{}'", self.directory())),
            ("roots", format!("'{}'", self.path("ca.pem"))),
            ("retry", "{ first = '100ms', longest = '500ms' }".to_owned()),
        ] {
            if !acme.lines().any(|line| line.starts_with(&format!("{key} ="))) {
                keys.push_str(&format!("{key} = {value}\n"));
            }
        }
        format!(
            "{rest}\n[[listener]]\nname = 'edge'\naddress = '{}'\n\
             [listener.tls.acme]\nstore = '{}'\naccept_terms = true\n{keys}{acme}\n\
             [[listener]]\nname = 'plain'\naddress = '{}'\nredirect_to_https = true\n",
            self.https,
            self.store().display(),
            self.http,
        )
    }

    /// The URL of its directory.
    pub fn directory(&self) -> String {
        format!("https://{}/dir", self.address)
    }

    /// Where gateways keep what they get from here.
    pub fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// The files that are kept there, however deep, in order.
    pub fn stored(&self) -> Vec<PathBuf> {
        fn below(folder: &Path, found: &mut Vec<PathBuf>) {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                match entry.path() {
                    path if path.is_dir() => below(&path, found),
                    path => found.push(path),
                }
            }
        }
        let mut found = Vec::new();
        below(&self.store(), &mut found);
        found.sort();
        found
    }

    /// A client that trusts what is issued here.
    pub async fn client(&self) -> TlsClient {
        TlsClient::trusting_root(&self.root().await.expect("its root"))
    }

    /// The certificate that a client is shown for a host, if it trusts it.
    pub async fn shown(&self, host: &str) -> Option<CertificateDer<'static>> {
        let stream = self.client().await.connect(self.https, host).await.ok()?;
        Some(stream.get_ref().1.peer_certificates()?.first()?.clone().into_owned())
    }

    /// Where the gateway's clients speak HTTPS.
    pub fn https(&self) -> SocketAddr {
        self.https
    }

    /// Where they speak plain HTTP.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// Orders since it was started.
    pub fn orders(&self) -> usize {
        self.log().matches("POST /order-plz").count()
    }

    /// Accounts that were asked for since then.
    pub fn accounts(&self) -> usize {
        self.log().matches("POST /sign-me-up").count()
    }

    /// What it says.
    pub fn log(&self) -> String {
        let running = self.running.lock().expect("pebble");
        let said = |process: &Process| [process.stdout(), process.stderr()].concat().join("\n");
        running.as_ref().map(said).unwrap_or_default()
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- pebble\n{}", self.log());
        }
    }
}

/// Another free port of the same address.
fn beside(address: SocketAddr) -> SocketAddr {
    loop {
        let socket = TcpListener::bind((address.ip(), 0)).expect("a free port");
        let other = socket.local_addr().expect("an address");
        if other != address {
            return other;
        }
    }
}
