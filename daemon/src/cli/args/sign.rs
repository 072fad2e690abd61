//! What may be typed to sign a request.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub(in crate::cli) struct SignArgs {
    /// The HTTP method
    #[arg(value_name = "METHOD")]
    pub(in crate::cli) method: String,
    /// The URL to call, through the gate
    #[arg(value_name = "URL")]
    pub(in crate::cli) url: String,
    /// The body, or @FILE to read it from a file
    #[arg(long, value_name = "BODY|@FILE", allow_hyphen_values = true)]
    pub(in crate::cli) data: Option<String>,
    /// A header field to send; may be given several times
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    pub(in crate::cli) headers: Vec<String>,
    /// Where to open the session, if not at the origin of URL
    #[arg(long, value_name = "URL")]
    pub(in crate::cli) session_url: Option<String>,
    /// Sign by a ticket in the query, for what cannot send header fields
    #[arg(long)]
    pub(in crate::cli) ticket: bool,
    /// Certificates to trust with https, in PEM form, in place of the system's
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) ca: Option<PathBuf>,
}
