//! No answer, or not now.

use super::{Advice, Failure, Situation, Step, hint, words};

/// What to look at, by the step: where the address that was asked is configured.
fn setting(step: Step) -> &'static str {
    match step {
        Step::ApiRequest => "api_base_url",
        Step::Discovery => "issuer",
        Step::Revocation => "revocation_endpoint",
        Step::Introspection => "introspection_endpoint",
        _ => "token_endpoint",
    }
}

/// No complete answer came.
pub(super) fn no_answer(situation: &Situation<'_>) -> Option<Advice> {
    let who = words::who(situation);
    let setting = setting(situation.step);
    let subject = words::capital(&who);
    Some(match situation.failure? {
        Failure::Dns => Advice::error(
            "dns_failed",
            "The host name is not known",
            format!("The host name of {who} could not be resolved; nothing was sent."),
        )
        .check(format!("Check the host in {setting} for a typing error."))
        .check("Check that every variable in the URL has the right value, such as a tenant or a region.")
        .check("Check that the name is public: a name of a private network cannot be resolved here."),
        Failure::Connect => Advice::error(
            "connect_failed",
            "No connection could be made",
            format!("{subject} took no connection; nothing was sent."),
        )
        .check("Check the provider's status page.")
        .check(format!("Check the host in {setting}."))
        .check("Where the server is behind a firewall, check that it lets this stack in."),
        Failure::Tls => Advice::error(
            "tls_failed",
            "The TLS handshake failed",
            format!("The certificate of {who} was not accepted, or no TLS version is common; nothing was sent."),
        )
        .check("Check that the certificate is valid, is for this host name, and is sent with its intermediate certificates.")
        .check("A certificate of a private CA is accepted only when the operator of this stack has added that CA.")
        .check("Check that the server speaks TLS 1.2 or newer."),
        Failure::Timeout => Advice::error(
            "timeout",
            "The answer did not come in time",
            format!("{subject} did not answer in time; it may have acted on the request all the same."),
        )
        .check("Try again in a minute.")
        .check("Check the provider's status page."),
        Failure::TooLarge => Advice::error(
            "answer_too_large",
            "The answer is too long",
            format!("{subject} sent an answer that is longer than is read."),
        )
        .check(format!("Check that {setting} is that endpoint and not a page or a download.")),
        Failure::Interrupted => Advice::error(
            "connection_interrupted",
            "The connection was lost",
            format!("The connection to {who} was lost before the answer was complete; it may have acted on the request."),
        )
        .check("Try again in a minute.")
        .check("Check the provider's status page."),
        Failure::Proxy => Advice::error(
            "proxy_failed",
            "The proxy of this stack gave no connection",
            format!("The proxy that the operator set could not be reached, or would not connect to {who}; nothing was sent."),
        )
        .check("Tell the operator of this stack: the proxy has to run, and to let this host through.")
        .check(format!("Check the host in {setting}: a proxy also refuses names that it cannot resolve.")),
        Failure::Unbuildable => Advice::error(
            "request_not_built",
            "The request could not be built",
            format!("No request to {who} could be made of what is configured and what was given; nothing was sent."),
        )
        .check("Check content_type, headers and body of the request in the client's settings against each other.")
        .check("Check the values that the owner gave: quotes, backslashes and line breaks do not fit every text body."),
        Failure::Refused => Advice::error(
            "blocked_by_policy",
            "The address may not be reached",
            format!("The policy of this stack forbids {who}, or what its host resolves to; nothing was sent."),
        )
        .check(format!("Check that {setting} is an https URL on port 443 at a public host."))
        .check("A private server is reached only when the operator of this stack has listed its origin.")
        .check("Where the client's endpoint was moved to another origin, connect its accounts again."),
    })
}

/// The other side says: later.
pub(super) fn not_now(situation: &Situation<'_>) -> Option<Advice> {
    let meaning = situation.error.map(hint::meaning);
    let answered = words::answered(situation);
    let wait = match situation.retry_after_seconds {
        Some(seconds) => format!("Try again in {seconds} seconds, as the answer asks."),
        None => "Try again in a minute.".to_owned(),
    };
    if situation.status == Some(429) || matches!(meaning, Some(hint::RATE_LIMITED | "slow_down")) {
        let advice = Advice::error("rate_limited", "Too many requests", format!("{answered}: too many requests."));
        return Some(
            advice
                .check(wait)
                .check("Check the provider's limits for this client; several programs may share one.")
                .check("Read the token from here each time instead of asking for a new one."),
        );
    }
    let silent = matches!(meaning, None | Some("other"));
    if meaning == Some("temporarily_unavailable") || (silent && situation.status == Some(503)) {
        let advice = Advice::error(
            "provider_busy",
            "The provider is unavailable for now",
            format!("{answered}: it is overloaded or under maintenance."),
        );
        return Some(advice.check(wait).check("Check the provider's status page."));
    }
    if meaning == Some("server_error") || (silent && situation.status.is_some_and(|status| status >= 500)) {
        let advice =
            Advice::error("provider_failed", "The provider failed", format!("{answered}: a fault on its side."));
        return Some(advice.check(wait).check("Check the provider's status page.").check(
            "When it stays so, check the request: some servers fail over a parameter that they do not expect.",
        ));
    }
    None
}
