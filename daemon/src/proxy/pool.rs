//! The application's servers: which of them gets a call. Shared by all workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use portcullis_guard::path::NormalPath;
use portcullis_guard::time::MonoMillis;

pub use super::reach::ReachError;
use super::reach::{Reach, Trust};
use crate::clock;
use crate::config::{Care, Http, Pool as Settings};

/// Checks in a row that fail before a server counts as ill, and that succeed before it counts as well again.
const FALL: u32 = 3;
const RISE: u32 = 2;

/// All pools. The last is for whatever no other is for.
pub struct Pools(Vec<Arc<Pool>>);

/// Servers that do the same.
pub struct Pool {
    settings: Settings,
    /// Whom its servers with TLS are believed by.
    trust: Option<Trust>,
    servers: Vec<Server>,
}

/// One server and what is known of it.
pub(super) struct Server {
    pub(super) reach: Reach,
    weight: u32,
    calls: AtomicUsize,
    failures: AtomicU32,
    /// It gets no calls before this time, in milliseconds of the monotonic clock.
    resting_until: AtomicU64,
    is_ill: AtomicBool,
    /// Checks in a row that said the opposite of `is_ill`.
    doubts: AtomicU32,
}

/// Why there is no server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoServer {
    /// All were tried.
    Tried,
    /// All have as many calls as they may have.
    Full,
}

/// A call that a server works on; counted until dropped.
pub(super) struct Counted {
    pool: Arc<Pool>,
    pub(super) server: usize,
}

/// Whether the servers of a pool can be reached, as far as this machine's files say.
///
/// # Errors
/// [`ReachError`].
pub fn check(settings: &Settings) -> Result<(), ReachError> {
    Pool::open(settings).map(drop)
}

impl Pools {
    /// The pools of a configuration.
    ///
    /// # Errors
    /// If the authorities for TLS cannot be read.
    pub fn open(http: &Http) -> Result<Self, ReachError> {
        let all = http.upstreams.iter().chain([&http.upstream]);
        let pools: Result<_, _> = all.map(|settings| Pool::open(settings).map(Arc::new)).collect();
        Ok(Self(pools?))
    }

    /// The pools of another configuration. One that stays as it is, with its authorities, goes on with what is known of its
    /// servers.
    ///
    /// # Errors
    /// If the authorities for TLS cannot be read.
    pub fn renewed(&self, http: &Http) -> Result<Self, ReachError> {
        let all = http.upstreams.iter().chain([&http.upstream]);
        let pools: Result<_, _> = all.map(|settings| self.renewed_pool(settings)).collect();
        Ok(Self(pools?))
    }

    fn renewed_pool(&self, settings: &Settings) -> Result<Arc<Pool>, ReachError> {
        if let Some(kept) = self.iter().find(|pool| pool.settings == *settings)
            && kept.is_current()?
        {
            return Ok(Arc::clone(kept));
        }
        Pool::open(settings).map(Arc::new)
    }

    /// The pool for a request, and its number.
    pub(super) fn of(&self, authority: &str, path: &NormalPath) -> Option<(usize, &Arc<Pool>)> {
        let mut pools = self.0.iter().enumerate();
        pools.find(|(_, pool)| pool.settings.is_for(authority, path))
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Pool>> {
        self.0.iter()
    }
}

impl Pool {
    fn open(settings: &Settings) -> Result<Self, ReachError> {
        let mut trust = None;
        let server = |server: &crate::config::Server| {
            Ok::<_, ReachError>(Server {
                reach: Reach::open(&server.route, &settings.care, &mut trust)?,
                weight: server.weight,
                calls: AtomicUsize::new(0),
                failures: AtomicU32::new(0),
                resting_until: AtomicU64::new(0),
                is_ill: AtomicBool::new(false),
                doubts: AtomicU32::new(0),
            })
        };
        Ok(Self {
            servers: settings.servers.iter().map(server).collect::<Result<_, _>>()?,
            settings: settings.clone(),
            trust,
        })
    }

