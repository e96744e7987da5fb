//! A gateway under test.

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Mutex;

use crate::{
    Connection, Folder, Process, Ran, Raw, Request, Response, Upstream, WebSocket, configuration, eventually,
    portcullis_in, response,
};

/// A running gateway, a process of its own. Killed when dropped.
///
/// The configuration is TOML as a user writes it. `version`, `server.listen` (a port that the system chooses),
/// `server.admin` (likewise) and `server.threads` (2) are filled in where they are missing.
#[derive(Debug)]
pub struct Gateway {
    process: Process,
    addresses: Vec<SocketAddr>,
    secure_addresses: Vec<SocketAddr>,
    admin: Option<SocketAddr>,
    configuration: Mutex<String>,
    folder: Folder,
}

const FILE: &str = "portcullis.toml";
/// The word that it says when it takes requests.
const READY: &str = "ready";
const GREETING: &str = "[[route]]\nmatch = '/'\nrespond = { body = 'hello' }\n";

impl Gateway {
    /// Starts a gateway and waits until it is ready.
    pub async fn start(configuration: impl AsRef<str>) -> Self {
        Self::start_in(Folder::new(), configuration, &[]).await
    }

    /// Starts a gateway that has no upstream and answers `/` with `hello`.
    pub async fn greeting() -> Self {
        Self::start(GREETING).await
    }

    /// Starts a gateway whose one route passes everything to this upstream.
    pub async fn proxying(upstream: &Upstream) -> Self {
        Self::start(Self::proxying_configuration(upstream)).await
    }

    /// The configuration of [`Gateway::proxying`], to add to.
    pub fn proxying_configuration(upstream: &Upstream) -> String {
        format!("upstream.service.targets = [\"{upstream}\"]\n[[route]]\nmatch = \"/{{rest...}}\"\nto = \"service\"\n")
    }

    /// Starts a gateway whose one route goes to an upstream with these targets; lines of its own for each.
    pub async fn before(targets: &[&dyn Display], of_upstream: &str, of_route: &str) -> Self {
        let targets: Vec<String> = targets.iter().map(|target| format!("\"{target}\"")).collect();
        let targets = targets.join(", ");
        Self::start(format!(
            r#"
            [upstream.service]
            targets = [{targets}]
            {of_upstream}
            [[route]]
            match = "/{{rest...}}"
            to = "service"
            {of_route}
            "#
        ))
        .await
    }

    /// The same with one thread, which asks the targets in turn.
    pub async fn in_turn(targets: &[&dyn Display], of_upstream: &str, of_route: &str) -> Self {
        let of_upstream = format!("balance = \"round-robin\"\n{of_upstream}");
        Self::before(targets, &of_upstream, &format!("{of_route}\n[server]\nthreads = 1")).await
    }

    /// Starts a gateway with its configuration in this folder (beside plugins, included files, secrets) and with these
    /// environment variables.
    pub async fn start_in(folder: Folder, configuration: impl AsRef<str>, environment: &[(&str, &str)]) -> Self {
        let text = configuration::complete(configuration.as_ref());
        let file = folder.write(FILE, &text);
        let process = Process::start(
            ["run".as_ref(), "-c".as_ref(), file.as_os_str()],
            environment,
            folder.path(),
        );
        Self::started(process, folder, text, READY).await
    }

    /// Starts a gateway from a shell that lets its programs open this many files unless they ask for more.
    pub async fn start_with_descriptors(descriptors: u64, configuration: impl AsRef<str>) -> Self {
        let (folder, text) = (Folder::new(), configuration::complete(configuration.as_ref()));
        let file = folder.write(FILE, &text);
        let process = Process::start_with_descriptors(
            descriptors,
            ["run".as_ref(), "-c".as_ref(), file.as_os_str()],
            folder.path(),
        );
        Self::started(process, folder, text, READY).await
    }

    /// Starts a gateway and waits only until it listens: it may have a reason not to be ready yet.
    pub async fn start_unready(configuration: impl AsRef<str>) -> Self {
        let (folder, text) = (Folder::new(), configuration::complete(configuration.as_ref()));
        let file = folder.write(FILE, &text);
        let process = Process::start(["run".as_ref(), "-c".as_ref(), file.as_os_str()], &[], folder.path());
        Self::started(process, folder, text, "admin").await
    }

