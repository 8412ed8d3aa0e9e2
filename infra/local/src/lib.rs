//! The local stack: the whole product in one process, on embedded engines.
//!
//! The same routers and the same event handler as in Lambda, mounted on loopback, over a DynamoDB, a Secrets Manager and
//! an SQS that run in this process and are reached through the real AWS SDKs.

pub mod doctor;
pub mod engines;
pub mod keys;
pub mod queue;
mod rooms;
mod seed;
pub mod stack;
pub mod table;
pub mod vault;
