//! The local stack, tested from outside: a backend calls the API, a browser follows the pages, and the sandbox's log says
//! what the provider saw. One binary, because linking costs more than running.

#[cfg(test)]
mod bounds;
#[cfg(test)]
mod callback;
#[cfg(test)]
mod completion;
#[cfg(test)]
mod fields;
#[cfg(test)]
mod flow;
#[cfg(test)]
mod interrupted;
#[cfg(test)]
mod isolation;
#[cfg(test)]
mod odd_answers;
#[cfg(test)]
mod outages;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod races;
#[cfg(test)]
mod reads;
#[cfg(test)]
mod recovery;
#[cfg(test)]
mod refresh;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod restart;
#[cfg(test)]
mod return_urls;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod stored;

/// What a test returns.
type Outcome = anyhow::Result<()>;
