//! A daemon of our own: the real binary with a configuration of the test, on ports that the kernel chooses.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::backend::Backend;
use crate::binary;
use crate::netns::Namespace;

const PATIENCE: Duration = Duration::from_secs(20);

/// A running daemon. Dropping it ends it.
pub struct Daemon {
    child: Child,
    address: SocketAddr,
    log: Arc<Mutex<Vec<serde_json::Value>>>,
    directory: Home,
}

/// Where a daemon keeps its files. Several daemons may live in one after another.
#[derive(Clone)]
pub struct Home(Arc<TempDir>);

impl Home {
    /// A new, empty one.
    ///
    /// # Errors
    /// If there is no room.
    pub fn new() -> Result<Self> {
        Ok(Self(Arc::new(TempDir::new().context("failed to make a directory")?)))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

/// What a test wants of a daemon.
pub struct Wanted<'a> {
    /// `monitor` or `enforce`.
    pub mode: &'a str,
    /// The application.
    pub upstream: SocketAddr,
    /// Where to listen; port 0 for any.
    pub listen: SocketAddr,
    /// Further keys of `[http]`.
    pub http: &'a str,
    /// Further sections of the configuration.
    pub extra: &'a str,
    /// A program to start the daemon with, like `nsenter`.
    pub wrapper: &'a [&'a str],
    /// Its standard input, for a wrapper that hands it over.
    pub input: Option<OwnedFd>,
}

impl<'a> Wanted<'a> {
    /// An enforcing daemon on loopback without a packet layer.
    #[must_use]
    pub fn enforcing(upstream: SocketAddr, extra: &'a str) -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            mode: "enforce",
            upstream,
            listen,
            http: "",
            extra,
            wrapper: &[],
            input: None,
        }
    }
}

impl Daemon {
    /// Starts a daemon in a home of its own and waits until it is ready.
    ///
    /// # Errors
    /// With everything it logged, if it does not become ready.
    pub fn start(wanted: &Wanted<'_>) -> Result<Self> {
        Self::start_in(Home::new()?, wanted)
    }

    /// Starts an application on loopback in a network namespace, and an enforcing daemon before it that listens at any
    /// port of this address there.
    ///
    /// # Errors
    /// If one of them does not start.
    pub fn start_within(server: &Namespace, listen: IpAddr, extra: &str) -> Result<(Backend, Self)> {
        let backend = server.run(|| Backend::start_on(SocketAddr::from(([127, 0, 0, 1], 0))))?;
        let enter = format!("--net=/run/netns/{}", server.name());
        let daemon = Self::start(&Wanted {
            listen: SocketAddr::new(listen, 0),
            wrapper: &["nsenter", &enter],
            ..Wanted::enforcing(backend.address(), extra)
        })?;
        Ok((backend, daemon))
    }

