//! The protocol, pure: no `async`, no clock, no network. One RFC topic per file.

pub mod advice;
pub mod authorization;
pub mod discovery;
pub mod id_token;
pub mod pkce;
pub mod scope;
pub mod template;
pub mod token;
