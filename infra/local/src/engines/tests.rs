mod secrets;
mod tables;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

/// Sends one request to the engines by hand and returns the status line.
async fn send_raw(engines: &Engines, headers: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(engines.address).await.unwrap();
    let request = format!(
        "POST / HTTP/1.1\r\nhost: {}\r\nx-amz-target: secretsmanager.ListSecrets\r\nconnection: close\r\n\
         content-length: 2\r\n{headers}\r\n{{}}",
        engines.address
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_request_without_this_runs_access_key_is_refused() {
    let engines = Engines::start(None).await.unwrap();
    let other = Engines::start(None).await.unwrap();
    let authorization =
        |engines: &Engines| format!("authorization: AWS4-HMAC-SHA256 Credential={}/20260101\r\n", engines.access.id);
    assert_eq!(engines.access.id.len(), 20);
    assert_eq!(send_raw(&engines, &authorization(&engines)).await, "HTTP/1.1 200 OK");
    for refused in [
        String::new(),
        authorization(&other),
        "authorization: AWS4-HMAC-SHA256 Credential=/20260101\r\n".to_owned(),
        format!("{}origin: http://evil.example\r\n", authorization(&engines)),
    ] {
        assert_eq!(send_raw(&engines, &refused).await, "HTTP/1.1 403 Forbidden", "{refused}");
    }
}

#[tokio::test]
async fn the_environment_names_every_engine() {
    let engines = Engines::start(None).await.unwrap();
    let environment = engines.environment();
    let endpoint = format!("http://{}", engines.address);
    for name in ["AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_SECRETS_MANAGER", "AWS_ENDPOINT_URL_SQS"] {
        assert!(environment.contains(&(name.to_owned(), endpoint.clone())), "{name}");
    }
}

#[tokio::test]
async fn engines_are_reached_from_elsewhere_and_outlive_those_who_do() {
    let engines = Engines::start(None).await.unwrap();
    let environment: BTreeMap<String, String> = engines.environment().into_iter().collect();
    for end in ["dropped", "shut down"] {
        let elsewhere = Engines::elsewhere(&environment, engines.queue_url()).unwrap();
        assert_eq!(elsewhere.queue_url(), engines.queue_url());
        let secrets = aws_sdk_secretsmanager::Client::new(&elsewhere.sdk_config());
        secrets.create_secret().name(end).secret_string("kept").send().await.unwrap();
        match end {
            "dropped" => drop(elsewhere),
            _ => elsewhere.shutdown().await,
        }
    }
    let secrets = aws_sdk_secretsmanager::Client::new(&engines.sdk_config());
    assert_eq!(secrets.list_secrets().send().await.unwrap().secret_list().len(), 2);

    for missing in [ENDPOINT, KEY_ID, SECRET_KEY] {
        let mut incomplete = environment.clone();
        incomplete.remove(missing);
        assert!(Engines::elsewhere(&incomplete, engines.queue_url()).is_err(), "{missing}");
    }
    let odd = BTreeMap::from([(ENDPOINT.to_owned(), "https://dynamodb.us-east-1.amazonaws.com".to_owned())]);
    assert!(Engines::elsewhere(&odd, engines.queue_url()).is_err());
}
