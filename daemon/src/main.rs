//! The `portcullis` command.

use portcullis::cli::{self, ExitStatus};

fn main() -> ExitStatus {
    cli::main()
}
