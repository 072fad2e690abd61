//! What may be typed. Values stay text here, so that what is wrong with them is said in our own words.

mod ban;
mod papers;
mod sign;
mod watch;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub(super) use ban::{BanAddArgs, BanEditArgs, BanExportArgs, BanFlushArgs, BanImportArgs, BanListArgs, BanVerb};
pub(super) use papers::{CompletionsArgs, ConfigVerb, ManArgs};
pub(super) use sign::SignArgs;
pub(super) use watch::{EventsArgs, TopArgs, WhyArgs};

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
    /// Say nothing on standard error but errors: no notes, no progress
    #[arg(long, short, global = true)]
    pub(super) quiet: bool,
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
    /// Take the last change of bans or exemptions back
    Undo,
    /// Tell what operators did, the last first
    Audit(AuditArgs),
    /// Look after the file that outlives the daemon
    #[command(subcommand)]
    Store(StoreVerb),
    /// Look at rules, try them, and put them in force
    #[command(subcommand)]
    Rules(RulesVerb),
    /// Have the running gate read its whole configuration anew
    Reload(TrialArgs),
    /// Tell whether verdicts have consequences, or change it until the next start
    Mode(ModeArgs),
    /// Let a change stand that was made with --confirm
    Confirm(ConfirmArgs),
    /// Explain a refusal, or list the last ones
    Why(WhyArgs),
    /// Tell what happened, or what happens
    Events(EventsArgs),
    /// Watch the running gate: traffic, drops, offenders, rules
    Top(TopArgs),
    /// Sign a request and print it as a curl command
    Sign(SignArgs),
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigVerb),
    /// Print completions for a shell
    Completions(CompletionsArgs),
    /// Print the man page, or write those of all commands
    Man(ManArgs),
    /// Print the OpenAPI document of the control socket
    #[command(name = "openapi")]
    OpenApi,
    /// What `run` starts for itself
    #[command(hide = true)]
    Helper(HelperArgs),
}

#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    pub(super) config: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct HelperArgs {
    #[arg(long)]
    pub(super) log_format: String,
    #[arg(long)]
    pub(super) log_level: tracing::Level,
}

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Compare the kernel with the ban list first, and repair it (exit status 1: they differed)
    #[arg(long)]
    pub(super) verify: bool,
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
    /// For how long; for good unless told
    #[arg(long = "for", value_name = "DURATION")]
    pub(super) span: Option<String>,
    /// Until when, instead: 2027-01-15T09:30:00Z
    #[arg(long, value_name = "TIME", conflicts_with = "span")]
    pub(super) until: Option<String>,
    /// Why, for whoever reads the list later
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(super) reason: String,
}

#[derive(Debug, Subcommand)]
pub(super) enum StoreVerb {
    /// Read all of it, and tell what is there or what is damaged
    Check(ConfigArgs),
    /// Give back what it does not need
    Compact(ConfigArgs),
    /// Write its bans as `ban import` reads them, while no daemon runs
    Export(ConfigArgs),
}

#[derive(Debug, Args)]
pub(super) struct AuditArgs {
    /// How many
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    pub(super) last: usize,
}

#[derive(Debug, Subcommand)]
pub(super) enum SessionVerb {
    /// List the sessions that the gate remembers
    List,
    /// Tell what a session did, when, and what each rule said to it
    #[command(visible_alias = "show")]
    Timeline(SessionArgs),
    /// End a session for good
    Revoke(SessionArgs),
    /// Take the end of a session back, whether it was revoked or banned
    Restore(SessionArgs),
    /// Seal session ids under a new key from here on; open sessions go on
    RotateKey,
}

#[derive(Debug, Args)]
pub(super) struct SessionArgs {
    /// The session, as it stands in the list
    #[arg(value_name = "SESSION", allow_hyphen_values = true)]
    pub(super) id: String,
}

#[derive(Debug, Subcommand)]
pub(super) enum RulesVerb {
    /// Check the rules of a configuration and its rule files, and warn of those that can never fire
    Check(ConfigArgs),
    /// Tell what rules would have said to recorded calls (exit status 1: some would be refused)
    Test(RulesTestArgs),
    /// Tell how the rules of a configuration differ from those in force (exit status 1: they do)
    Diff(ConfigArgs),
    /// Propose rules from calls of good sessions, recorded or live; they only watch
    Learn(RulesLearnArgs),
    /// Let rules of a file enforce that have been quiet while they watched
    Promote(RulesPromoteArgs),
    /// Print the operations of an OpenAPI description (JSON or YAML) as TOML
    #[command(name = "import-openapi")]
    ImportOpenApi(OpenApiArgs),
    /// Have the running gate read its rules anew; wrong ones leave those in force as they are
    Reload(TrialArgs),
}

#[derive(Debug, Args)]
pub(super) struct TrialArgs {
    /// Take the change back after this time, unless `portcullis confirm` comes before: 60s, 5m
    #[arg(long, value_name = "DURATION")]
    pub(super) confirm: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct ModeArgs {
    /// What is wanted; without it, it is told what holds
    #[arg(value_name = "monitor|enforce")]
    pub(super) mode: Option<String>,
    /// The share of the sessions on which verdicts have consequences, with `enforce`: 10%
    #[arg(long, value_name = "PERCENT", requires = "mode")]
    pub(super) share: Option<String>,
    #[command(flatten)]
    pub(super) trial: TrialArgs,
}

#[derive(Debug, Args)]
pub(super) struct ConfirmArgs {
    /// Take it back at once, instead
    #[arg(long)]
    pub(super) take_back: bool,
}

#[derive(Debug, Args)]
pub(super) struct OpenApiArgs {
    /// The description
    #[arg(value_name = "FILE.yaml|FILE.json")]
    pub(super) file: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct RulesLearnArgs {
    /// Sessions that made a call, before anything is proposed about it
    #[arg(long, value_name = "COUNT", default_value_t = 500)]
    pub(super) sessions: usize,
    /// The share of them, in percent, in which the call that it needs came before
    #[arg(long, value_name = "PERCENT", default_value_t = 99.5)]
    pub(super) certainty: f32,
    /// Have the running gate record calls for so long, and learn from those: 10m
    #[arg(
        long,
        value_name = "DURATION",
        conflicts_with = "file",
        required_unless_present = "file"
    )]
    pub(super) live: Option<String>,
    /// The calls, one JSON object a line: at (seconds), session, method, path, status, and score or refused
    #[arg(value_name = "FILE.jsonl")]
    pub(super) file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct RulesPromoteArgs {
    /// For how long the gate must have watched without a violation: 12h, 7d
    #[arg(long, value_name = "DURATION", default_value = "7d")]
    pub(super) after: String,
    /// Promote without asking the running gate what it saw
    #[arg(long)]
    pub(super) force: bool,
    /// Have the gate read its rules anew, and take that back after this time, unless `portcullis confirm` comes before
    #[arg(long, value_name = "DURATION")]
    pub(super) confirm: Option<String>,
    /// The file with the rules
    #[arg(value_name = "FILE.toml")]
    pub(super) file: PathBuf,
    /// The rules, by their ids
    #[arg(value_name = "RULE", required = true)]
    pub(super) rules: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct RulesTestArgs {
    #[command(flatten)]
    pub(super) config: ConfigArgs,
    /// The calls, one JSON object a line: method, path, and whatever else matters of at (seconds), session, user, address,
    /// headers, body, status, answer
    #[arg(value_name = "FILE.jsonl")]
    pub(super) file: PathBuf,
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
