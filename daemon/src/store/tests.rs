//! The store on disks that fail: at every write, with whatever part of what was not synced.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portcullis_guard::blacklist::{BanOrder, Origin, Restorer};
use portcullis_guard::guard::Secrets;
use portcullis_guard::policy::Policy;
use portcullis_guard::session::token::{MasterKey, MasterKeys};
use portcullis_guard::time::MonoMillis;
use redb::StorageBackend;
use zeroize::Zeroizing;

use super::*;

const NOW: Now = Now {
    wall: WallMillis(1_800_000_000_000),
    mono: MonoMillis(0),
};

fn guard() -> Guard {
    let secrets = Secrets {
        master: MasterKeys::new(MasterKey::new(1, &Zeroizing::new([7; 32])), Vec::new()),
        run: Zeroizing::new([9; 32]),
    };
    Guard::new(Policy::default(), secrets, 10_000)
}

fn net(number: u8) -> IpNet {
    format!("192.0.2.{number}/32").parse().unwrap()
}

fn ban(guard: &Guard, network: IpNet, seconds: u64) -> Vec<Item> {
    let order = BanOrder {
        network,
        ttl: Duration::from_secs(seconds),
        reason: "test".into(),
        origin: Origin::Operator,
        source: None,
        by: Some("anna".into()),
        reference: None,
        force: false,
    };
    guard.ban(order, NOW).unwrap();
    vec![Item::Ban(network)]
}

pub(super) fn deed(action: &str) -> Deed {
    Deed {
        at: NOW.wall,
        uid: 0,
        pid: Some(1),
        who: "root".into(),
        action: action.into(),
        object: "it".into(),
        reason: String::new(),
    }
}

fn change(items: Vec<Item>) -> Batch {
    let mut queue = Queue::default();
    queue.submit(Change {
        items,
        deed: deed("ban"),
        undo: Undo::Kept,
    });
    queue.take().unwrap()
}

/// What came back.
#[derive(Default)]
struct Back {
    bans: BTreeMap<IpNet, Vec<KeptClaim>>,
    allowed: Vec<Allowed>,
}

impl Restore for Back {
    fn bans(&mut self, claims: Vec<(IpNet, KeptClaim)>) {
        for (network, claim) in claims {
            self.bans.entry(network).or_default().push(claim);
        }
    }

    fn allowed(&mut self, entry: Allowed) {
        self.allowed.push(entry);
    }

    fn session(&mut self, _: &KeptSession) {}

    fn strikes(&mut self, _: IpNet, _: f32, _: WallMillis) {}
}

fn back(database: &Database) -> Result<Back, StoreError> {
    let mut back = Back::default();
    database.load_exceptions(&mut back)?;
    database.load_bans(&mut back)?;
    Ok(back)
}

/// A disk that holds what was synced, and loses any part of the rest when it fails.
#[derive(Clone, Debug, Default)]
struct Disk(Arc<Mutex<Platter>>);

#[derive(Clone, Debug, Default)]
struct Platter {
    synced: Vec<u8>,
    seen: Vec<u8>,
    since: Vec<Op>,
    steps: u64,
    fails_at: Option<u64>,
}

#[derive(Clone, Debug)]
enum Op {
    Length(u64),
    Write(u64, Vec<u8>),
}

impl Op {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Length(length) => bytes.resize(usize::try_from(*length).unwrap(), 0),
            Self::Write(offset, data) => {
                let start = usize::try_from(*offset).unwrap();
                if bytes.len() < start + data.len() {
                    bytes.resize(start + data.len(), 0);
                }
                bytes[start..start + data.len()].copy_from_slice(data);
            }
        }
    }
}

impl Disk {
    fn step(&self, act: impl FnOnce(&mut Platter)) -> io::Result<()> {
        let mut platter = self.0.lock().unwrap();
        if platter.fails_at.is_some_and(|at| platter.steps >= at) {
            return Err(io::Error::other("the power is gone"));
        }
        platter.steps += 1;
        act(&mut platter);
        Ok(())
    }

    fn failing_at(self, at: u64) -> Self {
        self.0.lock().unwrap().fails_at = Some(at);
        self
    }

    /// The disk after the power came back: of what was not synced, those writes arrived that `arrived` says.
    fn after_power_cut(&self, mut arrived: impl FnMut() -> bool) -> Self {
        let platter = self.0.lock().unwrap();
        let mut bytes = platter.synced.clone();
        platter
            .since
            .iter()
            .filter(|_| arrived())
            .for_each(|op| op.apply(&mut bytes));
        Self(Arc::new(Mutex::new(Platter {
            synced: bytes.clone(),
            seen: bytes,
            ..Platter::default()
        })))
    }

