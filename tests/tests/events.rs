//! The events of AWS, through the conversion that the functions run in Lambda: API Gateway's HTTP API (payload 2.0) into
//! the routers and back, the schedule's tick and the queue's batches into `token-refresh`.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test ends at the first thing that is not as it should be"
)]

use anyhow::{Context as _, ensure};
use axum::Router;
use chrono::Duration;
use grantkeeper::error::Error;
use grantkeeper::lambda::StartError;
use grantkeeper_local::stack::Options;
use grantkeeper_sandbox::LogEntry;
use grantkeeper_tests::world::RETURN_URL;
use grantkeeper_tests::{Browser, World};
use http::StatusCode;
use lambda_http::request::LambdaRequest;
use lambda_http::tower::ServiceExt as _;
use lambda_http::{Adapter, Context, LambdaEvent};
use serde_json::{Value, json};
use token_refresh::Event;
use url::Url;

const HEALTH: &str = include_str!("fixtures/api_health.json");
const REGISTER_CLIENT: &str = include_str!("fixtures/api_register_client.json");
const CALLBACK: &str = include_str!("fixtures/api_callback.json");
const CALLBACK_FORM_POST: &str = include_str!("fixtures/api_callback_form_post.json");
const QUEUE_BATCH: &str = include_str!("fixtures/queue_batch.json");
const SCHEDULE_TICK: &str = include_str!("fixtures/schedule_tick.json");

/// Where the API of the fixtures answers.
const PUBLIC_URL: &str = "https://auth.example.com";

/// A world whose functions believe to be at [`PUBLIC_URL`]: cookies are those of https.
async fn world() -> World {
    World::with(|options| Options { public_url: Some(PUBLIC_URL.to_owned()), ..options }).await.unwrap()
}

