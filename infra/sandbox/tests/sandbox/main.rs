//! The sandbox as its clients see it: every test drives the router.

#[cfg(test)]
mod admin;
#[cfg(test)]
mod api;
#[cfg(test)]
mod authorize;
#[cfg(test)]
mod client_auth;
#[cfg(test)]
mod code;
#[cfg(test)]
mod concurrency;
#[cfg(test)]
mod fault_rules;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod grants;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod log;
#[cfg(test)]
mod metadata;
#[cfg(test)]
mod persistence;
#[cfg(test)]
mod pose;
#[cfg(test)]
mod presented;
#[cfg(test)]
mod refresh;
#[cfg(test)]
mod revoke;
#[cfg(test)]
mod scopes;
#[cfg(test)]
mod scripted;
#[cfg(test)]
mod skew;
#[cfg(test)]
mod socket;
#[cfg(test)]
mod token_request;
#[cfg(test)]
mod token_response;
