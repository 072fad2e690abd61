//! The XDP program on real interfaces and with real traffic, in network namespaces. Needs root.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of tests may fail as a test may"
)]

use std::{
    io::{ErrorKind, Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    thread,
    time::{Duration, Instant},
};

use nix::{libc, net::if_::if_nametoindex};
use portcullis::enforcer::{AttachMode, AttachOptions, Enforcer, EnforcerError, Flow, Mode, Origin, Reason, Target};
use portcullis_tests::netns::{Namespace, veth};

const HOUR: Duration = Duration::from_secs(3600);
/// How long we wait for what should happen.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long we wait for what should not happen.
const SILENCE: Duration = Duration::from_millis(300);

const SERVER_V4: &str = "10.77.0.1";
const ATTACKER_V4: &str = "10.77.0.2";
const NEIGHBOUR_V4: &str = "10.77.0.3";
const SERVER_V6: &str = "fd77::1";
const ATTACKER_V6: &str = "fd77::2";
const NEIGHBOUR_V6: &str = "fd77::3";

/// A server and its clients, connected.
struct Net {
    server: Namespace,
    clients: Namespace,
}

impl Net {
    fn new() -> Self {
        let (server, clients) = (Namespace::new("server"), Namespace::new("clients"));
        veth((&server, "gate"), (&clients, "out"));
        for address in [SERVER_V4, SERVER_V6] {
            server.address("gate", &format!("{address}{}", length(address)));
        }
        for address in [ATTACKER_V4, NEIGHBOUR_V4, ATTACKER_V6, NEIGHBOUR_V6] {
            clients.address("out", &format!("{address}{}", length(address)));
        }
        Self { server, clients }
    }

    fn attach(&self, mode: AttachMode) -> Enforcer {
        self.try_attach(mode, &["gate"])
            .unwrap_or_else(|error| panic!("failed to attach: {error}"))
    }

    fn try_attach(&self, attach_mode: AttachMode, on: &[&str]) -> Result<Enforcer, EnforcerError> {
        let options = AttachOptions {
            interfaces: on.iter().map(ToString::to_string).collect(),
            attach_mode,
            mode: Mode::Enforce,
            event_interval: Duration::ZERO,
            ..AttachOptions::default()
        };
        self.server.run(|| Enforcer::attach(&options))
    }

    /// A server that sends back what it gets, on an address of the server's.
    fn echo(&self, address: &str) -> SocketAddr {
        let address: IpAddr = address.parse().unwrap();
        let listener = self.server.run(|| TcpListener::bind((address, 0))).unwrap();
        let at = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || echo_until_closed(stream));
            }
        });
        at
    }

    fn connect(&self, from: &str, to: SocketAddr) -> std::io::Result<TcpStream> {
        self.clients.connect(from.parse().unwrap(), to)
    }
}

fn length(address: &str) -> &'static str {
    if address.contains(':') { "/64" } else { "/24" }
}

fn echo_until_closed(mut stream: TcpStream) {
    let mut buffer = [0; 512];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..length]).is_err() {
            return;
        }
    }
}

/// Whether what is sent comes back within `patience`.
fn answers(mut stream: &TcpStream, patience: Duration) -> bool {
    stream.set_read_timeout(Some(patience)).unwrap();
    stream.write_all(b"ping").unwrap();
    let mut buffer = [0; 4];
    match stream.read_exact(&mut buffer) {
        Ok(()) => true,
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => false,
        Err(error) => panic!("{error}"),
    }
}

fn host(address: &str) -> Target {
    Target::Host(address.parse().unwrap())
}

fn ban(enforcer: &Enforcer, target: Target) {
    enforcer.ban(target, HOUR, Origin::Operator).unwrap();
}

fn dropped(enforcer: &Enforcer, reason: Reason) -> u64 {
    enforcer.counters().unwrap().get(reason).packets
}

fn a_banned_host_dies_and_its_neighbour_lives(mode: AttachMode) {
    let net = Net::new();
    let enforcer = net.attach(mode);
    assert_eq!(enforcer.interfaces().len(), 1);
    assert_eq!(enforcer.interfaces()[0].attach_mode, mode);
    for (server, attacker, neighbour) in [
        (SERVER_V4, ATTACKER_V4, NEIGHBOUR_V4),
        (SERVER_V6, ATTACKER_V6, NEIGHBOUR_V6),
    ] {
        let echo = net.echo(server);
        assert!(net.clients.pings(attacker, server), "{attacker} before the ban");
        let stream = net.connect(attacker, echo).unwrap();
        assert!(answers(&stream, PATIENCE));

        ban(&enforcer, host(attacker));
        let before = dropped(&enforcer, Reason::BannedHost);
        assert!(!net.clients.pings(attacker, server), "{attacker} after the ban");
        assert!(!answers(&stream, SILENCE));
        assert!(net.connect(attacker, echo).is_err());
        assert!(dropped(&enforcer, Reason::BannedHost) >= before + 3);

        assert!(net.clients.pings(neighbour, server), "{neighbour}");
        assert!(answers(&net.connect(neighbour, echo).unwrap(), PATIENCE));

        assert!(enforcer.unban(host(attacker)).unwrap());
        assert!(net.clients.pings(attacker, server), "{attacker} after the unban");
        assert!(answers(&net.connect(attacker, echo).unwrap(), PATIENCE));
    }
}

