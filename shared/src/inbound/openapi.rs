//! What the OpenAPI documents of the functions have in common: the frame, the problems, the headers. Nothing of it runs
//! in a function; a test assembles the document, which the function `administration` serves.

use std::collections::BTreeMap;

use utoipa::openapi::header::Header;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoParams, IntoResponses, Modify, ToResponse, ToSchema};

use super::problem::WhoCanAct;
use crate::protocol::advice::Severity;

/// The document without any call: the functions' documents are merged into it.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Grantkeeper",
        version = "1",
        description = "A broker of OAuth credentials. Unknown fields are refused. Ids are opaque texts with a type \
                       prefix, times are RFC 3339 in UTC, durations are whole seconds. Errors are RFC 9457 problem \
                       documents.",
        contact(),
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    servers((url = "/", description = "The stack that serves this document")),
    security(("bearer" = [])),
    tags(
        (name = "providers", description = "The catalogue: third parties and their facts"),
        (name = "clients", description = "Our registrations at authorization servers"),
        (name = "connect", description = "Connecting a person's account"),
        (name = "flows", description = "Authorization requests in flight, and the callback that ends them"),
        (name = "credentials", description = "Standing authorizations and their access tokens"),
        (name = "administration", description = "Projects, API keys, health")
    ),
    components(schemas(ProblemDocument), responses(RefusalPage, FailurePage)),
    modifiers(&Shared)
)]
pub struct Frame;

/// Adds the security scheme and the problems.
struct Shared;

impl Modify for Shared {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("An API key, `gk_…`, with the role that the call needs."));
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer.build()));
        for (status, name, description) in PROBLEMS {
            components.responses.insert(name.to_owned(), problem(status, description).into());
        }
    }
}

/// The problems, by their status: the name of the response and when it comes.
const PROBLEMS: [(u16, &str, &str); 13] = [
    (400, "Malformed", "The body, the query or a header cannot be read."),
    (401, "Unauthenticated", "The request has no valid API key."),
    (403, "Forbidden", "The key may not do this."),
    (404, "NotFound", "There is no such object, or it is another project's: the two are not told apart."),
    (409, "Conflict", "The state of an object, or a name, stands against it."),
    (410, "Gone", "It was there and its time is over."),
    (413, "TooLarge", "The body is too large."),
    (415, "UnsupportedMediaType", "The body is not `application/json`."),
    (422, "Invalid", "Fields are wrong; `errors` names them."),
    (423, "Suspended", "The credential is suspended."),
    (500, "Internal", "A fault of the broker, in fixed words."),
    (502, "BadGateway", "The authorization server refused the client or misbehaved."),
    (503, "Unavailable", "The authorization server or a dependency is unavailable, or a refresh is under way."),
];

fn problem(status: u16, description: &str) -> Response {
    let response = ResponseBuilder::new().description(description).content(
        "application/problem+json",
        ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build(),
    );
    let text = || ObjectBuilder::new().schema_type(Type::String);
    match status {
        401 => response.header("WWW-Authenticate", Header::new(text())),
        503 => {
            let seconds =
                ObjectBuilder::new().schema_type(Type::Integer).description(Some("When to try again (seconds)"));
            response.header("Retry-After", Header::new(seconds))
        }
        _ => response,
    }
    .build()
}

fn refer(statuses: &[u16]) -> BTreeMap<String, RefOr<Response>> {
    PROBLEMS
        .iter()
        .filter(|(status, ..)| statuses.contains(status))
        .map(|(status, name, _)| (status.to_string(), Ref::from_response_name(*name).into()))
        .collect()
}

/// The problem of one status.
pub struct Problem<const STATUS: u16>;

impl<const STATUS: u16> IntoResponses for Problem<STATUS> {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        refer(&[STATUS])
    }
}

/// The problems that every call with a key can have.
pub struct AnyCall;

impl IntoResponses for AnyCall {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        refer(&[400, 401, 403, 500, 503])
    }
}

/// The problems of a call with a JSON body.
pub struct WithBody;

impl IntoResponses for WithBody {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        refer(&[413, 415, 422])
    }
}

/// An RFC 9457 problem document.
#[derive(ToSchema)]
#[schema(as = Problem)]
pub struct ProblemDocument {
    /// `urn:grantkeeper:problem:` and the code.
    #[schema(rename = "type")]
    pub kind: String,
    /// One sentence, the same for every problem of this code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// Stable code.
    pub code: String,
    /// What happened here.
    pub detail: String,
    /// What to check or do, in order.
    pub advice: Vec<String>,
    /// Whether the same request can succeed later.
    pub retryable: bool,
    /// Who can do something about it.
    pub who_can_act: WhoCanAct,
    /// The request, as the log names it.
    pub request_id: String,
    /// The fields that are wrong; with status 422.
    pub errors: Option<Vec<WrongField>>,
    /// Why new consent is needed, as a stable code; with `reauthorization_required`.
    pub reason: Option<String>,
    /// Where the owner consents again, where the project has such a page; with `reauthorization_required`.
    pub reauthorize_url: Option<String>,
    /// The error code of RFC 6749 §5.2; with `client_rejected`.
    pub provider_error: Option<String>,
    /// The authorization server's HTTP status; with `client_rejected`.
    pub provider_status: Option<u16>,
    /// What is known of the cause; with problems at the authorization server. `detail` and `advice` are then its own.
    pub diagnosis: Option<Diagnosis>,
}

