//! `/v1/credentials/{id}/report`: the API refused a token.

use axum::Json;
use axum::extract::{Path, State};
use grantkeeper::broker::Broker;
use grantkeeper::broker::access::Caller;
use grantkeeper::broker::report_token::{ReportVerdict, Reported, TokenReport};
use grantkeeper::error::Result;
use grantkeeper::inbound::body::Body;
use grantkeeper::inbound::openapi::{AnyCall, Problem, ProjectHeader, UserHeader, WithBody};
use serde::Serialize;
use utoipa::ToSchema;

use crate::told::Told;

/// What became of a report.
#[derive(Serialize, ToSchema)]
#[schema(as = ReportAnswer)]
pub(crate) struct ReportView {
    /// What became of it.
    verdict: ReportVerdict,
    /// Why, as a stable code.
    code: String,
    /// What happened.
    detail: String,
    /// What to check or do, in order.
    advice: Vec<String>,
    /// The generation that there is now.
    generation: u64,
    /// A refresh brought a newer token for this report.
    refreshed: bool,
    /// The request to the API is worth repeating, with the token that is read now.
    retry: bool,
}

impl From<Reported> for ReportView {
    fn from(reported: Reported) -> Self {
        let (refreshed, retry) = (reported.refreshed(), reported.retry());
        let Told { code, detail, advice } = reported.finding.into();
        Self { verdict: reported.verdict, code, detail, advice, generation: reported.generation, refreshed, retry }
    }
}

/// Reports that the API refused a token.
///
/// At most one refresh comes of it, however many reports there are of one generation; none where a newer token is there,
/// or where the API's answer shows that another token would not help.
#[utoipa::path(
    post, path = "/v1/credentials/{id}/report", operation_id = "report_token", tag = "credentials",
    params(("id" = String, Path, description = "The credential"), ProjectHeader, UserHeader),
    request_body = TokenReport,
    responses(
        (status = 200, description = "What became of it, and what to do", body = ReportView),
        AnyCall, WithBody, Problem<404>, Problem<409>, Problem<422>, Problem<423>
    )
)]
pub(crate) async fn report(
    State(broker): State<Broker>,
    caller: Caller,
    Path(id): Path<String>,
    Body(report): Body<TokenReport>,
) -> Result<Json<ReportView>> {
    Ok(Json(broker.report_token(&caller, &id, report).await?.into()))
}
