//! The composition root: puts the parts together, runs them, and takes them down again.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use portcullis_guard::guard::{Guard, Secrets};
use tokio::signal::unix::Signal;
use tokio::sync::{mpsc, watch};

use crate::config::Config;
use crate::control::{self, api::ListeningPlace};
use crate::enforcer::{Enforcer, Events};
use crate::gate::{self, Gate};
use crate::latest::Latest;
use crate::listener::timer::CoarseTimer;
use crate::listener::{Door, Entrance, Handed, Listening};
use crate::proxy::Proxy;
use crate::proxy::pool::Pools;
use crate::reload::{Caretaker, Reload};
use crate::signals::Signals;
use crate::state::KeyRing;
use crate::store::Store;
use crate::store::sessions::SessionStore;
use crate::{admin, clock, listener, memory, packets, random, safety, service, start, telemetry, unprivileged};

/// How often ended bans are swept out. The kernel ends them by itself; this only frees memory.
const HOUSEKEEPING: Duration = Duration::from_secs(5);
/// How often what is over is taken out of the store.
const SWEEP: Duration = Duration::from_secs(3600);
/// How often the kernel's bans are compared with the intended ones.
const RECONCILE: Duration = Duration::from_secs(30);
/// Sources over their limits that wait for a verdict.
const STRIKES_WAITING: usize = 256;
/// How often sampled drops are read.
const DROP_REPORTS: Duration = Duration::from_millis(500);
/// How often the files of certificates are looked at.
const RENEWALS: Duration = Duration::from_secs(5);

/// Runs the daemon until SIGTERM or SIGINT.
///
/// # Errors
/// Whatever keeps it from starting, with what to do about it.
pub fn run(config: Config) -> Result<()> {
    telemetry::start(&config.log);
    let workers = worker_count(&config);
    let mut handed = Handed::take()?;
    let (own_control, own_admin) = (
        handed.control(&config.control.socket)?,
        handed.admin(config.admin.listen)?,
    );
    let entrances = listener::open(&config.http, workers, handed)?;
    let doors: Vec<_> = entrances.iter().map(|entrance| Arc::clone(&entrance.door)).collect();
    let (sockets, places) = share_out(entrances, workers)?;
    let control_runtime = runtime().context("failed to start the control runtime")?;
    let control_socket = {
        let _entered = control_runtime.enter();
        let opened = match own_control {
            Some(listener) => control::adopt(listener, &config.control),
            None => control::bind(&config.control),
        };
        opened.context("failed to open the control socket")?
    };
    let pools = Pools::open(&config.http).context("failed to prepare the way to the application")?;
    let pools = Arc::new(pools);
    let admin_listener = open_admin(own_admin, config.admin.listen)?;
    let gate = Arc::new(open_gate(config)?.with_places(places));
    unprivileged::settle(&gate.config())?;
    let mut helper = unprivileged::watch_helper(&gate)?;
    let keepers = start_keepers(&gate)?;
    // Before anybody is told that it is ready: until here they end the process at once.
    let signals = {
        let _entered = control_runtime.enter();
        Signals::listen()?
    };
    let (stop, stopped) = watch::channel(false);
    let mut proxies = Vec::new();
    let mut threads = Vec::new();
    let mut roll = service::RollCall::default();
    for post in sockets {
        let timer = CoarseTimer::new();
        let proxy = Proxy::new(Arc::clone(&gate), Arc::clone(&pools), timer.clone());
        let proxy = Arc::new(Latest::new(proxy));
        proxies.push(Arc::clone(&proxy));
        threads.push(start_worker(post, proxy, timer, roll.member(), stopped.clone())?);
    }
    tracing::info!(workers, mode = ?gate.guard().mode(), "ready");
    let mut conversations = tokio::task::JoinSet::new();
    control_runtime.block_on(async {
        if let Some(listener) = admin_listener {
            conversations.spawn(admin::serve(Arc::clone(&gate), listener, stopped.clone()));
        }
        conversations.spawn(control::serve(Arc::clone(&gate), control_socket, stopped));
        tokio::spawn(keep_house(Arc::clone(&gate)));
        follow_interfaces(&gate);
        tokio::spawn(reconcile(Arc::clone(&gate)));
        tokio::spawn(gate::trial::watch(Arc::clone(&gate)));
        tokio::spawn(renew_certificates(doors.clone()));
        let timer = CoarseTimer::new();
        tokio::spawn(timer.clone().run());
        gate.with_reload(Reload::new(doors, proxies, Caretaker::start(pools, timer)));
        tokio::spawn(reload_on_hangup(Arc::clone(&gate), signals.hangup));
        if let Some(events) = gate.kernel().and_then(Enforcer::take_events) {
            let (strikes, struck) = mpsc::channel(STRIKES_WAITING);
            tokio::spawn(report_drops(events, strikes));
            tokio::spawn(strike(Arc::clone(&gate), struck));
        }
        if let Some(interval) = service::watchdog() {
            tokio::spawn(service::feed_watchdog(Arc::clone(&gate), roll, interval));
        }
        service::ready();
        tokio::select! {
            () = signals.stop.come() => Ok(()),
            ended = unprivileged::helper_ended(helper.as_mut()) => Err(ended),
        }
    })?;
    tracing::info!("stopping");
    service::stopping();
    let _ = stop.send(true);
    // Operators get their last answers while the workers give theirs.
    control_runtime.block_on(async { while conversations.join_next().await.is_some() {} });
    threads
        .into_iter()
        .try_for_each(|worker| worker.join().map_err(|_| anyhow!("a worker panicked")))?;
    // The last verdicts are written too, and what sessions did.
    if let Some(store) = gate.store() {
        store.close();
    }
    if let Some(sessions) = gate.sessions() {
        sessions.close();
    }
    if let Some(helper) = helper {
        helper.release(&gate);
    }
    keepers
        .into_iter()
        .try_for_each(|keeper| keeper.join().map_err(|_| anyhow!("the store panicked")))
}

