//! Filters of system calls (seccomp): what is not named here fails with `EPERM`.
//!
//! A call that fails is an error in the log; one that ends the process would be a gate that is gone. So a call that was
//! forgotten here costs a feature, and no attacker gains by the difference.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Length, SeccompCmpOp as Compare, SeccompCondition as Condition,
    SeccompFilter, SeccompRule, TargetArch, apply_filter,
};

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// The commands of bpf(2) on elements of maps.
const ELEMENTS: [u64; 4] = [1, 2, 3, 24];
/// Those that make, load, attach, pin and look: map and program 0 to 7, by id 11 to 15, BTF 18, freezing 22, batches 24,
/// links 28 to 31, binding a map 35.
const EVERYTHING: [u64; 20] = [0, 1, 2, 3, 4, 5, 6, 7, 11, 13, 14, 15, 18, 22, 24, 28, 29, 30, 31, 35];

/// What neither daemon nor helper can do harm with beyond what they are for.
#[rustfmt::skip]
const COMMON: &[c_long] = &[
    // Files that landlock lets them open.
    libc::SYS_openat, libc::SYS_close, libc::SYS_close_range, libc::SYS_read, libc::SYS_write, libc::SYS_readv,
    libc::SYS_writev, libc::SYS_pread64, libc::SYS_pwrite64, libc::SYS_preadv, libc::SYS_pwritev, libc::SYS_preadv2,
    libc::SYS_pwritev2, libc::SYS_lseek, libc::SYS_fstat, libc::SYS_newfstatat, libc::SYS_statx, libc::SYS_statfs,
    libc::SYS_fstatfs, libc::SYS_getdents64, libc::SYS_readlinkat, libc::SYS_faccessat, libc::SYS_faccessat2,
    libc::SYS_unlinkat, libc::SYS_renameat, libc::SYS_renameat2, libc::SYS_mkdirat, libc::SYS_fchmod,
    libc::SYS_fchmodat, libc::SYS_fsync, libc::SYS_fdatasync, libc::SYS_ftruncate, libc::SYS_fallocate,
    libc::SYS_fadvise64, libc::SYS_flock, libc::SYS_fcntl, libc::SYS_dup, libc::SYS_dup3, libc::SYS_umask,
    libc::SYS_getcwd, libc::SYS_pipe2, libc::SYS_eventfd2, libc::SYS_copy_file_range, libc::SYS_sync_file_range,
    // Sockets of the kinds below.
    libc::SYS_socketpair, libc::SYS_bind, libc::SYS_connect, libc::SYS_accept4, libc::SYS_getsockname,
    libc::SYS_getpeername, libc::SYS_setsockopt, libc::SYS_getsockopt, libc::SYS_sendto, libc::SYS_recvfrom,
    libc::SYS_sendmsg, libc::SYS_recvmsg, libc::SYS_sendmmsg, libc::SYS_recvmmsg, libc::SYS_shutdown,
    libc::SYS_sendfile, libc::SYS_splice,
    // Waiting.
    libc::SYS_epoll_create1, libc::SYS_epoll_ctl, libc::SYS_epoll_pwait, libc::SYS_epoll_pwait2, libc::SYS_ppoll,
    libc::SYS_pselect6, libc::SYS_futex, libc::SYS_nanosleep, libc::SYS_clock_nanosleep, libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime, libc::SYS_timerfd_gettime, libc::SYS_wait4, libc::SYS_waitid,
    // Time and chance.
    libc::SYS_clock_gettime, libc::SYS_clock_getres, libc::SYS_gettimeofday, libc::SYS_getrandom,
    // Memory that is never executed, see below.
    libc::SYS_munmap, libc::SYS_mremap, libc::SYS_madvise, libc::SYS_brk, libc::SYS_msync, libc::SYS_membarrier,
    // Threads: clone3 is answered with ENOSYS by another filter, as its flags cannot be looked at.
    libc::SYS_clone3, libc::SYS_set_robust_list, libc::SYS_get_robust_list, libc::SYS_rseq, libc::SYS_set_tid_address,
    libc::SYS_sched_yield, libc::SYS_sched_getaffinity, libc::SYS_getcpu, libc::SYS_exit, libc::SYS_exit_group,
    libc::SYS_restart_syscall,
    // Signals to oneself.
    libc::SYS_rt_sigaction, libc::SYS_rt_sigprocmask, libc::SYS_rt_sigreturn, libc::SYS_rt_sigtimedwait,
    libc::SYS_rt_sigpending, libc::SYS_sigaltstack,
    // Who and where one is.
    libc::SYS_getpid, libc::SYS_getppid, libc::SYS_gettid, libc::SYS_getuid, libc::SYS_geteuid, libc::SYS_getgid,
    libc::SYS_getegid, libc::SYS_getgroups, libc::SYS_getresuid, libc::SYS_getresgid, libc::SYS_uname,
    libc::SYS_sysinfo, libc::SYS_getrusage, libc::SYS_times, libc::SYS_capget,
];