/// The cause of a problem at the authorization server.
#[derive(ToSchema)]
pub struct Diagnosis {
    /// Stable code of the cause, finer than that of the problem.
    pub code: String,
    /// One sentence, the same for every cause of this code.
    pub title: String,
    /// What happened, with the URLs, scopes, status and RFC code that are safe to show.
    pub detail: String,
    /// How bad it is.
    pub severity: Severity,
}

/// A field that is wrong.
#[derive(ToSchema)]
pub struct WrongField {
    /// JSON Pointer (RFC 6901) into the body.
    pub pointer: String,
    /// Stable code.
    pub code: String,
    /// What is wrong and what would be right.
    pub detail: String,
}

/// A page that says why a browser's request was refused.
#[derive(ToResponse)]
#[response(
    description = "The request was refused; the page says why",
    content_type = "text/html",
    headers(("Grantkeeper-Code" = String, description = "The refusal, as a stable code"))
)]
pub struct RefusalPage(pub String);

/// A page that asks the browser to come again.
#[derive(ToResponse)]
#[response(
    description = "The broker or a dependency failed; nothing was consumed, so the browser may come again",
    content_type = "text/html"
)]
pub struct FailurePage(pub String);

/// The header that names the project.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct ProjectHeader {
    /// The project of the call; needed when the key is for more than one.
    #[param(rename = "Grantkeeper-Project")]
    pub project: Option<String>,
}

/// The header that names the person.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct UserHeader {
    /// The platform's id of the person for whom the key acts. Where a body has `owner`, it must be the same; a platform
    /// key needs it to read a token.
    #[param(rename = "Grantkeeper-User")]
    pub user: Option<String>,
}

/// The header that makes a creating call repeatable.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct IdempotencyHeader {
    /// The same key and body give the same answer for 24 hours; the same key with another body is 409.
    #[param(rename = "Idempotency-Key", min_length = 1, max_length = 255)]
    pub key: Option<String>,
}

/// Turns each composition of flattened structs into one object. As compositions they could never hold: a part that
/// refuses unknown fields refuses those of the other parts.
pub struct Flattened;

impl Modify for Flattened {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let Some(components) = document.components.as_mut() else {
            return;
        };
        let parts = components.schemas.clone();
        for (_, schema) in components.schemas.iter_mut() {
            let RefOr::T(Schema::AllOf(composition)) = schema else {
                continue;
            };
            let mut whole =
                ObjectBuilder::new().schema_type(Type::Object).description(composition.description.take()).build();
            for part in &composition.items {
                if let Some(object) = object(part, &parts) {
                    whole.properties.extend(object.properties.clone());
                    whole.required.extend(object.required.iter().cloned());
                }
            }
            *schema = RefOr::T(Schema::Object(whole));
        }
    }
}

fn object<'a>(
    part: &'a RefOr<Schema>,
    parts: &'a BTreeMap<String, RefOr<Schema>>,
) -> Option<&'a utoipa::openapi::schema::Object> {
    match part {
        RefOr::T(Schema::Object(object)) => Some(object),
        RefOr::T(_) => None,
        RefOr::Ref(reference) => object(parts.get(reference.ref_location.rsplit('/').next()?)?, parts),
    }
}

#[cfg(test)]
mod tests {
    use super::super::problem::Problem;
    use super::*;
    use crate::error::Error;
    use crate::protocol::advice::Situation;
    use std::collections::BTreeSet;
    use utoipa::PartialSchema as _;

    #[test]
    fn a_problem_is_written_as_it_is_described() {
        let RefOr::T(Schema::Object(described)) = ProblemDocument::schema() else {
            panic!("a problem is an object");
        };
        for error in [
            Error::NotFound,
            Error::field("/name", "missing_field", "This field is required."),
            Error::ReauthorizationRequired {
                reason: "invalid_grant".to_owned(),
                url: Some("https://app.example".to_owned()),
            },
            Error::ClientRejected { error: "invalid_client", status: Some(401) },
            Error::GrantRejected.advised(&Situation::default()),
            Error::Revoked,
            Error::AccountMismatch,
            Error::PolicyForbids { code: "password_grant_forbidden", detail: "The policy forbids it.".to_owned() },
        ] {
            let body = Problem::from(&error).body("req_1");
            let written: BTreeSet<&String> = body.as_object().unwrap().keys().collect();
            assert!(written.is_subset(&described.properties.keys().collect()), "{body}");
            assert!(written.is_superset(&described.required.iter().collect()), "{body}");
            assert!(PROBLEMS.iter().any(|(status, ..)| body["status"] == *status), "{body}");
            if let Some(diagnosis) = body["diagnosis"].as_object() {
                let RefOr::T(Schema::Object(described)) = Diagnosis::schema() else {
                    panic!("a diagnosis is an object");
                };
                assert!(diagnosis.keys().eq(described.properties.keys()), "{body}");
            }
        }
    }
}