/// What was handed over, or a new one where the configuration says; `None`: neither.
fn open_admin(handed: Option<TcpListener>, address: Option<SocketAddr>) -> Result<Option<TcpListener>> {
    let listener = match (handed, address) {
        (Some(handed), _) => handed,
        (None, Some(address)) => {
            admin::bind(address).with_context(|| format!("failed to listen on {address} (admin.listen)"))?
        }
        (None, None) => return Ok(None),
    };
    let address = listener
        .local_addr()
        .context("failed to read the address of admin.listen")?;
    tracing::info!(%address, "admin listener");
    Ok(Some(listener))
}

/// The threads that write to the store and the memory of sessions: the disk may take its time.
fn start_keepers(gate: &Arc<Gate>) -> Result<[thread::JoinHandle<()>; 2]> {
    let start = |name: &str, keep: fn(&Gate)| {
        let gate = Arc::clone(gate);
        let thread = thread::Builder::new().name(name.into()).spawn(move || keep(&gate));
        thread.context("failed to start the thread of the store")
    };
    Ok([
        start("store", Gate::keep_store)?,
        start("sessions", Gate::keep_sessions)?,
    ])
}

fn worker_count(config: &Config) -> usize {
    match config.http.workers {
        0 => thread::available_parallelism().map_or(1, usize::from),
        workers => workers,
    }
}

/// What one worker listens at.
type Post = Vec<(Arc<Latest<Door>>, Listening)>;

/// The sockets of each worker, at least one for each door; and where those are.
fn share_out(entrances: Vec<Entrance>, workers: usize) -> Result<(Vec<Post>, Vec<ListeningPlace>)> {
    let mut posts: Vec<Post> = (0..workers).map(|_| Vec::new()).collect();
    let mut places = Vec::new();
    for entrance in entrances {
        let (door, sockets) = (entrance.door, entrance.sockets);
        if let Some(socket) = sockets.first() {
            let place = socket.place().context("failed to read the address of a listener")?;
            let tls = door.get().tls.is_some();
            tracing::info!(address = %place, tls, "listening");
            places.push(ListeningPlace {
                address: place.to_string(),
                tls,
                handed_over: entrance.handed_over,
            });
        }
        for (number, socket) in sockets.into_iter().enumerate() {
            posts[number % workers].push((Arc::clone(&door), socket));
        }
    }
    Ok((posts, places))
}

