//! The memory over restarts, whole and damaged.

use http::{HeaderMap, Method};
use portcullis_guard::guard::{Admission, Passage, Secrets};
use portcullis_guard::path::{NormalPath, PathPattern};
use portcullis_guard::policy::{Mode, Policy};
use portcullis_guard::refusal::Refusal;
use portcullis_guard::request::{ClientAddress, ConnectionId, Reference, Request};
use portcullis_guard::session::agreement::{Agreed, AgreementRequest, SessionEntropy};
use portcullis_guard::session::token::{MasterKey, SigningKey};
use portcullis_guard::signature::base::Message;
use portcullis_guard::signature::sign::{Signer, sign};
use redb::{ReadableDatabase, ReadableTable, ReadableTableMetadata};

use super::*;

const ROOM: u64 = 1 << 20;

fn keys(number: u8) -> MasterKeys {
    MasterKeys::new(MasterKey::of_secret(&Zeroizing::new([number; 32])), vec![])
}

/// A daemon with its memory.
struct Run {
    sessions: SessionStore,
    guard: Guard,
}

impl Run {
    fn start(directory: &Path, keys: MasterKeys) -> Self {
        let policy = Policy {
            mode: Mode::Enforce,
            protected: vec![PathPattern::parse("/api/**").unwrap()],
            ..Policy::default()
        };
        let sessions = SessionStore::open(directory, &keys, clock::now()).unwrap();
        let secrets = Secrets {
            master: keys,
            run: random::secret().unwrap(),
        };
        let guard = Guard::new(policy, secrets, 10).with_memory_secret(sessions.secret());
        sessions.load(&guard, clock::now());
        Self { sessions, guard }
    }

    fn save(&self) {
        self.sessions.save(&self.guard, ROOM, false, clock::now());
        assert_eq!(self.sessions.health().failure, None);
    }

    fn restored(&self) -> (u64, LeftOut) {
        let health = self.sessions.health();
        (health.restored, health.left_out)
    }
}

/// Starts a run, lets it save, and ends it.
fn run<T>(directory: &Path, act: impl FnOnce(&Run) -> T) -> T {
    let run = Run::start(directory, keys(1));
    let outcome = act(&run);
    run.save();
    outcome
}

struct Client {
    session_id: String,
    key: SigningKey,
    counter: u64,
}

impl Client {
    fn open(guard: &Guard, name: u8) -> Self {
        let entropy = SessionEntropy {
            id: [name; 12],
            secret: Zeroizing::new([name; 32]),
            salt: [0; 32],
        };
        let client = ClientAddress::new([10, 0, 0, name].into());
        let opened = guard.open_session(&AgreementRequest::ServerKey, &entropy, client, clock::now());
        let opened = opened.unwrap();
        let Agreed::ServerKey(key) = opened.agreed else {
            panic!("asked for a server key")
        };
        Self {
            session_id: opened.session_id,
            key,
            counter: 0,
        }
    }

    /// Why a call is refused.
    fn call(&mut self, guard: &Guard) -> Option<Refusal> {
        let now = clock::now();
        self.counter += 1;
        let message = Message {
            method: &Method::GET,
            authority: "shop.example",
            path: "/api/a",
            query: None,
            headers: &HeaderMap::new(),
        };
        let signer = Signer {
            session_id: &self.session_id,
            key: &self.key,
            created: now.wall.seconds(),
            nonce: &format!("a-stream.{}", self.counter),
        };
        let headers = sign(&signer, message, b"").unwrap();
        let path = NormalPath::parse("/api/a").unwrap();
        let request = Request {
            method: &Method::GET,
            operation: &Method::GET,
            authority: "shop.example",
            raw_path: "/api/a",
            query: None,
            ticket: None,
            path: &path,
            headers: &headers,
            has_body: false,
            client: ClientAddress::new([10, 0, 0, 1].into()),
            fingerprint: None,
            trusted: false,
            connection: ConnectionId(1),
            reference: Reference(1),
        };
        let bound = match guard.judge_head(&request, now).outcome {
            Ok(Admission::Bound(bound)) => bound,
            Ok(Admission::Forward(_)) => panic!("it is protected"),
            Err(refused) => return Some(refused.refusal),
        };
        match guard.admit(bound, &request, None, now).outcome {
            Ok(Passage::Forward(_)) => None,
            Ok(Passage::Hold(_)) => panic!("there are no rules"),
            Err(refused) => Some(refused.refusal),
        }
    }
}

