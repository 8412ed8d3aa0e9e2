//! The product in several processes that share one store: many readers at once, and workers that are killed.

#[cfg(test)]
mod kills;
#[cfg(test)]
mod readers;

/// What a test returns.
type Outcome = anyhow::Result<()>;

/// The program of the parts.
const PART: &str = env!("CARGO_BIN_EXE_part");

/// Each test keeps the whole machine busy, and two at once would only measure each other.
#[cfg(test)]
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
