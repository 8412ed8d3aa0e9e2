//! The local stack, tested from outside: a backend calls the API, a browser follows the pages, and the sandbox's log says
//! what the provider saw. One binary, because linking costs more than running.

#[cfg(test)]
#[cfg(test)]
mod attempts;
#[cfg(test)]
mod batch;
#[cfg(test)]
mod bounds;
#[cfg(test)]
mod breaker;
#[cfg(test)]
mod callback;
#[cfg(test)]
mod change;
#[cfg(test)]
mod client_check;
#[cfg(test)]
mod client_rotation;
#[cfg(test)]
mod client_secrets;
#[cfg(test)]
mod client_settings;
#[cfg(test)]
mod completion;
#[cfg(test)]
mod delivery;
#[cfg(test)]
mod disconnect;
#[cfg(test)]
mod fields;
#[cfg(test)]
mod flow;
#[cfg(test)]
mod forms;
#[cfg(test)]
mod found;
#[cfg(test)]
mod idle;
#[cfg(test)]
mod imports;
mod interrupted;
#[cfg(test)]
mod isolation;
#[cfg(test)]
mod made;
#[cfg(test)]
mod odd_answers;
#[cfg(test)]
mod outages;
#[cfg(test)]
mod own_client;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod providers;
#[cfg(test)]
mod races;
#[cfg(test)]
mod raw;
#[cfg(test)]
mod reads;
#[cfg(test)]
mod reauthorize;
#[cfg(test)]
mod recovery;
#[cfg(test)]
mod refresh;
#[cfg(test)]
mod reports;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod restart;
#[cfg(test)]
mod return_urls;
#[cfg(test)]
mod scopes;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod shaping;
#[cfg(test)]
mod sharing;
#[cfg(test)]
mod stored;
#[cfg(test)]
mod suspend;
#[cfg(test)]
mod trials;
#[cfg(test)]
mod values;
#[cfg(test)]
mod variables;
#[cfg(test)]
mod vaults;

/// What a test returns.
type Outcome = anyhow::Result<()>;