/// Sessions of these names, each used once.
fn used(guard: &Guard, names: std::ops::RangeInclusive<u8>) -> Vec<Client> {
    let mut clients: Vec<Client> = names.map(|name| Client::open(guard, name)).collect();
    for client in &mut clients {
        assert_eq!(client.call(guard), None);
    }
    clients
}

fn rows(
    directory: &Path,
    table: redb::TableDefinition<'static, super::super::database::Bytes, super::super::database::Bytes>,
) -> u64 {
    let file = redb::Database::open(directory.join(FILE)).unwrap();
    let read = file.begin_read().unwrap();
    read.open_table(table).unwrap().len().unwrap()
}

/// Changes the first row of the sessions.
fn spoil(directory: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let file = redb::Database::open(directory.join(FILE)).unwrap();
    let write = file.begin_write().unwrap();
    {
        let mut table = write.open_table(file::STATES).unwrap();
        let (key, mut row) = {
            let (key, row) = table.first().unwrap().unwrap();
            (key.value().to_vec(), row.value().to_vec())
        };
        change(&mut row);
        table.insert(&key[..], &row[..]).unwrap();
    }
    write.commit().unwrap();
}

const ANEW: Option<Refusal> = Some(Refusal::SessionEvicted);
/// It is known, and has to sign again.
const KNOWN: Option<Refusal> = Some(Refusal::StreamUnknown);

#[test]
fn sessions_and_sources_come_back_and_what_is_gone_does_not() {
    let home = tempfile::tempdir().unwrap();
    let mut clients = run(home.path(), |run| {
        let clients = used(&run.guard, 1..=3);
        run.save();
        let _ = run
            .guard
            .revoke(portcullis_guard::session::SessionId([2; 12]), clock::now());
        clients
    });
    assert_eq!(
        rows(home.path(), file::STATES),
        2,
        "only what changed was written, and what went"
    );
    run(home.path(), |run| {
        assert_eq!(
            run.restored(),
            (4, LeftOut::default()),
            "two sessions, one source, one client"
        );
        assert_eq!(clients[0].call(&run.guard), KNOWN);
    });
    let health = run(home.path(), |run| {
        run.save();
        run.sessions.health()
    });
    assert_eq!((health.restored, health.failures), (4, 0));
    assert_eq!(health.saves, 0, "nothing changed");
    assert!(health.bytes > 300, "{}", health.bytes);
}

#[test]
fn a_row_that_is_garbled_is_left_out_and_its_session_opened_anew() {
    for spoiled in [
        (|row| row[0] = 99) as fn(&mut Vec<u8>),
        |row| row[40] ^= 1,
        |row| row.truncate(20),
        Vec::clear,
        |row| row.push(0),
    ] {
        let home = tempfile::tempdir().unwrap();
        let mut clients = run(home.path(), |run| used(&run.guard, 1..=3));
        spoil(home.path(), spoiled);
        run(home.path(), |run| {
            let damaged = LeftOut {
                damaged: 1,
                ..LeftOut::default()
            };
            assert_eq!(run.restored(), (4, damaged));
            assert_eq!(clients[0].call(&run.guard), ANEW);
            assert_eq!(clients[1].call(&run.guard), KNOWN);
        });
        run(home.path(), |run| {
            assert_eq!(run.restored(), (4, LeftOut::default()), "it is gone from the file");
            assert_eq!(clients[0].call(&run.guard), ANEW, "and stays out");
        });
    }
}