    /// Starts a daemon in this home.
    ///
    /// # Errors
    /// With everything it logged, if it does not become ready.
    pub fn start_in(directory: Home, wanted: &Wanted<'_>) -> Result<Self> {
        let mut child = spawn(&directory, wanted)?;
        let log = Arc::new(Mutex::new(Vec::new()));
        let stderr = child.stderr.take().context("no stderr")?;
        let lines = follow(stderr, Arc::clone(&log));
        match wait_until_ready(&lines) {
            Ok(address) => Ok(Self {
                child,
                address,
                log,
                directory,
            }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// Starts a daemon and kills it a while later, ready or not.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start_and_kill(directory: &Home, wanted: &Wanted<'_>, after: Duration) -> Result<()> {
        let mut child = spawn(directory, wanted)?;
        let stderr = child.stderr.take().context("no stderr")?;
        let _lines = follow(stderr, Arc::default());
        thread::sleep(after);
        child.kill().context("failed to kill the daemon")?;
        child.wait().context("failed to wait for the daemon").map(drop)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens: at `http.listen` first, then at each `[[listener]]`.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        self.logged("listening", "address")
    }

    /// One of [`addresses`](Self::addresses), if it is an address and port.
    ///
    /// # Errors
    /// If there is none of that number.
    pub fn listener(&self, index: usize) -> Result<SocketAddr> {
        let addresses = self.addresses();
        let address = addresses
            .get(index)
            .with_context(|| format!("no listener {index}: {addresses:?}"))?;
        address.parse().with_context(|| format!("{address} is no address"))
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// If it is gone.
    pub fn signal(&self, signal: nix::sys::signal::Signal) -> Result<()> {
        let id = nix::unistd::Pid::from_raw(i32::try_from(self.id())?);
        nix::sys::signal::kill(id, signal).context("failed to send a signal")
    }

    /// Waits until it has logged this message so often.
    ///
    /// # Errors
    /// If it does not.
    pub fn await_logged(&self, message: &str, field: &str, times: usize) -> Result<Vec<String>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let logged = self.logged(message, field);
            if logged.len() >= times {
                return Ok(logged);
            }
            if Instant::now() > deadline {
                bail!("{message:?} was not logged {times} times: {logged:?}");
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its control socket.
    #[must_use]
    pub fn control(&self) -> PathBuf {
        self.directory.path().join("control.sock")
    }

    /// Where it keeps its files, to start the next one there.
    #[must_use]
    pub fn home(&self) -> Home {
        self.directory.clone()
    }

    /// The values of a field in the log lines with this message.
    #[must_use]
    pub fn logged(&self, message: &str, field: &str) -> Vec<String> {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let fields = log.iter().filter_map(|line| line.get("fields"));
        let matching = fields
            .filter(|fields| fields["message"] == message)
            .filter_map(|fields| fields.get(field));
        matching
            .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            .collect()
    }

    /// Runs the command line against it and returns stdout.
    ///
    /// # Errors
    /// If it fails, with what it said.
    pub fn cli(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(binary::portcullis()?);
        let output = command.arg("--socket").arg(self.control()).args(arguments).output()?;
        if !output.status.success() {
            bail!("portcullis {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Tells it to stop, waits for its end, and returns its home.
    ///
    /// # Errors
    /// If it ends badly.
    pub fn stop(mut self) -> Result<Home> {
        self.signal(nix::sys::signal::Signal::SIGTERM)?;
        let status = self.child.wait().context("failed to wait for the daemon")?;
        if !status.success() {
            bail!("the daemon ended with {status}");
        }
        Ok(self.home())
    }

    /// Ends it at once, as a crash would, and returns its home.
    ///
    /// # Errors
    /// If the kernel does not know it.
    pub fn kill(mut self) -> Result<Home> {
        self.child.kill().context("failed to kill the daemon")?;
        self.child.wait().context("failed to wait for the daemon")?;
        Ok(self.home())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A daemon of this configuration in this home.
fn spawn(directory: &Home, wanted: &Wanted<'_>) -> Result<Child> {
    let config = directory.path().join("portcullis.toml");
    fs::write(&config, configuration(directory.path(), wanted)).context("failed to write the configuration")?;
    let binary = binary::portcullis()?;
    let input = wanted.input.as_ref().map(OwnedFd::try_clone).transpose()?;
    let input = input.map_or_else(Stdio::null, Stdio::from);
    let mut words = wanted
        .wrapper
        .iter()
        .map(PathBuf::from)
        .chain([binary, "run".into(), "--config".into(), config]);
    let program = words.next().context("no program")?;
    Command::new(&program)
        .args(words)
        .stdin(input)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("failed to start {}", program.display()))
}

fn configuration(directory: &Path, wanted: &Wanted<'_>) -> String {
    let Wanted {
        mode,
        upstream,
        listen,
        http,
        extra,
        ..
    } = wanted;
    let directory = directory.display();
    // Keys of the root stand before the first table.
    let table = if extra.starts_with('[') {
        Some(0)
    } else {
        extra.find("\n[")
    };
    let (before, sections) = extra.split_at(table.unwrap_or(extra.len()));
    // A test opens sessions by the dozen from one address.
    let work = if sections.contains("[work]") {
        ""
    } else {
        "[work]\nmode = \"off\"\n"
    };
    // The directories of tests are root's alone.
    let service = if sections.contains("[service]") {
        ""
    } else {
        "[service]\nuser = \"root\"\n"
    };
    // The state directory is the test's, whatever else it says of `[state]`.
    let own_state = format!("[state]\ndirectory = \"{directory}/state\"\n");
    let (sections, state) = if sections.contains("[state]\n") {
        (sections.replace("[state]\n", &own_state), String::new())
    } else {
        (sections.to_owned(), own_state)
    };
    format!(
        "mode = \"{mode}\"\n{before}\n\
         [http]\nlisten = [\"{listen}\"]\nupstream = \"http://{upstream}\"\n{http}\n\
         [control]\nsocket = \"{directory}/control.sock\"\n\
         {state}\
         [log]\nformat = \"json\"\n\
         {work}{service}\
         {sections}\n"
    )
}

/// Keeps the log and passes each line on.
fn follow(stderr: impl std::io::Read + Send + 'static, log: Arc<Mutex<Vec<serde_json::Value>>>) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if let Ok(parsed) = serde_json::from_str(&line) {
                log.lock().unwrap_or_else(PoisonError::into_inner).push(parsed);
            }
            // After the start nobody listens any more.
            let _ = sender.send(line);
        }
    });
    receiver
}

fn wait_until_ready(lines: &Receiver<String>) -> Result<SocketAddr> {
    let (mut seen, mut address) = (String::new(), None);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let Ok(line) = lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) else {
            bail!("the daemon did not become ready:\n{seen}");
        };
        seen.push_str(&line);
        seen.push('\n');
        let parsed: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        let fields = &parsed["fields"];
        if fields["message"] == "listening" {
            let told = fields["address"].as_str().and_then(|text| text.parse().ok());
            address = address.or(told);
        }
        if let (true, Some(address)) = (fields["message"] == "ready", address) {
            return Ok(address);
        }
    }
}
