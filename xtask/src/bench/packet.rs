//! `cargo xtask bench packet`: nanoseconds per packet of the XDP program.
//!
//! The kernel's test run repeats one frame; the time is the CPU time of our thread around it, as
//! the kernel's own figure is a truncated integer. Rounds are interleaved, so that whatever else
//! the machine does meets every row alike.

mod frames;
mod load;
pub(super) mod peers;
mod traffic;

use std::{net::IpAddr, time::Duration};

use anyhow::{Context as _, Result, bail};
use aya::{
    Ebpf,
    programs::{TestRun as _, TestRunOptions, Xdp},
};
use nix::time::{ClockId, clock_gettime};
use portcullis::enforcer::{
    AttachOptions, Capacities, Enforcer, Flow, Mode, Origin, Rate, RateLimits, Shuffle, Target,
};
use portcullis_tests::netns::Namespace;

use self::frames::{CLEAN_ADDRESS, US, octets, tagged, v4, v4_host, v6, v6_host};
use super::report::{Report, Rounds, Row};
use crate::paths;

const HOUR: Duration = Duration::from_secs(3600);

const PASS: &str = "floor/pass";
const DROP: &str = "floor/drop";
const RANDOM: &str = "floor/random";
const SERIAL: &str = "floor/serial";

/// What is at most accepted, as a ratio to the floor.
const CLEAN_V4: Option<f64> = Some(1.5);
const CLEAN_V6: Option<f64> = Some(1.6);
const BANNED_HOST: Option<f64> = Some(2.6);
const CLEAN_RANDOM: Option<f64> = Some(4.0);

/// Tables of more hosts take too much memory to keep several of them at once.
const MOST_RANDOM: u32 = 1_000_000;
const MOST_V6: u32 = 1_000_000;

/// How long and how often each row is measured.
struct Effort {
    rounds: usize,
    repeat: u32,
    bans: &'static [u32],
}

const FULL: Effort = Effort {
    rounds: 9,
    repeat: 4_000_000,
    bans: &[0, 1_000, 100_000, 1_000_000, 10_000_000],
};
const QUICK: Effort = Effort {
    rounds: 3,
    repeat: 1_000_000,
    bans: &[0, 1_000],
};

/// Something that can be run with a frame.
enum Program {
    Floor(Ebpf, &'static str),
    Ours(Box<Enforcer>),
    /// Of somebody else.
    Peer(Box<Xdp>),
}

/// One row in the making.
struct Case {
    name: String,
    program: usize,
    frame: Vec<u8>,
    dropped: bool,
    target: Option<f64>,
    rounds: Rounds,
}

#[derive(Default)]
struct Plan {
    programs: Vec<Program>,
    cases: Vec<Case>,
    writes: Vec<Row>,
    missing: Vec<Row>,
}

pub(super) fn measure(quick: bool) -> Result<Report> {
    let effort = if quick { QUICK } else { FULL };
    let mut plan = Plan::default();
    plan.floor("floor_pass", PASS, false)?;
    plan.floor("floor_drop", DROP, true)?;
    plan.floor("floor_random", RANDOM, false)?;
    plan.floor("floor_serial", SERIAL, false)?;
    for bans in effort.bans {
        plan.hosts(*bans)?;
    }
    plan.tags()?;
    plan.prefixes(1_000)?;
    plan.flows(1_000)?;
    plan.rates()?;
    plan.xdp_filter()?;
    plan.check()?;
    for round in 0..effort.rounds {
        eprintln!("round {} of {}", round + 1, effort.rounds);
        plan.round(effort.repeat)?;
    }
    let mut rows = plan.rows();
    rows.extend(load::rows(if quick { 100_000 } else { 1_000_000 }, effort.rounds)?);
    rows.extend(traffic::rows(effort.repeat / 2, effort.rounds)?);
    Ok(Report::new("packet", rows))
}

impl Plan {
    fn floor(&mut self, program: &'static str, name: &str, dropped: bool) -> Result<()> {
        let object = paths::objects().join("floor");
        let mut ebpf = Ebpf::load_file(&object).with_context(|| format!("failed to load {}", object.display()))?;
        xdp(&mut ebpf, program)?
            .load()
            .context("failed to load the floor program")?;
        self.programs.push(Program::Floor(ebpf, program));
        self.case(name, &v4(CLEAN_ADDRESS), dropped, None);
        Ok(())
    }