#[test]
fn a_banned_host_dies_and_its_neighbour_lives_natively() {
    a_banned_host_dies_and_its_neighbour_lives(AttachMode::Native);
}

#[test]
fn a_banned_host_dies_and_its_neighbour_lives_in_the_stack() {
    a_banned_host_dies_and_its_neighbour_lives(AttachMode::Generic);
}

#[test]
fn a_flow_ban_kills_one_connection_of_an_address_and_not_the_other() {
    let net = Net::new();
    let enforcer = net.attach(AttachMode::Auto);
    for (server, client) in [(SERVER_V4, ATTACKER_V4), (SERVER_V6, ATTACKER_V6)] {
        let echo = net.echo(server);
        let doomed = net.connect(client, echo).unwrap();
        let other = net.connect(client, echo).unwrap();
        assert!(answers(&doomed, PATIENCE));
        assert!(answers(&other, PATIENCE));

        let flow = Flow {
            remote: doomed.local_addr().unwrap(),
            local: echo,
        };
        ban(&enforcer, Target::Flow(flow));
        assert!(!answers(&doomed, SILENCE));
        assert!(answers(&other, PATIENCE));
        assert!(answers(&net.connect(client, echo).unwrap(), PATIENCE));
        assert!(net.clients.pings(client, server));
        assert!(dropped(&enforcer, Reason::BannedFlow) >= 1);
    }
}

#[test]
fn the_kernel_alone_ends_a_ban() {
    let net = Net::new();
    let enforcer = net.attach(AttachMode::Auto);
    let echo = net.echo(SERVER_V4);
    let stream = net.connect(ATTACKER_V4, echo).unwrap();
    let ttl = Duration::from_millis(800);
    let start = Instant::now();
    enforcer.ban(host(ATTACKER_V4), ttl, Origin::Score).unwrap();
    // The client's kernel sends the same bytes again and again until they get through.
    assert!(!answers(&stream, ttl / 2));
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut buffer = [0; 4];
    (&stream).read_exact(&mut buffer).unwrap();
    assert!(start.elapsed() >= ttl, "{:?}", start.elapsed());
    assert_eq!(enforcer.lookup(host(ATTACKER_V4)).unwrap(), None);
    assert_eq!(enforcer.sweep_expired().unwrap(), 1);
}

#[test]
fn one_ban_holds_on_every_interface() {
    let net = Net::new();
    veth((&net.server, "gate2"), (&net.clients, "out2"));
    net.server.address("gate2", "10.78.0.1/24");
    net.clients.address("out2", "10.78.0.2/24");
    let enforcer = net.try_attach(AttachMode::Auto, &["gate", "gate2", "gate"]).unwrap();
    let interfaces = enforcer.interfaces();
    let names: Vec<_> = interfaces.iter().map(|status| status.name.as_str()).collect();
    assert_eq!(names, ["gate", "gate2"]);
    assert!(net.clients.pings("10.78.0.2", "10.78.0.1"));
    ban(&enforcer, host(ATTACKER_V4));
    ban(&enforcer, host("10.78.0.2"));
    assert!(!net.clients.pings(ATTACKER_V4, SERVER_V4));
    assert!(!net.clients.pings("10.78.0.2", "10.78.0.1"));
    assert!(net.clients.pings(NEIGHBOUR_V4, SERVER_V4));
}

#[test]
fn loopback_has_generic_mode_only_and_auto_finds_it() {
    let net = Net::new();
    let native = net.try_attach(AttachMode::Native, &["lo"]);
    assert!(matches!(native, Err(EnforcerError::NativeUnsupported { .. })));
    let enforcer = net.try_attach(AttachMode::Auto, &["lo", "gate"]).unwrap();
    let modes: Vec<_> = enforcer.interfaces().iter().map(|status| status.attach_mode).collect();
    assert_eq!(modes, [AttachMode::Generic, AttachMode::Native]);
    let fallbacks: Vec<_> = enforcer.interfaces().iter().map(|status| status.fallback).collect();
    assert_eq!(fallbacks, [true, false]);
}

