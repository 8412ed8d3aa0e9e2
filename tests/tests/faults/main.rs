//! What goes wrong with workers, providers, store and vault, and what must come of it (REFRESH.md b.4): the whole matrix
//! over the deployed store and vault on the embedded engines.
//!
//! `cargo test --test faults matrix::strict` runs one kind of provider, `-- --list` names all tests.

mod bench;
mod case;
mod cell;
mod matrix;
mod meanwhile;
mod point;
mod provider;
mod trap;
mod worker_parts;

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::Arguments;

use bench::Keeping;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => Arc::new(runtime),
        Err(error) => {
            eprintln!("no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let trials = matrix::trials(&runtime, Keeping::SecretsManager);
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(runtime);
    conclusion.exit_code()
}