fn open_gate(config: Config) -> Result<Gate> {
    // systemd says where it put the credentials of the unit (systemd.exec(5)).
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let ring = KeyRing::open(&config.state.directory, credentials.as_deref(), clock::now().wall);
    let ring = ring.context("failed to open the master keys")?;
    let master = ring.master_keys();
    let run = random::secret().context("failed to make the secret of this run")?;
    // A damaged store keeps the daemon from starting, before it touches what the kernel enforces.
    let store = Store::open(&config.state.directory).context("failed to open the store")?;
    let sessions = SessionStore::open(&config.state.directory, &master, clock::now());
    let sessions = sessions.context("failed to open the memory of sessions")?;
    clock::go_on_from(sessions.resumed());
    let guard = Guard::new(
        config.policy.clone(),
        Secrets { master, run },
        usize::try_from(config.packet.max_bans_limit.max(config.packet.max_bans))?,
    )
    .with_memory_secret(sessions.secret());
    let enforcer = packets::attach(&config, store.banned_networks()?)?;
    let gate = Gate::new(guard, enforcer, config).with_keys(ring);
    let kept = start::kept_by_kernel(&gate)?;
    // Before the first packet of a client can be judged.
    start::restore(&gate, &store, safety::never_ban_of(&gate.config()))
        .context("failed to restore what the store kept")?;
    let gate = gate.with_store(store);
    start::adopt(&gate, kept)?;
    // Ended sessions are known by now: those do not come back.
    sessions.load(&gate.guard(), clock::now());
    Ok(gate.with_sessions(sessions))
}