#[test]
fn a_file_that_is_none_is_put_aside_and_nobody_comes_back_unseen() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join(FILE);
    let mut clients = run(home.path(), |run| used(&run.guard, 1..=1));
    let whole = std::fs::read(&path).unwrap();
    let half = whole[..whole.len() / 2].to_vec();
    let mut flipped = whole.clone();
    flipped[4096..].iter_mut().for_each(|byte| *byte ^= 0x55);
    for bytes in [b"no database".to_vec(), half, flipped] {
        std::fs::write(&path, &bytes).unwrap();
        run(home.path(), |run| {
            assert_eq!((run.restored().0, run.restored().1.damaged), (0, 1));
            assert_eq!(clients[0].call(&run.guard), ANEW);
        });
        assert_eq!(std::fs::read(path.with_extension("damaged")).unwrap(), bytes);
        run(home.path(), |run| {
            assert_eq!(run.restored(), (0, LeftOut::default()), "the new one is whole");
            assert_eq!(clients[0].call(&run.guard), ANEW, "and knows that something is missing");
        });
    }
}

#[test]
fn without_the_key_nobody_is_known() {
    let home = tempfile::tempdir().unwrap();
    let secret = run(home.path(), |run| {
        used(&run.guard, 1..=1);
        run.sessions.secret().clone()
    });
    let both = MasterKeys::new(
        MasterKey::of_secret(&Zeroizing::new([2; 32])),
        vec![MasterKey::of_secret(&Zeroizing::new([1; 32]))],
    );
    let rotated = Run::start(home.path(), both);
    assert_eq!(*rotated.sessions.secret(), secret);
    rotated.save();
    drop(rotated);
    let later = Run::start(home.path(), keys(2));
    assert_eq!(*later.sessions.secret(), secret, "it was sealed anew");
    drop(later);
    let lost = Run::start(home.path(), keys(1));
    assert_ne!(*lost.sessions.secret(), secret);
    assert_eq!((lost.restored().0, lost.restored().1.key), (0, 1));
}

#[test]
fn no_key_is_in_the_file() {
    let home = tempfile::tempdir().unwrap();
    let secret = run(home.path(), |run| {
        used(&run.guard, 0xab..=0xab);
        run.sessions.secret().clone()
    });
    let bytes = std::fs::read(home.path().join(FILE)).unwrap();
    assert!(
        !bytes.windows(16).any(|window| window == [0xab; 16]),
        "the key of a session"
    );
    assert!(!bytes.windows(32).any(|window| window == secret.as_slice()));
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(home.path().join(FILE)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn what_has_no_room_in_the_file_is_left_out_oldest_first() {
    let home = tempfile::tempdir().unwrap();
    let mut run = Run::start(home.path(), keys(1));
    let mut clients = used(&run.guard, 1..=20);
    std::thread::sleep(Duration::from_millis(2));
    assert_eq!(clients[0].call(&run.guard), None);
    run.save();
    let bytes = run.sessions.health().bytes;
    // Anything that changes has it looked at.
    assert_eq!(clients[0].call(&run.guard), None);
    run.sessions.save(&run.guard, bytes / 2, false, clock::now());
    let health = run.sessions.health();
    assert!(health.bytes <= bytes / 2 && health.bytes > bytes / 4, "{health:?}");
    assert!((9..=13).contains(&health.left_out.room), "{health:?}");
    assert_eq!(clients[5].call(&run.guard), None, "who runs goes on");
    drop(run);
    run = Run::start(home.path(), keys(1));
    assert_eq!(clients[0].call(&run.guard), KNOWN);
    let refusals: Vec<_> = clients[1..].iter_mut().map(|client| client.call(&run.guard)).collect();
    assert_eq!(
        refusals.iter().filter(|refusal| **refusal == ANEW).count() as u64,
        health.left_out.room
    );
    assert!(
        refusals.iter().all(|refusal| [ANEW, KNOWN].contains(refusal)),
        "{refusals:?}"
    );
}

#[test]
fn after_a_disk_that_failed_everything_is_written() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("state");
    let run = Run::start(&directory, keys(1));
    // What was opened before it is known that the memory is gone has to be opened anew.
    std::thread::sleep(Duration::from_millis(2));
    used(&run.guard, 1..=2);
    run.sessions.save(&run.guard, ROOM, false, clock::now());
    let health = run.sessions.health();
    assert!(
        health.failure.is_some() && health.failures == 1 && health.saves == 0,
        "{health:?}"
    );
    std::fs::create_dir(&directory).unwrap();
    run.save();
    drop(run);
    assert_eq!(Run::start(&directory, keys(1)).restored(), (4, LeftOut::default()));
}