    /// Starts `portcullis` with these arguments in place of `run -c FILE`, and waits until it is ready.
    pub async fn start_by(arguments: &[&str]) -> Self {
        let folder = Folder::new();
        let process = Process::start(arguments, &[], folder.path());
        Self::started(process, folder, arguments.join(" "), READY).await
    }

    /// What `portcullis run` says of a configuration it refuses. Panics where it does not end by itself with code 1.
    pub async fn refused(configuration: impl AsRef<str>) -> String {
        let folder = Folder::new();
        let file = folder.write(FILE, configuration::complete(configuration.as_ref()));
        let process = Process::start(["run".as_ref(), "-c".as_ref(), file.as_os_str()], &[], folder.path());
        assert_eq!(process.exited().await, 1, "{}", process.stderr().join("\n"));
        process.stderr().join("\n")
    }

    /// What `portcullis run` says where the machine does not let it run. Panics where it does not end by itself with code 3.
    pub async fn refused_for_the_machine(configuration: impl AsRef<str>) -> String {
        let folder = Folder::new();
        let file = folder.write(FILE, configuration::complete(configuration.as_ref()));
        let process = Process::start(["run".as_ref(), "-c".as_ref(), file.as_os_str()], &[], folder.path());
        assert_eq!(process.exited().await, 3, "{}", process.stderr().join("\n"));
        process.stderr().join("\n")
    }

    /// What `portcullis check` says of a configuration.
    pub fn checked(configuration: impl AsRef<str>) -> Ran {
        let folder = Folder::new();
        folder.write(FILE, configuration::complete(configuration.as_ref()));
        portcullis_in(folder.path(), &["check", FILE])
    }

    /// Waits until the log has a line with this word.
    async fn started(process: Process, folder: Folder, text: String, word: &str) -> Self {
        let mut gateway = Gateway {
            process,
            addresses: vec![],
            secure_addresses: vec![],
            admin: None,
            configuration: Mutex::new(text),
            folder,
        };
        eventually(&format!("the gateway says `{word}`"), async || {
            assert_eq!(
                gateway.process.exit_code(),
                None,
                "the gateway ended instead of getting ready"
            );
            gateway
                .process
                .stderr()
                .iter()
                .any(|line| line.split_whitespace().any(|said| said == word))
        })
        .await;
        let lines = gateway.process.stderr();
        gateway.addresses = lines
            .iter()
            .filter_map(|line| address_after(line, "listening on http://"))
            .collect();
        gateway.secure_addresses = lines
            .iter()
            .filter_map(|line| address_after(line, "listening on https://"))
            .collect();
        gateway.admin = lines.iter().find_map(|line| address_after(line, "admin on http://"));
        assert!(
            lines.iter().any(|line| line.contains("listening on ")),
            "the gateway did not say where it listens"
        );
        gateway
    }

    /// Sends a GET on a connection of its own.
    pub async fn get(&self, path: &str) -> Response {
        self.request("GET", path).send().await
    }

