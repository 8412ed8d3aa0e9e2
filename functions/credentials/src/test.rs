//! `/v1/credentials/{id}/test`: whether a credential works, step by step.

use axum::Json;
use axum::extract::{Path, State};
use grantkeeper::broker::Broker;
use grantkeeper::broker::access::Caller;
use grantkeeper::broker::test_credential::{StepVerdict, TestOrder, TestStep, Tested};
use grantkeeper::error::Result;
use grantkeeper::inbound::body::OptionalBody;
use grantkeeper::inbound::openapi::{AnyCall, Problem, ProjectHeader, UserHeader, WithBody};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::told::Told;

/// A step of a test.
#[derive(Serialize, ToSchema)]
#[schema(as = TestStepResult)]
pub(crate) struct StepView {
    /// Which.
    step: TestStep,
    /// What came of it.
    verdict: StepVerdict,
    /// What happened.
    detail: String,
    /// What to check or do, in order.
    advice: Vec<String>,
}

/// A test.
#[derive(Serialize, ToSchema)]
#[schema(as = TestResult)]
pub(crate) struct TestView {
    /// All six steps, in order.
    steps: Vec<StepView>,
    /// The HTTP status of the API's answer; null when it was not asked or did not answer.
    status: Option<u16>,
    /// The API's answer without secrets, at most 4 kB; of anything but JSON and forms only its type and length.
    payload: Option<Value>,
}

impl From<Tested> for TestView {
    fn from(tested: Tested) -> Self {
        let step = |(step, verdict, finding)| {
            let Told { detail, advice, .. } = Told::from(finding);
            StepView { step, verdict, detail, advice }
        };
        Self { steps: tested.steps.into_iter().map(step).collect(), status: tested.status, payload: tested.payload }
    }
}

/// Tests a credential.
///
/// What is wrong with the credential is in the steps. With `rehearse_expiry` its access token is refreshed, or fetched
/// again, as if it had expired.
#[utoipa::path(
    post, path = "/v1/credentials/{id}/test", operation_id = "test_credential", tag = "credentials",
    params(("id" = String, Path, description = "The credential"), ProjectHeader, UserHeader),
    request_body = Option<TestOrder>,
    responses(
        (status = 200, description = "What came of each step", body = TestView),
        AnyCall, WithBody, Problem<404>, Problem<409>
    )
)]
pub(crate) async fn test(
    State(broker): State<Broker>,
    caller: Caller,
    Path(id): Path<String>,
    OptionalBody(order): OptionalBody<TestOrder>,
) -> Result<Json<TestView>> {
    Ok(Json(broker.test_credential(&caller, &id, order).await?.into()))
}
