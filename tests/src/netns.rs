//! Network namespaces with veth pairs, gone when dropped.
//!
//! Nothing here touches the namespace that the tests were started in.

#![expect(clippy::expect_used, reason = "a test without its network must fail, and say why")]

use std::{
    fs::File,
    io,
    net::{IpAddr, SocketAddr, TcpStream},
    process::{Command, Output},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use nix::sched::{CloneFlags, setns};
use socket2::{Domain, Socket, Type};

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// A network namespace of our own.
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes one, with its loopback up.
    ///
    /// # Panics
    ///
    /// Without the privilege to make one: a test that needs it must not pass without it.
    pub fn new(label: &str) -> Self {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("pc-{}-{number}-{label}", std::process::id());
        let added = ip(&["netns", "add", &name]);
        assert!(
            added.status.success(),
            "this test needs root and iproute2, to make network namespaces: {}",
            String::from_utf8_lossy(&added.stderr).trim()
        );
        let namespace = Self { name };
        namespace.ip("link set lo up");
        namespace
    }

    /// Its name, as `ip netns` knows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `ip` inside, with its arguments separated by spaces.
    pub fn ip(&self, arguments: &str) {
        let mut all = vec!["-n", &self.name];
        all.extend(arguments.split(' '));
        let output = ip(&all);
        assert!(
            output.status.success(),
            "ip {}: {}",
            all.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }

    /// Runs `work` on a thread that lives inside. Sockets opened there stay inside.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let path = format!("/run/netns/{}", self.name);
        let worker = move || {
            let namespace = File::open(&path).expect("the namespace exists");
            setns(namespace, CloneFlags::CLONE_NEWNET).expect("may enter the namespace");
            work()
        };
        thread::scope(|scope| match scope.spawn(worker).join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }

    /// Adds an address to an interface that is usable at once.
    pub fn address(&self, interface: &str, address: &str) {
        let nodad = if address.contains(':') { " nodad" } else { "" };
        self.ip(&format!("address add {address} dev {interface}{nodad}"));
    }

    /// Whether a ping from one address gets an answer within a second.
    pub fn pings(&self, from: &str, to: &str) -> bool {
        let arguments = ["-n", "-q", "-c", "1", "-W", "1", "-I", from, to];
        let output = self.run(|| Command::new("ping").args(arguments).output());
        output
            .expect("ping is missing: `cargo xtask setup --for test` installs it")
            .status
            .success()
    }

    /// Opens a TCP connection from an address of this namespace.
    pub fn connect(&self, from: IpAddr, to: SocketAddr) -> io::Result<TcpStream> {
        self.run(|| {
            let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
            socket.bind(&SocketAddr::new(from, 0).into())?;
            socket.connect_timeout(&to.into(), PATIENCE)?;
            Ok(socket.into())
        })
    }
}

/// How long an answer may take that should come, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(1);

impl Drop for Namespace {
    fn drop(&mut self) {
        // Its veth devices go with it.
        let _ = ip(&["netns", "delete", &self.name]);
    }
}

/// Connects two namespaces by a veth pair; each gets the interface of that name.
pub fn veth(a: (&Namespace, &str), b: (&Namespace, &str)) {
    let pair = format!("link add {} type veth peer name {} netns {}", a.1, b.1, b.0.name());
    a.0.ip(&pair);
    a.0.ip(&format!("link set {} up", a.1));
    b.0.ip(&format!("link set {} up", b.1));
}

fn ip(arguments: &[&str]) -> Output {
    Command::new("ip")
        .args(arguments)
        .output()
        .expect("ip is missing: `cargo xtask setup --for test` installs it")
}
