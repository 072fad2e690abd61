//! What may be typed to get what belongs to an installation: the configuration, completions, man pages.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use clap_complete::Shell;

use super::ConfigArgs;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ConfigVerb {
    /// Print a configuration file with every key, its default, and a word on it
    Default,
    /// Tell what each key is, and whether the file, the environment or nobody said so
    Show(ConfigArgs),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct CompletionsArgs {
    /// For this shell
    #[arg(value_name = "SHELL")]
    pub(in crate::cli) shell: Shell,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ManArgs {
    /// Write a page for each command into this directory, instead of printing the first
    #[arg(value_name = "DIRECTORY")]
    pub(in crate::cli) directory: Option<PathBuf>,
}
