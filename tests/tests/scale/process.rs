//! What this process used: processor time, memory. And how far it is.

use std::io::Write as _;
use std::time::{Duration, Instant};

/// The unit of processor times in `/proc` (proc_pid_stat(5)), the same on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// The processor time of this process until now, on all cores together (seconds). `None` where there is no `/proc`.
fn processor_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program, in parentheses, may have spaces; user time is the 12th field after it, system time the 13th.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let (user, system) = (fields.next()?.parse::<f64>().ok()?, fields.next()?.parse::<f64>().ok()?);
    Some((user + system) / TICKS_PER_SECOND)
}

/// The most memory that this process had since [`Watch::start`] (MiB). `None` where there is no `/proc`.
fn peak_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<f64>().ok()? / 1024.0)
}

/// What a part of the program used.
#[derive(Debug, Clone, Copy, Default)]
pub struct Used {
    /// Seconds on the clock.
    pub elapsed: f64,
    /// Seconds of processors, all cores together, where the system says so.
    pub processor: Option<f64>,
    /// The peak of memory (MiB), where the system says so.
    pub memory: Option<f64>,
}

impl Used {
    /// Adds what a further part used.
    pub fn add(&mut self, other: Self) {
        self.elapsed += other.elapsed;
        self.processor = other.processor.map(|seconds| self.processor.unwrap_or_default() + seconds);
        self.memory = other.memory.map(|peak| self.memory.unwrap_or_default().max(peak));
    }

    /// How many of so many things were done in a second of one core.
    pub fn per_core_second(&self, things: usize) -> Option<f64> {
        self.processor.filter(|seconds| *seconds > 0.0).map(|seconds| things as f64 / seconds)
    }
}

/// Watches a part of the program.
pub struct Watch {
    begun: Instant,
    processor: Option<f64>,
}

impl Watch {
    /// From now. The peak of memory begins anew.
    pub fn start() -> Self {
        // proc_pid_clear_refs(5). Where it is not possible, the peak is that of the whole process, which is no less.
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        Self { begun: Instant::now(), processor: processor_seconds() }
    }

    /// What was used since.
    pub fn stop(&self) -> Used {
        let processor = processor_seconds().zip(self.processor).map(|(now, then)| now - then);
        Used { elapsed: self.begun.elapsed().as_secs_f64(), processor, memory: peak_memory() }
    }
}

/// A bar on stderr.
pub struct Progress {
    what: &'static str,
    all: usize,
    begun: Instant,
    shown: Instant,
}

impl Progress {
    const EVERY: Duration = Duration::from_secs(1);
    const WIDTH: usize = 30;

    /// Of so many things.
    pub fn new(what: &'static str, all: usize) -> Self {
        Self { what, all, begun: Instant::now(), shown: Instant::now() }
    }

    /// So many are done.
    pub fn at(&mut self, done: usize) {
        if self.shown.elapsed() < Self::EVERY && done < self.all {
            return;
        }
        self.shown = Instant::now();
        let full = done * Self::WIDTH / self.all.max(1);
        let bar = format!("{}{}", "#".repeat(full), "-".repeat(Self::WIDTH.saturating_sub(full)));
        let seconds = self.begun.elapsed().as_secs();
        eprint!("\r{:<12} [{bar}] {done}/{} {seconds} s", self.what, self.all);
        if done >= self.all {
            eprintln!();
        }
        // A bar that is not to be seen is no reason to stop.
        let _ = std::io::stderr().flush();
    }
}
