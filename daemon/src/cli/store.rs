//! `portcullis store`: the file that outlives the daemon. While the daemon runs, it looks after its file itself.

use std::io::{self, BufWriter, Write};

use ipnet::IpNet;
use portcullis_guard::blacklist::{Allowed, KeptClaim};
use portcullis_guard::session::KeptSession;
use portcullis_guard::time::WallMillis;

use super::answer::Answer;
use super::args::{ConfigArgs, StoreVerb};
use super::bulk::Line;
use super::check;
use super::failure::Failure;
use crate::control::api::StoreReport;
use crate::control::client::Client;
use crate::store::{FILE, Restore, Store, StoreError};

pub(super) fn run(verb: &StoreVerb, client: &Client) -> Result<Answer, Failure> {
    match verb {
        StoreVerb::Check(args) => told(&match open(args)? {
            Some(store) => StoreReport::from(store.check()?),
            None => client.store(false)?,
        }),
        StoreVerb::Compact(args) => told(&match open(args)? {
            Some(store) => {
                store.compact()?;
                StoreReport::from(store.check()?)
            }
            None => client.store(true)?,
        }),
        StoreVerb::Export(args) => match open(args)? {
            Some(store) => export(&store),
            None => Err(
                Failure::failed("store-in-use", "portcullis runs, and has the store open")
                    .hint("`portcullis ban export` asks it"),
            ),
        },
    }
}

/// `None` if the daemon has it.
fn open(args: &ConfigArgs) -> Result<Option<Store>, Failure> {
    let directory = check::load(&args.config)?.state.directory;
    if !directory.join(FILE).exists() {
        let message = format!("there is no {}", directory.join(FILE).display());
        return Err(Failure::failed("store-missing", message).hint("the first start makes it"));
    }
    match Store::open(&directory) {
        Ok(store) => Ok(Some(store)),
        Err(StoreError::InUse(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn told(report: &StoreReport) -> Result<Answer, Failure> {
    Ok(Answer::of(report)?
        .field("bans", &report.bans)
        .field("never-ban", &report.allowed)
        .field("sessions", &report.sessions)
        .field("audit", &report.deeds)
        .field("bytes", &report.bytes)
        .say("the store is whole"))
}

fn export(store: &Store) -> Result<Answer, Failure> {
    let mut export = Export {
        out: BufWriter::new(io::stdout().lock()),
        outcome: Ok(()),
    };
    store.load_bans(&mut export)?;
    let flushed = export.outcome.and_then(|()| export.out.flush());
    match flushed {
        // Whoever reads has seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::failed(
            "output",
            format!("failed to write the export: {error}"),
        )),
        Ok(()) | Err(_) => Ok(Answer::nothing()),
    }
}

struct Export<W> {
    out: W,
    outcome: io::Result<()>,
}

impl<W: Write> Restore for Export<W> {
    fn bans(&mut self, claims: Vec<(IpNet, KeptClaim)>) {
        for (network, claim) in claims {
            let moment = |seconds: u32| WallMillis(u64::from(seconds) * 1000).into();
            let reference = claim.reference.map(|reference| reference.to_string());
            let line = Line {
                network: network.to_string(),
                reason: &claim.reason,
                origin: claim.origin.as_str(),
                list: claim.source.as_deref(),
                reference: reference.as_deref(),
                since: moment(claim.since),
                until: moment(claim.until),
            };
            if self.outcome.is_ok() {
                let written = serde_json::to_string(&line).map_err(io::Error::from);
                self.outcome = written.and_then(|line| writeln!(self.out, "{line}"));
            }
        }
    }

    fn allowed(&mut self, _: Allowed) {}

    fn session(&mut self, _: &KeptSession) {}

    fn strikes(&mut self, _: IpNet, _: f32, _: WallMillis) {}
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let text = error.to_string();
        let mut lines = text.lines();
        let failure = Self::failed("store-unusable", lines.next().unwrap_or_default());
        let hints = lines.filter_map(|line| line.strip_prefix("hint: "));
        hints.fold(failure, Failure::hint)
    }
}