fn fixture(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// An event of the HTTP API for another call, as API Gateway would write it.
fn api_event(method: &str, path: &str, key: Option<&str>, body: Option<(&str, &[u8])>) -> Value {
    let mut event = fixture(HEALTH);
    event["rawPath"] = json!(path);
    event["requestContext"]["http"]["path"] = json!(path);
    event["requestContext"]["http"]["method"] = json!(method);
    if let Some(key) = key {
        event["headers"]["authorization"] = json!(format!("Bearer {key}"));
    }
    if let Some((content_type, body)) = body {
        event["headers"]["content-type"] = json!(content_type);
        event["headers"]["content-length"] = json!(body.len().to_string());
        // API Gateway leaves JSON and text as they are and encodes everything else, forms too.
        let plain = content_type == "application/json";
        event["body"] = if plain { json!(String::from_utf8_lossy(body)) } else { json!(base64(body)) };
        event["isBase64Encoded"] = json!(!plain);
    }
    event
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |chunk: &[u8]| {
        let part = |index: usize| u32::from(chunk.get(index).copied().unwrap_or_default());
        let bits = part(0) << 16 | part(1) << 8 | part(2);
        (0..4)
            .map(move |place| match place <= chunk.len() {
                true => char::from(ALPHABET[(bits >> (18 - 6 * place) & 63) as usize]),
                false => '=',
            })
            .collect::<String>()
    };
    bytes.chunks(3).map(group).collect()
}

/// What Lambda returns to API Gateway for this event.
async fn invoke(router: Router, event: Value) -> anyhow::Result<Value> {
    let payload: LambdaRequest = serde_json::from_value(event)?;
    let answer = Adapter::from(router).oneshot(LambdaEvent::new(payload, Context::default())).await?;
    Ok(serde_json::to_value(answer)?)
}

/// The body of an answer as JSON.
fn body(answer: &Value) -> Value {
    serde_json::from_str(answer["body"].as_str().unwrap_or_default()).unwrap_or_default()
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn refreshes(world: &World) -> Vec<LogEntry> {
    let is_refresh = |entry: &LogEntry| entry.grant_type.as_deref() == Some("refresh_token");
    world.token_requests().into_iter().filter(is_refresh).collect()
}

#[tokio::test]
async fn an_open_call_is_answered_as_api_gateway_wants_it() {
    let world = world().await;
    let answer = invoke(administration::router(world.stack.broker.clone()), fixture(HEALTH)).await.unwrap();
    assert_eq!(answer["statusCode"], 200);
    assert_eq!(answer["isBase64Encoded"], false);
    assert_eq!(body(&answer), json!({ "status": "ok" }));
    assert_eq!(answer["headers"]["content-type"], "application/json");
    assert_eq!(answer["headers"]["cache-control"], "no-store");
    assert_eq!(answer["multiValueHeaders"], json!({}));
    assert_eq!(answer["cookies"], json!([]));
}

#[tokio::test]
async fn a_call_without_a_key_is_refused() {
    let world = world().await;
    let router = client_registration::router(world.stack.broker.clone());
    let answer = invoke(router, fixture(REGISTER_CLIENT)).await.unwrap();
    assert_eq!(answer["statusCode"], 401);
    assert_eq!(answer["headers"]["content-type"], "application/problem+json");
    // Problems are text, too.
    assert_eq!(answer["isBase64Encoded"], false);
    assert_eq!(body(&answer)["code"], "unauthenticated");
}

#[tokio::test]
async fn a_body_arrives_the_same_in_base64() {
    let world = world().await;
    let register = |encoded: bool| {
        let mut event = fixture(REGISTER_CLIENT);
        event["headers"]["authorization"] = json!(format!("Bearer {}", world.stack.keys.superuser.expose()));
        if encoded {
            event["body"] = json!(base64(text(&event, "/body").as_bytes()));
            event["isBase64Encoded"] = json!(true);
        }
        invoke(client_registration::router(world.stack.broker.clone()), event)
    };
    for encoded in [false, true] {
        let answer = register(encoded).await.unwrap();
        assert_eq!(answer["statusCode"], 201, "{answer}");
        let client = body(&answer);
        assert_eq!(client["name"], "Example – Kalender");
        assert!(text(&client, "/redirect_uri").starts_with("https://auth.example.com/callback/"));
    }
}

#[tokio::test]
async fn a_callback_that_belongs_to_no_flow_is_refused_with_a_page() {
    let world = world().await;
    let answer = invoke(redirect_callback::router(world.stack.broker.clone()), fixture(CALLBACK)).await.unwrap();
    assert_eq!(answer["statusCode"], 400);
    assert_eq!(answer["headers"]["grantkeeper-code"], "unknown_state");
    assert_eq!(answer["headers"]["content-type"], "text/html; charset=utf-8");
    assert_eq!(answer["isBase64Encoded"], false);
    assert!(text(&answer, "/body").starts_with("<!doctype html>"), "{answer}");
    assert_eq!(answer["headers"]["location"], Value::Null);
}

#[tokio::test]
async fn a_form_post_is_sent_on_with_its_encoding_kept() {
    let world = world().await;
    let answer =
        invoke(redirect_callback::router(world.stack.broker.clone()), fixture(CALLBACK_FORM_POST)).await.unwrap();
    let callback = fixture(CALLBACK);
    assert_eq!(answer["statusCode"], 303, "{answer}");
    let (path, query) = (text(&callback, "/rawPath"), text(&callback, "/rawQueryString"));
    assert_eq!(answer["headers"]["location"], format!("{path}?{query}"));
}

#[tokio::test]
async fn the_whole_flow_runs_on_events() {
    let world = world().await;
    let broker = || world.stack.broker.clone();
    let json_body = |value: &Value| value.to_string().into_bytes();
    let (platform, runner) = (world.stack.keys.platform.expose(), world.stack.keys.runner.expose());

    let new = json!({ "owner": "ada", "clients": [world.client()], "return_url": RETURN_URL });
    let event = api_event("POST", "/v1/connect-sessions", Some(platform), Some(("application/json", &json_body(&new))));
    let opened = invoke(authorization_start::router(broker()), event).await.unwrap();
    assert_eq!(opened["statusCode"], 201, "{opened}");
    let connect_path = path_of(text(&body(&opened), "/connect_url")).unwrap();

    let page = api_event("GET", &connect_path, None, None);
    let page = invoke(authorization_start::router(broker()), page).await.unwrap();
    assert_eq!((&page["statusCode"], &page["isBase64Encoded"]), (&json!(200), &json!(false)));

    // The button: a form, and so in base64. The cookie leaves headers for the list that API Gateway sends one by one.
    let mut press =
        api_event("POST", &connect_path, None, Some(("application/x-www-form-urlencoded", b"scope=write&scope=email")));
    press["headers"]["origin"] = json!(PUBLIC_URL);
    let pressed = invoke(authorization_start::router(broker()), press).await.unwrap();
    assert_eq!(pressed["statusCode"], 303, "{pressed}");
    assert_eq!(pressed["headers"]["set-cookie"], Value::Null);
    assert_eq!(pressed["cookies"].as_array().map(Vec::len), Some(1), "{pressed}");
    let set_cookie = text(&pressed, "/cookies/0");
    assert!(set_cookie.starts_with("__Host-gk-flw_"), "{set_cookie}");
    for attribute in ["Secure", "HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=600"] {
        assert!(set_cookie.split("; ").any(|part| part == attribute), "{set_cookie}");
    }

    let authorization_url = Url::parse(text(&pressed, "/headers/location")).unwrap();
    let redirected = Browser::new().consent(&authorization_url, "ada").await.unwrap();
    let mut callback = fixture(CALLBACK);
    callback["rawPath"] = json!(redirected.path());
    callback["rawQueryString"] = json!(redirected.query());
    callback["cookies"] = json!(["theme=dark", set_cookie.split(';').next()]);
    // `iss` comes encoded in the raw query, which is what the function reads.
    assert!(text(&callback, "/rawQueryString").contains("iss=http%3A%2F%2F127.0.0.1"), "{callback}");
    let returned = invoke(redirect_callback::router(broker()), callback.clone()).await.unwrap();
    assert_eq!(returned["statusCode"], 303, "{returned}");
    let again = invoke(redirect_callback::router(broker()), callback).await.unwrap();
    assert_eq!(again["headers"]["grantkeeper-code"], "already_used", "{again}");

    let return_url = Url::parse(text(&returned, "/headers/location")).unwrap();
    let part = |name: &str| return_url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    let complete = format!("/v1/flows/{}/complete", part("flow").unwrap());
    let completion = json_body(&json!({ "completion_code": part("completion_code"), "owner": "ada" }));
    let event = api_event("POST", &complete, Some(platform), Some(("application/json", &completion)));
    let completed = invoke(redirect_callback::router(broker()), event).await.unwrap();
    assert_eq!(completed["statusCode"], 201, "{completed}");
    let credential = text(&body(&completed), "/id").to_owned();

    let event = api_event("POST", &format!("/v1/credentials/{credential}/token"), Some(runner), None);
    let read = invoke(credentials::router(broker()), event).await.unwrap();
    assert_eq!(read["statusCode"], 200, "{read}");
    assert_eq!(body(&read)["generation"], 1);
    assert_eq!(body(&read)["scopes"], json!(["openid", "offline_access", "read", "write", "email"]));
}

fn path_of(url: &str) -> anyhow::Result<String> {
    let path = url.strip_prefix(PUBLIC_URL).context("another origin")?;
    ensure!(!path.contains('?'), "a query");
    Ok(path.to_owned())
}

/// API Gateway delivers `rawPath` decoded, so what the function gets may not be a URL any more.
#[tokio::test]
async fn decoded_paths_are_refused_and_break_nothing() {
    let world = world().await;
    for (path, status) in [
        ("/callback/clé du client", 400),
        ("/callback/100%", 400),
        ("/callback/a\"<b>", 400),
        // The parser of URLs takes a backslash for a slash.
        ("/callback/a\\b", 404),
        ("/callback/a/b", 404),
        ("/callback/a?code=1&state=2", 400),
        ("/callback/a#b", 400),
        ("/callback/", 404),
        ("//callback/a", 404),
        ("", 404),
    ] {
        let mut event = fixture(CALLBACK);
        event["rawPath"] = json!(path);
        let answer = invoke(redirect_callback::router(world.stack.broker.clone()), event).await.unwrap();
        assert_eq!(answer["statusCode"], status, "{path}: {answer}");
    }
}

/// `lambda_http` puts the name of a stage before the path: only `$default` works, and the template has no other.
#[tokio::test]
async fn a_named_stage_is_not_served() {
    let world = world().await;
    for path in ["/v1/health", "/dev/v1/health"] {
        let mut event = fixture(HEALTH);
        event["rawPath"] = json!(path);
        event["requestContext"]["stage"] = json!("dev");
        let answer = invoke(administration::router(world.stack.broker.clone()), event).await.unwrap();
        assert_eq!(answer["statusCode"], 404, "{path}");
    }
}

/// What `token-refresh` returns to the event source.
async fn handle(world: &World, event: Value) -> Result<Value, StartError> {
    Ok(token_refresh::handle(&world.stack.broker, Event::parse(event)?).await?)
}

#[tokio::test]
async fn a_batch_reports_only_the_pieces_that_should_come_again() {
    let world = world().await;
    let credential = connect(&world).await;
    world.advance(Duration::minutes(55));

    // Due; unreadable; and a generation that is not there any more, or not yet.
    let mut batch = fixture(QUEUE_BATCH);
    let unreadable = text(&batch, "/Records/1/messageId").to_owned();
    for (record, generation) in [(0, 1), (2, 7)] {
        let work = json!({ "credential": credential, "project": world.stack.project, "generation": generation });
        batch["Records"][record]["body"] = json!(work.to_string());
    }
    let only_the_unreadable = json!({ "batchItemFailures": [{ "itemIdentifier": unreadable }] });
    assert_eq!(handle(&world, batch.clone()).await.unwrap(), only_the_unreadable);
    assert_eq!(generation(&world, &credential).await, 2);

    // Queues deliver twice: the work is done, so nothing is.
    assert_eq!(handle(&world, batch).await.unwrap(), only_the_unreadable);
    assert_eq!(refreshes(&world).len(), 1);
}

#[tokio::test]
async fn a_batch_of_the_queue_apart_is_worked_off_like_any_other() {
    let world = world().await;
    let credential = connect(&world).await;
    world.advance(Duration::minutes(55));
    let mut batch = fixture(QUEUE_BATCH);
    batch["Records"].as_array_mut().unwrap().truncate(1);
    let apart = "arn:aws:sqs:eu-central-1:123456789012:grantkeeper-ApartQueue-1A2B3C4D5E6F";
    batch["Records"][0]["eventSourceARN"] = json!(apart);
    let work =
        json!({ "credential": credential, "project": world.stack.project, "generation": 1, "apart": true }).to_string();
    batch["Records"][0]["body"] = json!(work);
    assert_eq!(handle(&world, batch).await.unwrap(), json!({ "batchItemFailures": [] }));
    assert_eq!(generation(&world, &credential).await, 2);
}

#[tokio::test]
async fn work_for_a_credential_that_is_gone_is_done() {
    let world = world().await;
    let mut batch = fixture(QUEUE_BATCH);
    batch["Records"].as_array_mut().unwrap().truncate(1);
    assert_eq!(handle(&world, batch).await.unwrap(), json!({ "batchItemFailures": [] }));
}

#[tokio::test]
async fn the_tick_hands_out_what_is_due() {
    let world = world().await;
    let credential = connect(&world).await;
    assert_eq!(handle(&world, fixture(SCHEDULE_TICK)).await.unwrap(), json!({ "queued": 0 }));

    world.advance(Duration::minutes(55));
    assert_eq!(handle(&world, fixture(SCHEDULE_TICK)).await.unwrap(), json!({ "queued": 1 }));
    // The local stack reads the queue, as the event source mapping does.
    for _ in 0..100 {
        if generation(&world, &credential).await == 2 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(generation(&world, &credential).await, 2);
    assert_eq!(refreshes(&world).len(), 1);
}

#[test]
fn another_event_is_refused() {
    for event in [json!({}), json!({ "tick": false }), json!({ "Records": "none" }), fixture(HEALTH), Value::Null] {
        assert!(matches!(Event::parse(event), Err(Error::Malformed(_))));
    }
}

/// Connects over HTTP, on the world's own address: browsers are sent to [`PUBLIC_URL`], where nobody listens.
async fn connect(world: &World) -> String {
    let session = world.open_session(json!({})).await.unwrap();
    let here = |url: &str| url.replace(PUBLIC_URL, &world.stack.url);
    let browser = Browser::new();
    let authorization_url = browser.start(&here(&session.text("/connect_url")), &[]).await.unwrap();
    let callback = browser.consent(&authorization_url, "ada").await.unwrap();
    let returned = browser.get(&here(callback.as_str())).await.unwrap();
    let completed = world.complete(&returned.location().unwrap(), "ada").await.unwrap();
    assert_eq!(completed.status, StatusCode::CREATED, "{}", completed.body);
    completed.text("/id")
}

async fn generation(world: &World, credential: &str) -> u64 {
    let answer = world.platform().get(&format!("/v1/credentials/{credential}")).await.unwrap();
    answer.body["generation"].as_u64().unwrap_or_default()
}