#[test]
fn jumbo_frames_need_no_generic_mode() {
    let net = Net::new();
    net.server.ip("link set gate mtu 9000");
    net.clients.ip("link set out mtu 9000");
    let enforcer = net.attach(AttachMode::Native);
    let echo = net.echo(SERVER_V4);
    assert!(answers(&net.connect(NEIGHBOUR_V4, echo).unwrap(), PATIENCE));
    ban(&enforcer, host(ATTACKER_V4));
    assert!(net.connect(ATTACKER_V4, echo).is_err());
}

#[test]
fn another_program_on_the_interface_is_named_and_left_alone() {
    let net = Net::new();
    let first = net.attach(AttachMode::Auto);
    ban(&first, host(ATTACKER_V4));
    let refused = net.try_attach(AttachMode::Auto, &["lo", "gate"]).err().unwrap();
    let text = refused.to_string();
    assert!(matches!(refused, EnforcerError::OtherProgram { .. }), "{text}");
    assert!(text.contains("gate") && text.contains("`portcullis`"), "{text}");
    assert!(!net.clients.pings(ATTACKER_V4, SERVER_V4));
    // What was attached before the refusal is gone again, and a dropped enforcer leaves nothing.
    drop(first);
    assert!(net.clients.pings(ATTACKER_V4, SERVER_V4));
    assert!(net.try_attach(AttachMode::Auto, &["lo", "gate"]).is_ok());
}

/// What bpf(2) takes to load a program, and to attach it.
#[repr(C)]
struct Load {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log: [u32; 4],
    version: u32,
    flags: u32,
    name: [u8; 16],
}

#[repr(C)]
struct Attach {
    program: u32,
    interface: u32,
    kind: u32,
    flags: u32,
}

fn bpf<A>(command: libc::c_long, attributes: &A) -> OwnedFd {
    // SAFETY: the attributes are those of the command, and live through the call with all that they point to.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<A>()) };
    assert!(result >= 0, "{}", std::io::Error::last_os_error());
    // SAFETY: the kernel has just opened it for us.
    unsafe { OwnedFd::from_raw_fd(result as i32) }
}

/// Attaches a program that passes everything, under the name of libxdp's.
fn stand_in_for_libxdp(interface: &str) -> OwnedFd {
    let pass: [u64; 2] = [u64::from_le_bytes([0xb7, 0, 0, 0, 2, 0, 0, 0]), 0x95];
    let program = bpf(
        5,
        &Load {
            kind: 6,
            instruction_count: 2,
            instructions: pass.as_ptr().expose_provenance() as u64,
            license: c"GPL".as_ptr().expose_provenance() as u64,
            log: [0; 4],
            version: 0,
            flags: 0,
            name: *b"xdp_dispatcher\0\0",
        },
    );
    bpf(
        28,
        &Attach {
            program: program.as_raw_fd() as u32,
            interface: if_nametoindex(interface).unwrap(),
            kind: 37,
            flags: 0,
        },
    )
}

#[test]
fn an_interface_that_libxdp_shares_is_refused_with_the_command_that_frees_it() {
    let net = Net::new();
    let dispatcher = net.server.run(|| stand_in_for_libxdp("gate"));
    let refused = net.try_attach(AttachMode::Auto, &["gate"]).err().unwrap();
    let text = refused.to_string();
    assert!(matches!(refused, EnforcerError::Dispatcher { .. }), "{text}");
    assert!(
        text.contains("`xdp_dispatcher`") && text.contains("xdp-loader unload gate --all"),
        "{text}"
    );
    drop(dispatcher);
    assert!(net.try_attach(AttachMode::Auto, &["gate"]).is_ok());
}

#[test]
fn an_unknown_interface_is_refused_with_the_known_ones() {
    let net = Net::new();
    let refused = net.try_attach(AttachMode::Auto, &["gate", "nosuch0"]).err().unwrap();
    let text = refused.to_string();
    assert!(text.contains("`nosuch0`") && text.contains("gate"), "{text}");
    assert!(net.try_attach(AttachMode::Auto, &["gate"]).is_ok());
}

#[test]
fn events_name_the_interface() {
    let net = Net::new();
    let enforcer = net.attach(AttachMode::Auto);
    let mut events = enforcer.take_events().unwrap();
    ban(&enforcer, host(ATTACKER_V4));
    assert!(!net.clients.pings(ATTACKER_V4, SERVER_V4));
    let event = events.next_report().unwrap();
    assert_eq!(event.source, ATTACKER_V4.parse::<IpAddr>().unwrap());
    assert_eq!(event.interface, enforcer.interfaces()[0].index);
}