    fn open(&self) -> Result<Database, StoreError> {
        let disk = self.clone();
        let open = move || {
            let mut builder = redb::Builder::new();
            builder.set_check_integrity_on_open(true);
            builder
                .create_with_backend(disk.clone())
                .map_err(|error| StoreError::of("disk".into(), error))
        };
        Database::by("disk".into(), Box::new(open))
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let platter = self.0.lock().unwrap();
        let start = usize::try_from(offset).unwrap();
        let bytes = platter.seen.get(start..start + out.len());
        out.copy_from_slice(bytes.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.step(|platter| {
            Op::Length(length).apply(&mut platter.seen);
            platter.since.push(Op::Length(length));
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.step(|platter| {
            platter.synced = platter.seen.clone();
            platter.since.clear();
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.step(|platter| {
            let op = Op::Write(offset, data.to_vec());
            op.apply(&mut platter.seen);
            platter.since.push(op);
        })
    }
}

/// A network, and until when it should be banned.
type Asked = (IpNet, Option<u32>);

/// Bans, changes and lifts, one transaction each. Returns what was acknowledged, and what was asked for last.
fn live(disk: &Disk) -> (BTreeMap<IpNet, u32>, Option<Asked>) {
    let mut acknowledged = BTreeMap::new();
    let Ok(database) = disk.open() else {
        return (acknowledged, None);
    };
    let guard = guard();
    for step in 0..12_u8 {
        let network = net(step % 5);
        let lifts = step % 4 == 3;
        let (items, until) = if lifts {
            guard.unban(network);
            (vec![Item::Ban(network)], None)
        } else {
            let seconds = 100 + u64::from(step);
            let until = u32::try_from(NOW.wall.seconds() + seconds).unwrap();
            (ban(&guard, network, seconds), Some(until))
        };
        if database.write(&change(items), &guard, NOW, &|| false).is_err() {
            return (acknowledged, Some((network, until)));
        }
        match until {
            Some(until) => acknowledged.insert(network, until),
            None => acknowledged.remove(&network),
        };
    }
    (acknowledged, None)
}

/// Every write of twelve transactions is the one at which the power goes; of the writes since the last sync, none,
/// all or some arrived.
#[test]
fn nothing_acknowledged_is_lost_wherever_the_power_goes() {
    let whole = Disk::default();
    live(&whole);
    let steps = whole.0.lock().unwrap().steps;
    assert!(steps > 50, "{steps} writes and syncs");
    let mut dice = 0x2545_f491_4f6c_dd1d_u64;
    let mut lost = 0;
    for at in 0..steps {
        let disk = Disk::default().failing_at(at);
        let (acknowledged, asked) = live(&disk);
        for luck in 0..6_u8 {
            let arrived = || match luck {
                0 => false,
                1 => true,
                2.. => {
                    dice ^= dice << 13;
                    dice ^= dice >> 7;
                    dice ^= dice << 17;
                    dice & 1 == 0
                }
            };
            let database = disk.after_power_cut(arrived).open();
            let database = match database {
                Ok(database) => database,
                // A file that was never whole holds nothing that was acknowledged.
                Err(error) if acknowledged.is_empty() => {
                    assert!(
                        matches!(error, StoreError::Damaged { .. } | StoreError::Unusable { .. }),
                        "{error}"
                    );
                    lost += 1;
                    continue;
                }
                Err(error) => panic!("step {at}: {error}"),
            };
            let held: BTreeMap<IpNet, u32> = back(&database)
                .unwrap()
                .bans
                .iter()
                .map(|(network, claims)| (*network, claims[0].until))
                .collect();
            let mut with_last = acknowledged.clone();
            match asked {
                Some((network, Some(until))) => drop(with_last.insert(network, until)),
                Some((network, None)) => drop(with_last.remove(&network)),
                None => {}
            }
            assert!(
                held == acknowledged || held == with_last,
                "step {at}: {held:?}, not {acknowledged:?}"
            );
        }
    }
    assert!(lost < 60, "{lost} starts without a file");
}

#[test]
fn a_failed_write_is_tried_again_and_the_operator_is_told() {
    let disk = Disk::default();
    let store = Store::with(disk.open().unwrap());
    let guard = guard();
    let steps = disk.0.lock().unwrap().steps;
    disk.clone().failing_at(steps + 2);
    std::thread::scope(|scope| {
        scope.spawn(|| store.write(&guard));
        let submit = |items| {
            store.submit(Change {
                items,
                deed: deed("ban"),
                undo: Undo::Never,
            })
        };
        let error = submit(ban(&guard, net(1), 60)).unwrap_err();
        assert!(error.contains("the power is gone"), "{error}");
        assert!(store.health().failure.is_some());
        disk.0.lock().unwrap().fails_at = None;
        submit(ban(&guard, net(2), 60)).unwrap();
        assert_eq!(store.health().failure, None);
        store.close();
    });
    let held = back(&disk.after_power_cut(|| false).open().unwrap()).unwrap();
    assert_eq!(held.bans.keys().copied().collect::<Vec<_>>(), [net(1), net(2)]);
}

#[test]
fn whoever_does_not_wait_is_written_too_and_the_last_ones_at_the_end() {
    let disk = Disk::default();
    let store = Store::with(disk.open().unwrap());
    let guard = guard();
    store.note(ban(&guard, net(1), 60));
    store.note(ban(&guard, net(1), 90));
    store.close();
    store.write(&guard);
    assert_eq!(store.health().commits, 1);
    let held = back(&disk.after_power_cut(|| false).open().unwrap()).unwrap();
    assert_eq!(held.bans[&net(1)].len(), 1);
}

#[test]
fn how_it_was_before_is_kept_for_the_last_change_only() {
    let disk = Disk::default();
    let database = disk.open().unwrap();
    let guard = guard();
    database
        .write(&change(ban(&guard, net(1), 60)), &guard, NOW, &|| false)
        .unwrap();
    let first = database.last_change().unwrap().unwrap();
    assert_eq!(first.before, Some(vec![Before::Ban(net(1), Vec::new())]));
    let claims = guard.claims_of(&[net(1)]).remove(0);
    let mut both = ban(&guard, net(1), 90);
    let office = Allowed {
        fixed: false,
        ..Allowed::fixed("198.51.100.0/24".parse().unwrap(), "office")
    };
    let _ = guard.allow(office.clone(), NOW).unwrap();
    both.push(Item::Allow(office.network));
    database.write(&change(both), &guard, NOW, &|| false).unwrap();
    let second = database.last_change().unwrap().unwrap().before;
    let allow = Before::Allow(office.network, None);
    assert_eq!(second, Some(vec![allow, Before::Ban(net(1), claims)]));
    assert_eq!(back(&database).unwrap().allowed, [office]);
    assert_eq!(database.deeds(10).unwrap().len(), 2);
}

#[test]
fn what_is_over_is_swept_out() {
    let database = Disk::default().open().unwrap();
    let guard = guard();
    database
        .write(&change(ban(&guard, net(1), 60)), &guard, NOW, &|| false)
        .unwrap();
    database
        .write(&change(ban(&guard, net(2), 600)), &guard, NOW, &|| false)
        .unwrap();
    let later = Now {
        wall: NOW.wall.after(Duration::from_secs(61)),
        mono: NOW.mono.after(Duration::from_secs(61)),
    };
    let over = database.over(later).unwrap();
    assert_eq!(over, [Item::Ban(net(1))]);
    guard.expire_bans(later);
    let mut queue = Queue::default();
    queue.note(over);
    database
        .write(&queue.take().unwrap(), &guard, later, &|| false)
        .unwrap();
    assert_eq!(back(&database).unwrap().bans.len(), 1);
}

#[test]
fn a_restart_gives_back_what_was_kept() {
    let database = Disk::default().open().unwrap();
    let before = guard();
    database
        .write(&change(ban(&before, net(1), 60)), &before, NOW, &|| false)
        .unwrap();
    let after = guard();
    let mut restorer = Restorer::default();
    for (network, claims) in back(&database).unwrap().bans {
        let claims: Vec<_> = claims.into_iter().map(|claim| (network, claim)).collect();
        assert_eq!(after.restore_bans(&claims, &mut restorer, NOW).len(), 1);
    }
    assert_eq!(after.bans(NOW), before.bans(NOW));
}

#[test]
fn a_file_is_private_and_has_one_user() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::open(home.path()).unwrap();
    let mode = fs::metadata(home.path().join(FILE)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    assert!(matches!(Store::open(home.path()), Err(StoreError::InUse(_))));
    assert!(store.compact().is_ok() && store.check().unwrap().bytes > 0);
}

#[test]
fn damage_is_noticed_told_and_left_alone() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join(FILE);
    {
        let database = Database::open(home.path()).unwrap();
        let guard = guard();
        let items = (0..=255).flat_map(|number| ban(&guard, net(number), 600)).collect();
        database.write(&change(items), &guard, NOW, &|| false).unwrap();
    }
    let whole = fs::read(&path).unwrap();
    let row = whole.windows(4).position(|bytes| bytes == b"anna").unwrap();
    for (what, bytes) in [
        ("a bit", {
            let mut bytes = whole.clone();
            bytes[row] ^= 1;
            bytes
        }),
        ("a half", whole[..whole.len() / 2].to_vec()),
        ("text", b"not a store, but somebody's letter".repeat(200)),
    ] {
        fs::write(&path, &bytes).unwrap();
        let Err(error) = Store::open(home.path()) else {
            panic!("{what} was taken for a store")
        };
        let text = error.to_string();
        assert!(matches!(error, StoreError::Damaged { .. }), "{what}: {error:?}");
        assert!(text.contains("\nhint: ") && text.contains("backup"), "{text}");
        assert_eq!(fs::read(&path).unwrap(), bytes, "{what} was left alone");
    }
}