    /// Clean and banned packets with that many hosts banned, in either family.
    fn hosts(&mut self, bans: u32) -> Result<()> {
        let v4_hosts = (0..bans).map(|number| Target::Host(v4_host(number)));
        let write = self.ours(v4_hosts)?;
        self.case(&format!("clean/v4/warm/{bans}"), &v4(CLEAN_ADDRESS), false, CLEAN_V4);
        if bans > 0 {
            let banned = v4(octets(v4_host(bans / 2)));
            self.case(&format!("banned/v4/warm/{bans}"), &banned, true, BANNED_HOST);
            self.writes.push(Row::new(format!("write/v4/{bans}"), "ns", &write));
        }

        if bans <= MOST_RANDOM {
            for (shuffle, access, target) in [
                (Shuffle::Together, "random", CLEAN_RANDOM),
                (Shuffle::Alone, "serial", None),
            ] {
                let v4_hosts = (0..bans).map(|number| Target::Host(v4_host(number)));
                let options = AttachOptions {
                    shuffle,
                    ..AttachOptions::default()
                };
                self.loaded(v4_hosts, options)?;
                let clean = v4(CLEAN_ADDRESS);
                self.case(&format!("clean/v4/{access}/{bans}"), &clean, false, target);
            }
        }
        if bans > MOST_V6 {
            return Ok(());
        }
        let v6_hosts = (0..bans).map(|number| Target::Host(v6_host(number)));
        self.ours(v6_hosts)?;
        self.case(&format!("clean/v6/warm/{bans}"), &v6(u32::MAX), false, CLEAN_V6);
        if bans > 0 {
            let name = format!("banned/v6/warm/{bans}");
            self.case(&name, &v6(bans / 2), true, BANNED_HOST);
        }
        Ok(())
    }

    /// What VLAN tags cost.
    fn tags(&mut self) -> Result<()> {
        self.ours((0..1_000).map(|number| Target::Host(v4_host(number))))?;
        let clean = v4(CLEAN_ADDRESS);
        self.case("clean/v4-vlan/warm/1000", &tagged(&clean, 1), false, CLEAN_V4);
        self.case("clean/v4-qinq/warm/1000", &tagged(&clean, 2), false, CLEAN_V4);
        Ok(())
    }

    fn prefixes(&mut self, bans: u32) -> Result<()> {
        let networks = (0..bans).map(|number| {
            let network = format!("10.{}.{}.0/24", number >> 8, number & 0xff);
            network.parse().map(Target::Prefix).map_err(anyhow::Error::from)
        });
        let networks: Vec<Target> = networks.collect::<Result<_>>()?;
        self.ours(networks.into_iter())?;
        let name = format!("clean-among-prefixes/v4/warm/{bans}");
        self.case(&name, &v4(CLEAN_ADDRESS), false, None);
        self.case(&format!("banned-prefix/v4/warm/{bans}"), &v4([10, 0, 7, 7]), true, None);
        Ok(())
    }

    fn flows(&mut self, bans: u32) -> Result<()> {
        let flows = (0..bans).map(|number| {
            let remote = (IpAddr::from([10, 0, 0, 7]), 10_000 + number as u16).into();
            Target::Flow(Flow {
                remote,
                local: (IpAddr::from(US), 443).into(),
            })
        });
        self.ours(flows)?;
        let clean = v4(CLEAN_ADDRESS);
        self.case(&format!("clean-among-flows/v4/warm/{bans}"), &clean, false, None);
        self.case(&format!("banned-flow/v4/warm/{bans}"), &v4([10, 0, 0, 7]), true, None);
        Ok(())
    }

    /// What the rate limits cost a source that keeps them.
    fn rates(&mut self) -> Result<()> {
        let plenty = Rate {
            per_second: 1_000_000_000,
            burst: 1_000_000_000,
        };
        let limits = RateLimits {
            packets: Some(plenty),
            bytes: Some(Rate {
                per_second: 1 << 40,
                burst: 1 << 40,
            }),
            syns: Some(plenty),
            strikes: None,
        };
        let options = AttachOptions {
            rate_limits: Some(limits),
            ..AttachOptions::default()
        };
        self.loaded(std::iter::empty(), options)?;
        self.case("clean-rated/v4/warm/0", &v4(CLEAN_ADDRESS), false, None);
        Ok(())
    }

    /// Debian's xdp-filter, whose tables take ten thousand addresses.
    fn xdp_filter(&mut self) -> Result<()> {
        let bans = peers::XDP_FILTER_MOST;
        let [clean, banned] = ["clean", "banned"].map(|fate| format!("xdp-filter/{fate}/v4/warm/{bans}"));
        if let Some(program) = peers::missing(&["xdp-filter"]) {
            self.missing
                .extend([clean, banned].map(|name| Row::missing(name, "ns", program)));
            return Ok(());
        }
        let namespace = Namespace::new("peer");
        namespace.ip("link add near type veth peer name far");
        namespace.ip("link set near up");
        let program = peers::xdp_filter(&namespace, "near", bans)?;
        self.programs.push(Program::Peer(Box::new(program)));
        self.case(&clean, &v4(CLEAN_ADDRESS), false, None);
        self.case(&banned, &v4(octets(v4_host(bans / 2))), true, None);
        Ok(())
    }