/// Takes the program off the interfaces and forgets its bans, after a daemon that pinned them.
///
/// # Errors
/// If nothing is pinned, a daemon runs, or the kernel refuses.
pub fn detach(config: &Config) -> Result<()> {
    let pins = config.packet.pins.as_deref();
    let pins = pins.context("packet.pins is empty: the program leaves with the daemon")?;
    Enforcer::detach_pinned(pins).with_context(|| format!("failed to detach what is pinned at {}", pins.display()))
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

fn start_worker(
    post: Post,
    proxy: Arc<Latest<Proxy>>,
    timer: CoarseTimer,
    roll: service::Member,
    stopped: watch::Receiver<bool>,
) -> Result<thread::JoinHandle<()>> {
    let runtime = runtime().context("failed to start a worker")?;
    let body = move || {
        runtime.block_on(async {
            tokio::spawn(roll.answer());
            work(post, proxy, timer, stopped).await;
        });
    };
    thread::Builder::new()
        .name("worker".into())
        .spawn(body)
        .context("failed to start a worker")
}

async fn work(post: Post, proxy: Arc<Latest<Proxy>>, timer: CoarseTimer, stopped: watch::Receiver<bool>) {
    tokio::spawn(timer.clone().run());
    tokio::spawn(memory::tidy_up());
    let mut listeners = tokio::task::JoinSet::new();
    for (door, socket) in post {
        listeners.spawn(listener::serve(
            door,
            socket,
            Arc::clone(&proxy),
            timer.clone(),
            stopped.clone(),
        ));
    }
    while listeners.join_next().await.is_some() {}
    let gate = Arc::clone(proxy.get().gate());
    drain(&gate).await;
}

/// Lets open requests finish, as long as the operator allows.
async fn drain(gate: &Gate) {
    const LOOK: Duration = Duration::from_millis(20);
    let all_closed = async {
        while !gate.connections().is_empty() {
            tokio::time::sleep(LOOK).await;
        }
    };
    let patience = gate.config().http.drain_timeout;
    if tokio::time::timeout(patience, all_closed).await.is_err() {
        tracing::warn!(open = gate.connections().len(), "some connections were cut off");
    }
}

async fn keep_house(gate: Arc<Gate>) {
    let mut interval = tokio::time::interval(HOUSEKEEPING);
    let mut last_sweep = None;
    loop {
        interval.tick().await;
        let now = clock::now();
        let over = gate.guard().expire_bans(now);
        tracing::trace!(over, "bans ended");
        gate.guard().recorder().forget_if_old(now);
        // What the kernel refuses is logged.
        let _ = gate.perform(gate.guard().expire_allowed(now));
        if last_sweep.is_none_or(|last| now.mono.since(last) >= SWEEP) {
            last_sweep = Some(now.mono);
            sweep(&gate).await;
        }
        let gate_of_keys = Arc::clone(&gate);
        let _ = tokio::task::spawn_blocking(move || gate_of_keys.rotate_old_key()).await;
        // The kernel tells of changes: this is for what it could not tell.
        if let Some(Err(error)) = gate.kernel().map(Enforcer::refresh_interfaces) {
            tracing::error!(%error, "an interface is not guarded");
        }
        grow(&gate).await;
        if let Some(Err(error)) = gate.kernel().map(Enforcer::sweep_expired) {
            tracing::error!(%error, "the kernel tables cannot be swept");
        }
    }
}

/// Takes what is over out of the store.
async fn sweep(gate: &Arc<Gate>) {
    let gate = Arc::clone(gate);
    let sweep = move || gate.store().map(|store| store.sweep(clock::now()));
    if let Ok(Some(Err(error))) = tokio::task::spawn_blocking(sweep).await {
        tracing::error!(%error, "the store cannot be swept");
    }
}

/// Off this thread: millions of bans take a while to copy.
async fn grow(gate: &Arc<Gate>) {
    let gate = Arc::clone(gate);
    let grow = move || gate.kernel().map(Enforcer::grow_if_crowded);
    if let Ok(Some(Err(error))) = tokio::task::spawn_blocking(grow).await {
        tracing::error!(%error, "the kernel tables cannot grow; bans are refused when they are full");
    }
}

/// A thread of its own waits for what the kernel tells of interfaces: one that returns is unguarded until it is
/// attached to, however busy the others are. It ends with the process.
fn follow_interfaces(gate: &Arc<Gate>) {
    let Some(changes) = gate.kernel().and_then(Enforcer::take_interface_changes) else {
        return;
    };
    let gate = Arc::clone(gate);
    let follow = move || loop {
        let mut readable = [PollFd::new(changes.as_fd(), PollFlags::POLLIN)];
        if let Err(error) = poll(&mut readable, PollTimeout::NONE)
            && error != Errno::EINTR
        {
            tracing::error!(%error, "interfaces are looked at every few seconds only");
            return;
        }
        if let Some(Err(error)) = gate.kernel().map(|kernel| kernel.follow_interfaces(&changes)) {
            tracing::error!(%error, "an interface is not guarded");
        }
    };
    if let Err(error) = thread::Builder::new().name("interfaces".into()).spawn(follow) {
        tracing::error!(%error, "interfaces are looked at every few seconds only");
    }
}

/// The kernel is compared with the intention, off this thread: a million bans take a while.
async fn reconcile(gate: Arc<Gate>) {
    let mut interval = tokio::time::interval(RECONCILE);
    loop {
        interval.tick().await;
        let gate = Arc::clone(&gate);
        if let Ok(Some(Err(error))) = tokio::task::spawn_blocking(move || gate.reconcile()).await {
            tracing::error!(%error, "the kernel tables cannot be reconciled");
        }
    }
}

/// Takes over certificates that were renewed, soon after their files changed.
async fn renew_certificates(doors: Vec<Arc<Latest<Door>>>) {
    let mut interval = tokio::time::interval(RENEWALS);
    loop {
        interval.tick().await;
        for door in doors.iter().map(|door| door.get()) {
            let Some(tls) = &door.tls else { continue };
            let refreshed = tls.refresh(false);
            for path in refreshed.taken {
                tracing::info!(file = %path.display(), "a new certificate is in use");
            }
            for error in refreshed.refused {
                tracing::error!(%error, hint = error.hint(), "the certificate in use stays");
            }
        }
    }
}

/// Reads the configuration anew on SIGHUP. What is wrong with it is told in the log.
async fn reload_on_hangup(gate: Arc<Gate>, mut hangup: Signal) {
    while hangup.recv().await.is_some() {
        let gate = Arc::clone(&gate);
        let reload = move || gate.reload(None, "SIGHUP");
        if let Ok(Err(error)) = tokio::task::spawn_blocking(reload).await {
            tracing::error!(%error, "the running configuration stays");
        }
    }
}

async fn report_drops(mut events: Events, strikes: mpsc::Sender<IpAddr>) {
    let mut interval = tokio::time::interval(DROP_REPORTS);
    loop {
        interval.tick().await;
        while let Some(report) = events.next_report() {
            // Whoever finds no room is reported again if it goes on.
            if report.strikes && strikes.try_send(report.source).is_err() {
                tracing::warn!(source = %report.source, "too many sources are over their limits at once");
            }
            tracing::debug!(
                source = %report.source,
                reason = report.reason.name(),
                dropped = report.dropped,
                unsampled = report.unsampled,
                "packet"
            );
        }
    }
}

/// What follows from too many packets: one after the other, beside the reading of reports.
async fn strike(gate: Arc<Gate>, mut strikes: mpsc::Receiver<IpAddr>) {
    while let Some(source) = strikes.recv().await {
        tracing::warn!(%source, "a source keeps sending more than its limits allow");
        let gate = Arc::clone(&gate);
        let _ = tokio::task::spawn_blocking(move || gate.strike(source)).await;
    }
}