    /// A request to be filled in and sent.
    ///
    /// ```no_run
    /// # async fn test(gateway: portcullis_tests::Gateway) {
    /// let response = gateway.request("POST", "/users").header("x-token", "t").body("{}").send().await;
    /// # }
    /// ```
    pub fn request(&self, method: &str, path: &str) -> Request<'static> {
        Request::to(self.address(), method, path)
    }

    /// A kept HTTP/1.1 connection.
    pub async fn connect(&self) -> Connection {
        Connection::http1(self.address()).await
    }

    /// A kept HTTP/2 connection, by prior knowledge.
    pub async fn connect_http2(&self) -> Connection {
        Connection::http2(self.address()).await
    }

    /// A bare socket, for what no client library sends.
    pub async fn raw(&self) -> Raw {
        Raw::connect(self.address()).await
    }

    /// Opens a WebSocket. Panics where it is refused.
    pub async fn websocket(&self, path: &str) -> WebSocket {
        match WebSocket::open(self.address(), path, &[]).await {
            Ok((socket, _)) => socket,
            Err(response) => panic!("refused: {response:?}"),
        }
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Where clients connect with HTTPS.
    pub fn secure_address(&self) -> SocketAddr {
        self.secure_addresses[0]
    }

    /// Every address where clients connect with HTTPS.
    pub fn secure_addresses(&self) -> &[SocketAddr] {
        &self.secure_addresses
    }

    /// Every address where clients connect with plain HTTP.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Sends a GET to the admin address.
    pub async fn admin(&self, path: &str) -> Response {
        Request::to(self.admin.expect("an admin address"), "GET", path)
            .send()
            .await
    }

    /// The sum of a metric's samples that carry all these labels; 0 where there is none. Panics where there is no such
    /// metric, or none of its samples has a label of that name.
    pub async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        crate::metrics::sum(&self.admin("/metrics").await.text(), name, labels)
    }

    /// The first access log line for which `wanted` holds, once there is one.
    pub async fn logged(&self, wanted: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        eventually("the access log has the line", async || {
            self.access_log().iter().any(&wanted)
        })
        .await;
        self.access_log().into_iter().find(wanted).expect("it was there")
    }

    /// The outcome that the access log has for a path, once it is there.
    pub async fn outcome(&self, path: &str) -> String {
        let line = self.logged(|line| line["path"] == path).await;
        line["outcome"].as_str().expect("an outcome").to_owned()
    }

    /// The access log so far.
    pub fn access_log(&self) -> Vec<serde_json::Value> {
        crate::access_log::parse(&self.process.stdout())
    }

    /// Standard output so far: the access log, and what a command prints for its reader.
    pub fn stdout(&self) -> String {
        self.process.stdout().join("\n")
    }

    /// The log so far.
    pub fn log(&self) -> String {
        self.process.stderr().join("\n")
    }

    /// The first line of the log that holds all of these words, once there is one.
    pub async fn log_line(&self, words: &[&str]) -> String {
        let find = || {
            self.process
                .stderr()
                .into_iter()
                .find(|line| words.iter().all(|word| line.contains(word)))
        };
        eventually(&format!("the log has a line with {words:?}"), async || find().is_some()).await;
        find().expect("it was there")
    }

    /// Writes a new configuration. The gateway notices by itself.
    pub fn write(&self, configuration: impl AsRef<str>) {
        let text = configuration::complete(configuration.as_ref());
        self.folder.write(FILE, &text);
        *self.configuration.lock().expect("the configuration") = text;
    }

    /// Writes a new configuration, sends SIGHUP, and waits until a reload has ended, well or badly.
    pub async fn reload_with(&self, configuration: impl AsRef<str>) {
        let before = self.metric("portcullis_reloads_total", &[]).await;
        self.write(configuration);
        self.signal("HUP");
        eventually("a reload ends", async || {
            self.metric("portcullis_reloads_total", &[]).await > before
        })
        .await;
    }

    /// Where its configuration stands, with whatever else the test wrote there.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// The configuration's file.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join(FILE)
    }

    /// Sends a signal: `TERM`, `HUP`.
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Sends SIGTERM and gives the exit code.
    pub async fn stop(&self) -> i32 {
        self.signal("TERM");
        self.exited().await
    }

    /// Waits for its end and gives the exit code.
    pub async fn exited(&self) -> i32 {
        self.process.exited().await
    }

    /// Whether it still runs.
    pub fn runs(&self) -> bool {
        self.process.exit_code().is_none()
    }

    /// Resident memory in KiB.
    pub fn rss_kib(&self) -> u64 {
        self.process.rss_kib()
    }

    /// CPU time that it has taken so far.
    pub fn cpu_time(&self) -> std::time::Duration {
        self.process.cpu_time()
    }

    /// Open file descriptors.
    pub fn fds(&self) -> usize {
        self.process.fds()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let configuration = self
                .configuration
                .lock()
                .unwrap_or_else(|poisoned| poisoned.into_inner());
            eprintln!("--- configuration\n{configuration}");
            eprintln!("--- log\n{}", self.process.stderr().join("\n"));
            eprintln!("--- access log\n{}", self.process.stdout().join("\n"));
            eprintln!("--- last response\n{}\n---", response::last());
        }
    }
}

fn address_after(line: &str, words: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once(words)?;
    rest.split(|letter: char| letter.is_whitespace() || letter == '/')
        .next()?
        .parse()
        .ok()
}