    /// Loads our program with these bans; returns what writing one took.
    fn ours(&mut self, targets: impl ExactSizeIterator<Item = Target>) -> Result<Rounds> {
        self.loaded(targets, AttachOptions::default())
    }

    fn loaded(&mut self, targets: impl ExactSizeIterator<Item = Target>, options: AttachOptions) -> Result<Rounds> {
        let count = targets.len();
        let hosts = u32::try_from(count)?.max(1);
        let options = AttachOptions {
            mode: Mode::Enforce,
            capacities: Capacities {
                hosts,
                hosts_v6: if hosts > MOST_V6 { 0 } else { hosts },
                ..Capacities::default()
            },
            ..options
        };
        let enforcer = Enforcer::attach(&options)?;
        for network in NEVER_BAN {
            enforcer.allow(network.parse()?)?;
        }
        let start = thread_time()?;
        for target in targets {
            enforcer.ban(target, HOUR, Origin::List)?;
        }
        let mut write = Rounds::default();
        write.push(per_run(thread_time()? - start, count));
        self.programs.push(Program::Ours(Box::new(enforcer)));
        Ok(write)
    }

    /// A row of the program that was loaded last.
    fn case(&mut self, name: &str, frame: &[u8], dropped: bool, target: Option<f64>) {
        self.cases.push(Case {
            name: name.to_owned(),
            program: self.programs.len() - 1,
            frame: frame.to_vec(),
            dropped,
            target,
            rounds: Rounds::default(),
        });
    }

    /// A row whose frame has another fate than it should would measure something else.
    fn check(&mut self) -> Result<()> {
        for case in &self.cases {
            if self.programs[case.program].run(&case.frame, 1)? != case.dropped {
                bail!("the frame of {} has the wrong fate", case.name);
            }
        }
        Ok(())
    }

    fn round(&mut self, repeat: u32) -> Result<()> {
        for case in &mut self.cases {
            let program = &self.programs[case.program];
            // Warms up what the row before threw out of the caches.
            program.run(&case.frame, repeat / 20)?;
            let start = thread_time()?;
            program.run(&case.frame, repeat)?;
            case.rounds.push(per_run(thread_time()? - start, repeat as usize));
        }
        Ok(())
    }

    fn rows(self) -> Vec<Row> {
        let floor = |name: &str| {
            let case = self.cases.iter().find(|case| case.name == name);
            case.map(|case| case.rounds.clone()).unwrap_or_default()
        };
        let (pass, drop, serial) = (floor(PASS), floor(DROP), floor(SERIAL));
        let rows = self.cases.iter().map(|case| {
            let row = Row::new(&case.name, "ns", &case.rounds);
            if case.name.starts_with("floor/") {
                row
            } else if case.name.contains("/serial/") {
                row.versus(SERIAL, &serial, case.target)
            } else if case.dropped {
                row.versus(DROP, &drop, case.target)
            } else {
                row.versus(PASS, &pass, case.target)
            }
        });
        rows.chain(self.writes.iter().cloned())
            .chain(self.missing.iter().cloned())
            .collect()
    }
}

impl Program {
    /// Whether the frame was dropped.
    fn run(&self, frame: &[u8], repeat: u32) -> Result<bool> {
        match self {
            Self::Ours(enforcer) => Ok(enforcer.test_run(frame, repeat)?.dropped),
            Self::Floor(ebpf, name) => {
                let program = ebpf.program(name).context("no floor program")?;
                run(program.try_into()?, frame, repeat)
            }
            Self::Peer(xdp) => run(xdp, frame, repeat),
        }
    }
}

fn run(xdp: &Xdp, frame: &[u8], repeat: u32) -> Result<bool> {
    let options = TestRunOptions {
        data_in: Some(frame),
        repeat,
        ..TestRunOptions::default()
    };
    Ok(xdp.test_run(options)?.return_value == XDP_DROP)
}

const XDP_DROP: u32 = 1;

/// What a gate never drops: itself, its own addresses, its gateway, its administrators.
const NEVER_BAN: [&str; 6] = [
    "127.0.0.0/8",
    "::1/128",
    "fe80::/10",
    "192.0.2.1/32",
    "192.0.2.254/32",
    "172.16.9.0/24",
];

fn xdp<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp> {
    Ok(ebpf
        .program_mut(name)
        .context("no floor program in the object")?
        .try_into()?)
}

fn thread_time() -> Result<Duration> {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID);
    Ok(time.context("failed to read the thread's clock")?.into())
}

fn per_run(time: Duration, runs: usize) -> f64 {
    time.as_secs_f64() * 1e9 / runs.max(1) as f64
}
