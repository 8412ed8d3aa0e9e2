//! The local stack: the whole product in one process, on embedded engines.

pub mod engines;
pub mod queue;
pub mod table;