/// The older forms of the same, which only this architecture has.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const OLDER: &[c_long] = &[
    libc::SYS_open, libc::SYS_stat, libc::SYS_lstat, libc::SYS_access, libc::SYS_readlink, libc::SYS_unlink,
    libc::SYS_rename, libc::SYS_mkdir, libc::SYS_rmdir, libc::SYS_chmod, libc::SYS_dup2, libc::SYS_pipe,
    libc::SYS_poll, libc::SYS_select, libc::SYS_epoll_wait, libc::SYS_time,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[c_long] = &[];

const FAMILIES: [u64; 3] = [libc::AF_UNIX as u64, libc::AF_INET as u64, libc::AF_INET6 as u64];
/// About descriptors, terminals, and the numbers and names of interfaces: FIONBIO, FIOCLEX, FIONREAD, TCGETS,
/// SIOCGIFINDEX, SIOCGIFNAME.
const CONTROLS: [u64; 6] = [0x5421, 0x5451, 0x541b, 0x5401, 0x8933, 0x8910];
/// The name of a thread, and of memory; upon whose death one dies.
const OF_PROCESS: [u64; 4] = [
    libc::PR_SET_NAME as u64,
    libc::PR_GET_NAME as u64,
    0x5356_4d41,
    libc::PR_SET_PDEATHSIG as u64,
];
/// New namespaces, whose root could do what this process may not.
const NAMESPACES: u64 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u64;

pub(super) fn daemon() -> Result<(), String> {
    install(&ELEMENTS)
}

pub(super) fn helper() -> Result<(), String> {
    install(&EVERYTHING)
}

fn install(bpf: &[u64]) -> Result<(), String> {
    let mut rules: Rules = COMMON.iter().chain(OLDER).map(|call| (*call, Vec::new())).collect();
    let mut only = |call: c_long, choices: Vec<Vec<Condition>>| -> Result<(), String> {
        let choices = choices.into_iter().map(|choice| SeccompRule::new(choice).map_err(text));
        rules.insert(call, choices.collect::<Result<_, _>>()?);
        Ok(())
    };
    only(libc::SYS_bpf, one_of(0, bpf)?)?;
    let mut families = one_of(0, &FAMILIES)?;
    // Routes and interfaces, and no other part of the kernel.
    families.push(vec![
        equals(0, libc::AF_NETLINK as u64)?,
        equals(2, libc::NETLINK_ROUTE as u64)?,
    ]);
    only(libc::SYS_socket, families)?;
    only(libc::SYS_ioctl, one_of(1, &CONTROLS)?)?;
    only(libc::SYS_prctl, one_of(0, &OF_PROCESS)?)?;
    let never_executed = || masked(2, libc::PROT_EXEC as u64, 0).map(|condition| vec![vec![condition]]);
    only(libc::SYS_mmap, never_executed()?)?;
    only(libc::SYS_mprotect, never_executed()?)?;
    let thread = libc::CLONE_THREAD as u64;
    only(libc::SYS_clone, vec![vec![masked(0, thread | NAMESPACES, thread)?]])?;
    only(libc::SYS_tgkill, vec![vec![equals(0, u64::from(std::process::id()))?]])?;
    let unchanged = Condition::new(2, Length::Qword, Compare::Eq, 0).map_err(text)?;
    only(libc::SYS_prlimit64, vec![vec![unchanged]])?;
    let refused = |code: i32| SeccompAction::Errno(code.unsigned_abs());
    let older_threads = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    apply(older_threads, SeccompAction::Allow, refused(libc::ENOSYS))?;
    apply(rules, refused(libc::EPERM), SeccompAction::Allow)
}

fn apply(rules: Rules, otherwise: SeccompAction, matching: SeccompAction) -> Result<(), String> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH).map_err(text)?;
    let filter = SeccompFilter::new(rules, otherwise, matching, architecture).map_err(text)?;
    let program = BpfProgram::try_from(filter).map_err(text)?;
    apply_filter(&program).map_err(text)
}

fn one_of(argument: u8, values: &[u64]) -> Result<Vec<Vec<Condition>>, String> {
    let choice = |value: &u64| equals(argument, *value).map(|condition| vec![condition]);
    values.iter().map(choice).collect()
}

fn equals(argument: u8, value: u64) -> Result<Condition, String> {
    Condition::new(argument, Length::Dword, Compare::Eq, value).map_err(text)
}

fn masked(argument: u8, mask: u64, value: u64) -> Result<Condition, String> {
    Condition::new(argument, Length::Qword, Compare::MaskedEq(mask), value).map_err(text)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