    /// Whether its authorities are as they were read.
    fn is_current(&self) -> Result<bool, ReachError> {
        let trust = self.trust.as_ref();
        trust.map_or(Ok(true), |trust| trust.is_current(&self.settings.care.authorities))
    }

    pub(super) fn servers(&self) -> &[Server] {
        &self.servers
    }

    pub(super) fn care(&self) -> &Care {
        &self.settings.care
    }

    /// The server with the least to do for its weight. One that fails or is ill is taken only if all do: somebody may
    /// have come back, and there is nothing to lose. The clock is read only where there is a choice.
    pub(super) fn choose(self: &Arc<Self>, tried: &[usize], now: impl Fn() -> MonoMillis) -> Result<Counted, NoServer> {
        let limit = self.care().max_calls;
        let untried = || (0..self.servers.len()).filter(|index| !tried.contains(index));
        let best = untried()
            .filter(|&index| self.servers[index].calls() < limit)
            .min_by(|&one, &other| self.servers[one].order(&self.servers[other], now()));
        match best {
            Some(server) => {
                self.servers[server].calls.fetch_add(1, Ordering::Relaxed);
                let pool = Arc::clone(self);
                Ok(Counted { pool, server })
            }
            None if untried().next().is_some() => Err(NoServer::Full),
            None => Err(NoServer::Tried),
        }
    }

    /// What the check of a server found.
    pub(super) fn checked(&self, server: usize, is_well: bool) {
        let server = &self.servers[server];
        let is_ill = server.is_ill.load(Ordering::Relaxed);
        if is_well != is_ill {
            return server.doubts.store(0, Ordering::Relaxed);
        }
        let doubts = server.doubts.fetch_add(1, Ordering::Relaxed) + 1;
        if doubts >= if is_ill { RISE } else { FALL } {
            server.is_ill.store(!is_ill, Ordering::Relaxed);
            server.doubts.store(0, Ordering::Relaxed);
            if is_ill {
                tracing::info!(server = %server.reach, "a server is well again");
            } else {
                tracing::warn!(server = %server.reach, "a server does not pass its checks");
            }
        }
    }
}

impl Server {
    fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// Those that are well come first, then those with less to do for their weight.
    fn order(&self, other: &Self, now: MonoMillis) -> std::cmp::Ordering {
        let is_off = |server: &Self| {
            server.is_ill.load(Ordering::Relaxed) || server.resting_until.load(Ordering::Relaxed) > now.0
        };
        let load = |server: &Self, weight: u32| (server.calls() as u128 + 1) * u128::from(weight);
        let by_load = load(self, other.weight).cmp(&load(other, self.weight));
        is_off(self).cmp(&is_off(other)).then(by_load)
    }
}

impl Counted {
    pub(super) fn server(&self) -> &Server {
        &self.pool.servers[self.server]
    }

    /// The server answered.
    pub(super) fn answered(&self) {
        let failures = &self.server().failures;
        if failures.load(Ordering::Relaxed) != 0 {
            failures.store(0, Ordering::Relaxed);
        }
    }

