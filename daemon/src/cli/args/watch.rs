//! What may be typed to watch the gate.

use clap::Args;

#[derive(Debug, Args)]
pub(in crate::cli) struct EventsArgs {
    /// Wait for what happens from here on, and print it line by line; with --json, an object a line
    #[arg(long, short)]
    pub(in crate::cli) follow: bool,
    /// How many of those before to list
    #[arg(long, value_name = "COUNT", default_value_t = 20, conflicts_with = "follow")]
    pub(in crate::cli) last: usize,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct TopArgs {
    /// How often to look: 500ms, 1s, 10s
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    pub(in crate::cli) every: String,
    /// Look twice, this long apart, print what there is to see, and end
    #[arg(long)]
    pub(in crate::cli) once: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct WhyArgs {
    /// The `ref` of a problem document; without it, the last refusals are listed
    #[arg(value_name = "REF")]
    pub(in crate::cli) reference: Option<String>,
    /// How many refusals to list
    #[arg(long, value_name = "COUNT", default_value_t = 20, conflicts_with = "reference")]
    pub(in crate::cli) last: usize,
}
