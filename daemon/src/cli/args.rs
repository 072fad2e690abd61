//! What may be typed. Values stay text here, so that what is wrong with them is said in our own words.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

const SOCKET_VARIABLE: &str = "PORTCULLIS_SOCKET";
const DEFAULT_SOCKET: &str = "/run/portcullis/control.sock";
/// Where the configuration is looked for.
pub(super) const DEFAULT_CONFIG: &str = "/etc/portcullis/portcullis.toml";

const AFTER_HELP: &str = "Exit status: 0 done, or the answer is yes; 1 failed, or the answer is no; \
    2 wrong usage, wrong configuration, or the daemon cannot be reached.";

/// A gate in front of an HTTP API: signed sessions, business rules, and drops at the network card.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, max_term_width = 100, after_help = AFTER_HELP)]
pub(super) struct LowArgs {
    #[command(flatten)]
    pub(super) global: GlobalArgs,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Args)]
pub(super) struct GlobalArgs {
    /// The control socket of the daemon [env: PORTCULLIS_SOCKET] [default: /run/portcullis/control.sock]
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Print JSON, for programs
    #[arg(long, global = true)]
    pub(super) json: bool,
}

impl GlobalArgs {
    /// The option wins over the environment, and that over the default.
    pub(super) fn socket(&self) -> PathBuf {
        let from_environment = || std::env::var_os(SOCKET_VARIABLE).filter(|path| !path.is_empty());
        match (&self.socket, from_environment()) {
            (Some(path), _) => path.clone(),
            (None, Some(path)) => path.into(),
            (None, None) => DEFAULT_SOCKET.into(),
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the gate in the foreground
    Run(ConfigArgs),
    /// Check a configuration and tell what it would run
    Check(ConfigArgs),
    /// Take a pinned packet layer off the interfaces, after the daemon has ended
    Detach(ConfigArgs),
    /// Tell what the running gate does
    Status(StatusArgs),
    /// Ban addresses and networks
    #[command(subcommand)]
    Ban(BanVerb),
    /// Exempt addresses and networks from every ban
    #[command(subcommand)]
    Allow(AllowVerb),
    /// Look at sessions and end them
    #[command(subcommand)]
    Session(SessionVerb),
    /// Explain a refusal, or list the last ones
    Why(WhyArgs),
    /// Sign a request and print it as a curl command
    Sign(SignArgs),
}

#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    pub(super) config: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Compare the kernel with the ban list first, and repair it (exit status 1: they differed)
    #[arg(long)]
    pub(super) verify: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum BanVerb {
    /// Ban an address or a network, or change its ban
    Add(BanAddArgs),
    /// End a ban
    #[command(visible_alias = "delete")]
    Del(NetworkArgs),
    /// List the bans in force
    List,
    /// Tell what happens to an address, and why (exit status 0: it is kept out, 1: it is not)
    Check(AddressArgs),
}

#[derive(Debug, Args)]
pub(super) struct BanAddArgs {
    /// An address or a network: 192.0.2.7, 192.0.2.0/24, 2001:db8::/48
    #[arg(value_name = "ADDRESS|NETWORK")]
    pub(super) network: String,
    /// For how long: 90s, 1h, 1h30m, 2d
    #[arg(long = "for", value_name = "DURATION", default_value = "24h")]
    pub(super) span: String,
    /// Why, for whoever reads the list later
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(super) reason: String,
    /// Ban a network that is wider than IPv4 /8 or IPv6 /19
    #[arg(long)]
    pub(super) force: bool,
}

#[derive(Debug, Args)]
pub(super) struct NetworkArgs {
    /// An address or a network, as it stands in the list
    #[arg(value_name = "ADDRESS|NETWORK")]
    pub(super) network: String,
}

#[derive(Debug, Args)]
pub(super) struct AddressArgs {
    /// One address: 192.0.2.7, 2001:db8::7
    #[arg(value_name = "ADDRESS")]
    pub(super) address: String,
}

#[derive(Debug, Subcommand)]
pub(super) enum AllowVerb {
    /// Never ban an address or a network; bans inside it end
    Add(AllowAddArgs),
    /// Take an address or a network out of the never-ban set
    #[command(visible_alias = "delete")]
    Del(NetworkArgs),
    /// List the never-ban set
    List,
}

#[derive(Debug, Args)]
pub(super) struct AllowAddArgs {
    /// An address or a network: 192.0.2.7, 192.0.2.0/24, 2001:db8::/48
    #[arg(value_name = "ADDRESS|NETWORK")]
    pub(super) network: String,
    /// Why, for whoever reads the list later
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(super) reason: String,
}

#[derive(Debug, Subcommand)]
pub(super) enum SessionVerb {
    /// List the sessions that the gate remembers
    List,
    /// End a session for good
    Revoke(SessionArgs),
    /// Seal session ids under a new key from here on; open sessions go on
    RotateKey,
}

#[derive(Debug, Args)]
pub(super) struct SessionArgs {
    /// The session, as it stands in the list
    #[arg(value_name = "SESSION", allow_hyphen_values = true)]
    pub(super) id: String,
}

#[derive(Debug, Args)]
pub(super) struct WhyArgs {
    /// The `ref` of a problem document; without it, the last refusals are listed
    #[arg(value_name = "REF")]
    pub(super) reference: Option<String>,
    /// How many refusals to list
    #[arg(long, value_name = "COUNT", default_value_t = 20, conflicts_with = "reference")]
    pub(super) last: usize,
}

#[derive(Debug, Args)]
pub(super) struct SignArgs {
    /// The HTTP method
    #[arg(value_name = "METHOD")]
    pub(super) method: String,
    /// The URL to call, through the gate
    #[arg(value_name = "URL")]
    pub(super) url: String,
    /// The body, or @FILE to read it from a file
    #[arg(long, value_name = "BODY|@FILE", allow_hyphen_values = true)]
    pub(super) data: Option<String>,
    /// A header field to send; may be given several times
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    pub(super) headers: Vec<String>,
    /// Where to open the session, if not at the origin of URL
    #[arg(long, value_name = "URL")]
    pub(super) session_url: Option<String>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        LowArgs::command().debug_assert();
    }

    #[test]
    fn global_options_go_anywhere() {
        for line in [
            "portcullis --json --socket /s status",
            "portcullis status --socket /s --json",
        ] {
            let args = LowArgs::try_parse_from(line.split(' ')).unwrap();
            assert!(args.global.json && args.global.socket().as_os_str() == "/s", "{line}");
        }
    }

    #[test]
    fn the_help_names_the_default_socket() {
        let help = LowArgs::command().render_help().to_string();
        assert!(
            help.contains(SOCKET_VARIABLE) && help.contains(DEFAULT_SOCKET),
            "{help}"
        );
    }

    #[test]
    fn a_session_may_begin_with_a_hyphen() {
        LowArgs::try_parse_from(["portcullis", "session", "revoke", "-bcdefgh12345678"]).unwrap();
    }
}
