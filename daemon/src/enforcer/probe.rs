//! What the packet program needs of the kernel, asked before it is loaded: a verifier's log names no version.

use std::{fs, io};

use aya::{
    maps::MapType,
    programs::{ProgramError, ProgramType},
    sys::{BpfHelper, is_helper_supported, is_map_supported, is_program_supported},
    util::KernelVersion,
};

use super::{EnforcerError, links, privilege};

/// Something that not every kernel has, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Feature {
    Syscall,
    Xdp,
    PrefixTables,
    RingBuffer,
    Links,
    CoarseClock,
    Frags,
}

/// `BPF_F_XDP_HAS_FRAGS`
const HAS_FRAGS: u32 = 1 << 5;

impl Feature {
    const ALL: [Self; 7] = [
        Self::Syscall,
        Self::Xdp,
        Self::PrefixTables,
        Self::RingBuffer,
        Self::Links,
        Self::CoarseClock,
        Self::Frags,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Syscall => "eBPF (bpf(2), CONFIG_BPF_SYSCALL)",
            Self::Xdp => "XDP",
            Self::PrefixTables => "prefix tables (BPF_MAP_TYPE_LPM_TRIE)",
            Self::RingBuffer => "ring buffers (BPF_MAP_TYPE_RINGBUF)",
            Self::Links => "links for XDP programs (BPF_LINK_CREATE)",
            Self::CoarseClock => "the coarse clock (bpf_ktime_get_coarse_ns)",
            Self::Frags => "XDP on frames of several buffers (xdp.frags)",
        }
    }

    /// The version that brought it.
    const fn since(self) -> &'static str {
        match self {
            Self::Syscall => "3.18",
            Self::Xdp => "4.8",
            Self::PrefixTables => "4.11",
            Self::RingBuffer => "5.8",
            Self::Links => "5.9",
            Self::CoarseClock => "5.11",
            Self::Frags => "5.18",
        }
    }

    fn is_there(self) -> io::Result<bool> {
        match self {
            Self::Syscall => match links::load_trivial(0) {
                Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => Ok(false),
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(true),
                other => other.map(|_| true),
            },
            Self::Xdp => is_program_supported(ProgramType::Xdp).map_err(system),
            Self::PrefixTables => is_map_supported(MapType::LpmTrie).map_err(|error| error.io_error),
            Self::RingBuffer => is_map_supported(MapType::RingBuf).map_err(|error| error.io_error),
            // Nothing answers this but attaching to an interface.
            Self::Links => Ok(KernelVersion::current().is_ok_and(|found| found >= KernelVersion::new(5, 9, 0))),
            Self::CoarseClock => {
                is_helper_supported(ProgramType::Xdp, BpfHelper::BPF_FUNC_ktime_get_coarse_ns).map_err(system)
            }
            Self::Frags => match links::load_trivial(HAS_FRAGS) {
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(false),
                other => other.map(|_| true),
            },
        }
    }
}

/// Refuses a kernel that lacks something, and a process that may not ask.
pub(super) fn check() -> Result<(), EnforcerError> {
    if let Some(missing) = privilege::missing() {
        return Err(missing);
    }
    match first_missing(Feature::is_there) {
        Ok(None) => Ok(()),
        Ok(Some(feature)) => Err(EnforcerError::FeatureMissing {
            found: KernelVersion::current()
                .map_or_else(|_| "(of unknown version)".to_owned(), |found| found.to_string()),
            feature: feature.name(),
            since: feature.since(),
        }),
        Err(error) => Err(privilege::explain(&error).unwrap_or_else(|| EnforcerError::Load {
            reason: format!("the kernel cannot be asked what it has: {error}"),
        })),
    }
}

fn first_missing(is_there: impl Fn(Feature) -> io::Result<bool>) -> io::Result<Option<Feature>> {
    for feature in Feature::ALL {
        if !is_there(feature)? {
            return Ok(Some(feature));
        }
    }
    Ok(None)
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "aya's own enum, most of which is about other program types"
)]
fn system(error: ProgramError) -> io::Error {
    match error {
        ProgramError::SyscallError(error) => error.io_error,
        other => io::Error::other(other.to_string()),
    }
}

/// Whether the kernel answers SYNs with cookies once the queue of a listener is full (tcp(7), `tcp_syncookies`).
pub(super) fn has_syn_cookies() -> bool {
    let setting = fs::read_to_string("/proc/sys/net/ipv4/tcp_syncookies");
    setting.is_ok_and(|setting| setting.trim() != "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_missing_feature_is_named() {
        let before = |version: &'static str| {
            let number = move |text: &str| {
                let (major, minor) = text.split_once('.').unwrap();
                (major.parse::<u32>().unwrap(), minor.parse::<u32>().unwrap())
            };
            first_missing(move |feature| Ok(number(feature.since()) < number(version)))
        };
        assert_eq!(before("6.1").unwrap(), None);
        assert_eq!(before("5.18").unwrap(), Some(Feature::Frags));
        assert_eq!(before("5.10").unwrap(), Some(Feature::CoarseClock));
        assert_eq!(before("5.8").unwrap(), Some(Feature::RingBuffer));
        assert_eq!(before("4.8").unwrap(), Some(Feature::Xdp));
    }

    #[test]
    fn a_kernel_that_does_not_answer_is_no_old_kernel() {
        let refused = first_missing(|_| Err(io::Error::from_raw_os_error(libc::EPERM)));
        assert_eq!(refused.unwrap_err().raw_os_error(), Some(libc::EPERM));
    }
}
