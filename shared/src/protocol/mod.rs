//! The protocol, pure: no `async`, no clock, no network. One RFC topic per file.

pub mod advice;
pub(crate) mod answer;
pub mod authorization;
pub mod dialect;
pub mod discovery;
pub mod exchange;
pub(crate) mod headers;
pub mod id_token;
pub mod introspection;
pub mod merge_patch;
pub mod pkce;
pub mod redact;
pub mod revocation;
pub mod scope;
pub mod template;
pub mod token;
