//! The `portcullis` command.

use mimalloc::MiMalloc;
use portcullis::cli::{self, ExitStatus};

/// Gives pages back when connections rest; see docs/dependencies.md.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitStatus {
    cli::main()
}
