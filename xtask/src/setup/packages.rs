//! The system's packages that the tasks need, each with its reason.

use anyhow::{Result, bail};

use super::{Purpose, debian, is_debian, may_install, say};
use crate::process;

/// A program that a task starts, the Debian package that has it, and what it is for.
struct Package {
    program: &'static str,
    package: &'static str,
    reason: &'static str,
    purposes: &'static [Purpose],
}

const PING: &[Purpose] = &[Purpose::Test, Purpose::Kernels, Purpose::Demo];
const TEST_AND_DEMO: &[Purpose] = &[Purpose::Test, Purpose::Demo];
const NETWORKS: &[Purpose] = &[Purpose::Test, Purpose::Kernels, Purpose::Demo, Purpose::Bench];

const PACKAGES: &[Package] = &[
    Package {
        program: "cc",
        package: "gcc",
        reason: "links the host's programs",
        purposes: &[Purpose::Build],
    },
    Package {
        program: "ip",
        package: "iproute2",
        reason: "makes network namespaces and veth pairs",
        purposes: NETWORKS,
    },
    Package {
        program: "ping",
        package: "iputils-ping",
        reason: "shows that a banned host's packets die and a neighbour's live",
        purposes: PING,
    },
    Package {
        program: "nft",
        package: "nftables",
        reason: "puts visitor and neighbour behind one NAT address",
        purposes: NETWORKS,
    },
    Package {
        program: "curl",
        package: "curl",
        reason: "is the client that must be refused",
        purposes: TEST_AND_DEMO,
    },
    Package {
        program: "chromium",
        package: "chromium",
        reason: "is the client that must get through",
        purposes: &[Purpose::Test],
    },
    Package {
        program: "firefox-esr",
        package: "firefox-esr",
        reason: "is another one",
        purposes: &[Purpose::Test],
    },
    Package {
        program: "node",
        package: "nodejs",
        reason: "runs the real backends and drives the browser",
        purposes: TEST_AND_DEMO,
    },
    Package {
        program: "lintian",
        package: "lintian",
        reason: "looks at the package as Debian would",
        purposes: &[Purpose::Package],
    },
    Package {
        program: "debootstrap",
        package: "debootstrap",
        reason: "makes the tree that the package is tried in",
        purposes: &[Purpose::Package],
    },
    Package {
        program: "systemd-nspawn",
        package: "systemd-container",
        reason: "boots it",
        purposes: &[Purpose::Package],
    },
    Package {
        program: "systemd-analyze",
        package: "systemd",
        reason: "tells how exposed the units are, and what is wrong with them",
        purposes: &[Purpose::Test, Purpose::Package],
    },
    Package {
        program: "strip",
        package: "binutils",
        reason: "makes the program of the tarball smaller",
        purposes: &[Purpose::Package],
    },
    Package {
        program: "qemu-system-x86_64",
        package: "qemu-system-x86",
        reason: "runs the XDP suites on other kernels",
        purposes: &[Purpose::Kernels],
    },
    Package {
        program: "nginx",
        package: "nginx-light",
        reason: "is a peer of the front and the upstream of all, and asks for verdicts",
        purposes: &[Purpose::Test, Purpose::Bench],
    },
    Package {
        program: "haproxy",
        package: "haproxy",
        reason: "is a peer of the front, and asks for verdicts",
        purposes: &[Purpose::Test, Purpose::Bench],
    },
    Package {
        program: "/usr/lib/nginx/modules/ngx_http_lua_module.so",
        package: "libnginx-mod-http-lua",
        reason: "lets nginx check signatures, as a peer of the front",
        purposes: &[Purpose::Bench],
    },
    Package {
        program: "/usr/lib/nginx/modules/ngx_http_js_module.so",
        package: "libnginx-mod-http-js",
        reason: "lets nginx check signatures in another way",
        purposes: &[Purpose::Bench],
    },
    Package {
        program: "caddy",
        package: "caddy",
        reason: "is a peer of the front, and asks for verdicts",
        purposes: &[Purpose::Test, Purpose::Bench],
    },
    Package {
        program: "h2load",
        package: "nghttp2-client",
        reason: "loads the front with HTTP/2",
        purposes: &[Purpose::Bench],
    },
    Package {
        program: "xz",
        package: "xz-utils",
        reason: "unpacks the modules of other kernels",
        purposes: &[Purpose::Kernels],
    },
    Package {
        program: "ipset",
        package: "ipset",
        reason: "is what the packet bench compares with, with iptables before it",
        purposes: &[Purpose::Bench],
    },
    Package {
        program: "iptables-legacy",
        package: "iptables",
        reason: "asks ipset for each packet",
        purposes: &[Purpose::Bench],
    },
    Package {
        program: "xdp-filter",
        package: "xdp-tools",
        reason: "is what the packet bench compares with",
        purposes: &[Purpose::Bench],
    },
    Package {
        program: "ethtool",
        package: "ethtool",
        reason: "makes a veth pair take frames without XDP",
        purposes: &[Purpose::Bench],
    },
    Package {
        program: "npm",
        package: "npm",
        reason: "installs Express, Backbone and the browser driver",
        purposes: TEST_AND_DEMO,
    },
];

/// Installs what is missing.
pub(super) fn install(purpose: Purpose) -> Result<()> {
    let missing = needed(purpose).filter(|package| !package.is_there());
    let (peers, missing): (Vec<&Package>, Vec<&Package>) = missing.partition(|package| package.is_peer());
    install_peers(&peers);
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|package| package.package).collect();
    if is_debian() && may_install() && process::is_root() {
        return debian::install(&names);
    }
    let reasons: Vec<String> = missing.iter().map(|package| package.line()).collect();
    bail!(
        "missing programs:\n{}\nhint: sudo apt-get install {} (or what your system calls them)",
        reasons.join("\n"),
        names.join(" ")
    );
}

/// What a bench compares with is left out if it cannot be installed; its rows say so.
fn install_peers(peers: &[&Package]) {
    let names: Vec<&str> = peers.iter().map(|package| package.package).collect();
    let installed =
        names.is_empty() || (is_debian() && may_install() && process::is_root() && debian::install(&names).is_ok());
    if !installed {
        say(&format!("the bench leaves out what is not there: {}", names.join(" ")));
    }
}

/// Prints what a purpose needs.
pub(super) fn list(purpose: Purpose) {
    for package in needed(purpose) {
        let state = if package.is_there() { "there" } else { "missing" };
        println!("{state:8}{}", package.line());
    }
}

fn needed(purpose: Purpose) -> impl Iterator<Item = &'static Package> {
    PACKAGES
        .iter()
        .filter(move |package| package.purposes.contains(&purpose) || package.purposes.contains(&Purpose::Build))
}

impl Package {
    /// Whether only benches need it.
    fn is_peer(&self) -> bool {
        self.purposes == [Purpose::Bench]
    }

    fn is_there(&self) -> bool {
        process::exists(self.program)
    }

    fn line(&self) -> String {
        format!("  {:<10} (package {}): {}", self.program, self.package, self.reason)
    }
}