    /// It did not. After several times in a row it rests.
    pub(super) fn failed(&self) {
        let care = self.pool.care();
        let server = self.server();
        if server.failures.fetch_add(1, Ordering::Relaxed) + 1 < care.max_failures {
            return;
        }
        server.failures.store(0, Ordering::Relaxed);
        let until = clock::monotonic().after(care.retry_after);
        let before = server.resting_until.swap(until.0, Ordering::Relaxed);
        if before <= clock::monotonic().0 && self.pool.servers.len() > 1 {
            let rest = Duration::as_secs(&care.retry_after);
            tracing::warn!(server = %server.reach, rest, "a server fails and gets no calls for a while");
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.server().calls.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Route, Server as One};

    fn pool(weights: &[u32], care: Care) -> Arc<Pool> {
        let servers = weights.iter().map(|&weight| One {
            route: Route::Clear("127.0.0.1:1".into()),
            weight,
        });
        let settings = Settings {
            hosts: Vec::new(),
            paths: Vec::new(),
            servers: servers.collect(),
            care,
        };
        Arc::new(Pool::open(&settings).unwrap())
    }

    const NOW: fn() -> MonoMillis = || MonoMillis(0);

    #[test]
    fn calls_go_where_the_least_is_to_do_for_the_weight() {
        let pool = pool(&[1, 3], Care::default());
        let calls: Vec<_> = (0..8).map(|_| pool.choose(&[], NOW).unwrap()).collect();
        assert_eq!(calls.iter().filter(|call| call.server == 1).count(), 6);
        drop(calls);
        assert_eq!(pool.servers[0].calls() + pool.servers[1].calls(), 0);
    }

    #[test]
    fn who_fails_rests_and_is_asked_only_if_nobody_else_is_left() {
        let care = Care {
            max_failures: 2,
            ..Care::default()
        };
        let pool = pool(&[1, 1], care);
        let first = pool.choose(&[1], NOW).unwrap();
        first.failed();
        assert_eq!(
            pool.servers[0].resting_until.load(Ordering::Relaxed),
            0,
            "once is an accident"
        );
        first.failed();
        drop(first);
        let now = clock::monotonic();
        for _ in 0..5 {
            assert_eq!(pool.choose(&[], || now).unwrap().server, 1);
        }
        assert_eq!(pool.choose(&[1], || now).unwrap().server, 0);
        assert_eq!(pool.choose(&[0, 1], || now).err(), Some(NoServer::Tried));
        let later = now.after(Duration::from_secs(11));
        let _busy = pool.choose(&[0], || later).unwrap();
        assert_eq!(pool.choose(&[], || later).unwrap().server, 0);
    }

    #[test]
    fn checks_have_to_agree() {
        let pool = pool(&[1, 1], Care::default());
        let is_ill = || pool.servers[0].is_ill.load(Ordering::Relaxed);
        for (is_well, expected) in [
            (false, false),
            (false, false),
            (true, false),
            (false, false),
            (false, false),
            (false, true),
            (true, true),
            (true, false),
        ] {
            pool.checked(0, is_well);
            assert_eq!(is_ill(), expected);
        }
    }

    #[test]
    fn a_full_pool_says_so() {
        let care = Care {
            max_calls: 1,
            ..Care::default()
        };
        let pool = pool(&[1], care);
        let _call = pool.choose(&[], NOW).unwrap();
        assert_eq!(pool.choose(&[], NOW).err(), Some(NoServer::Full));
    }

    #[test]
    fn a_pool_stays_over_a_reload_unless_its_settings_or_authorities_changed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        let certificate = || {
            rcgen::generate_simple_self_signed(["localhost".to_owned()])
                .unwrap()
                .cert
                .pem()
        };
        let (first, second) = (certificate(), certificate());
        std::fs::write(&path, &first).unwrap();
        let settings = |max_calls| Settings {
            hosts: Vec::new(),
            paths: Vec::new(),
            servers: vec![One {
                route: Route::Tls("localhost:1".into()),
                weight: 1,
            }],
            care: Care {
                authorities: path.clone(),
                max_calls,
                ..Care::default()
            },
        };
        let pools = Pools(vec![Arc::new(Pool::open(&settings(1)).unwrap())]);
        let stays = |max_calls| {
            let renewed = pools.renewed_pool(&settings(max_calls));
            renewed.map(|pool| Arc::ptr_eq(&pool, &pools.0[0])).ok()
        };
        assert_eq!((stays(1), stays(2)), (Some(true), Some(false)));
        std::fs::write(&path, &second).unwrap();
        assert_eq!(stays(1), Some(false));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(stays(1), None, "nobody knows whom to trust");
        std::fs::write(&path, &first).unwrap();
        assert_eq!(stays(1), Some(true), "another file that says the same");
    }
}
