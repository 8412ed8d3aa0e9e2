//! Holds `infra/template.yaml` and `samconfig.toml` against exact tables: what each function may do, is told and
//! serves. It needs the tools of `tests/requirements.txt` and fails without them.

#[path = "template/reading.rs"]
mod reading;

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use grantkeeper::vault::VaultKind;
use serde_json::{Value, json};

use reading::{
    at, functions, grants, items, properties, python, read, resources, resources_of, root, run, template, text,
};

const TABLE: &str = "Table.Arn";
const DUE_INDEX: &str = "${Table.Arn}/index/due";
const ROOT_KEY: &str = "RootKey";
const QUEUES: [&str; 2] = ["RefreshQueue.Arn", "ApartQueue.Arn"];
const SECRETS: &str = "arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}:secret:${SecretPrefix}/*";

/// One function: its package, its time limit in seconds, its routes, the variables that only some have, and what it
/// may do besides reading the root key.
struct Row {
    package: &'static str,
    timeout: u64,
    routes: &'static [&'static str],
    variables: &'static [&'static str],
    table: &'static [&'static str],
    due_index: &'static [&'static str],
    secrets: &'static [&'static str],
    queues: &'static [&'static str],
}

/// What the store does at all. A transaction needs the rights of its parts; none of them is a `ConditionCheck`.
const ALL_ITEM_ACTIONS: &[&str] = &["BatchGetItem", "DeleteItem", "GetItem", "PutItem", "Query", "UpdateItem"];
/// Without lists, names that are freed and `Idempotency-Key`.
const ITEM_ACTIONS: &[&str] = &["GetItem", "PutItem", "UpdateItem"];
/// Those, what a refresh reads of its journal and of how its client is doing, and the deletion of what is sealed.
const ITEM_AND_DELETE_ACTIONS: &[&str] = &["DeleteItem", "GetItem", "PutItem", "Query", "UpdateItem"];

/// What the functions that send requests to providers are told besides.
const PROVIDERS_AND_WAY_OUT: &[&str] =
    &["GRANTKEEPER_PROVIDERS_DIR", "GRANTKEEPER_PRIVATE_ORIGINS", "GRANTKEEPER_PROXY", "GRANTKEEPER_CA_BUNDLE"];
const QUEUES_AND_WAY_OUT: &[&str] = &[
    "GRANTKEEPER_REFRESH_QUEUE_URL",
    "GRANTKEEPER_APART_QUEUE_URL",
    "GRANTKEEPER_PRIVATE_ORIGINS",
    "GRANTKEEPER_PROXY",
    "GRANTKEEPER_CA_BUNDLE",
];

const ROWS: &[Row] = &[
    Row {
        package: "client-registration",
        timeout: 10,
        routes: &["/v1/providers", "/v1/providers/{proxy+}", "/v1/clients", "/v1/clients/{proxy+}"],
        variables: PROVIDERS_AND_WAY_OUT,
        table: ALL_ITEM_ACTIONS,
        due_index: &[],
        secrets: &["CreateSecret", "DeleteSecret", "PutSecretValue"],
        queues: &[],
    },
    Row {
        package: "authorization-start",
        timeout: 10,
        routes: &["/v1/connect-sessions", "/v1/connect-sessions/{proxy+}", "/connect/{token}"],
        variables: &["GRANTKEEPER_PRIVATE_ORIGINS"],
        table: ALL_ITEM_ACTIONS,
        due_index: &[],
        secrets: &[],
        queues: &[],
    },
    Row {
        package: "redirect-callback",
        timeout: 20,
        routes: &["/callback/{client_key}", "/v1/flows/{proxy+}"],
        variables: QUEUES_AND_WAY_OUT,
        table: ITEM_ACTIONS,
        due_index: &[],
        secrets: &["CreateSecret", "GetSecretValue", "PutSecretValue", "RestoreSecret"],
        queues: &["SendMessage"],
    },
    Row {
        package: "credentials",
        timeout: 20,
        routes: &["/v1/credentials", "/v1/credentials/{proxy+}", "/v1/tokens"],
        variables: QUEUES_AND_WAY_OUT,
        table: ALL_ITEM_ACTIONS,
        due_index: &[],
        secrets: &["CreateSecret", "DeleteSecret", "GetSecretValue", "PutSecretValue", "RestoreSecret"],
        queues: &["SendMessage"],
    },
    Row {
        package: "token-refresh",
        timeout: 20,
        routes: &[],
        variables: QUEUES_AND_WAY_OUT,
        table: ITEM_AND_DELETE_ACTIONS,
        due_index: &["Query"],
        secrets: &["CreateSecret", "DeleteSecret", "GetSecretValue", "PutSecretValue", "RestoreSecret"],
        queues: &["DeleteMessage", "GetQueueAttributes", "ReceiveMessage", "SendMessage"],
    },
    Row {
        package: "administration",
        timeout: 10,
        routes: &[
            "/v1/projects",
            "/v1/projects/{proxy+}",
            "/v1/keys",
            "/v1/keys/{proxy+}",
            "/v1/health",
            "/v1/ready",
            "/v1/openapi.json",
        ],
        variables: &["GRANTKEEPER_BOOTSTRAP_KEY_SHA256"],
        table: ALL_ITEM_ACTIONS,
        due_index: &[],
        secrets: &[],
        queues: &[],
    },
];

#[test]
fn sam_validates_and_lints_the_template() -> Result<()> {
    run("sam", &["validate", "--lint", "-t", "infra/template.yaml"]).map(drop)
}

#[test]
fn cfn_lint_finds_nothing() -> Result<()> {
    run("cfn-lint", &["infra/template.yaml"]).map(drop)
}

#[test]
fn each_package_under_functions_is_one_function_built_from_its_folder() -> Result<()> {
    let functions = functions()?;
    let mut folders = BTreeSet::new();
    for entry in std::fs::read_dir(root().join("functions"))? {
        folders.insert(entry?.file_name().to_string_lossy().into_owned());
    }
    assert_eq!(functions.keys().cloned().collect::<BTreeSet<_>>(), folders);
    assert_eq!(ROWS.iter().map(|row| row.package.to_owned()).collect::<BTreeSet<_>>(), folders);
    for (package, function) in &functions {
        let expected = json!({"BuildMethod": "rust-cargolambda", "BuildProperties": {"Binary": package}});
        assert_eq!(function.metadata, expected, "{package}");
        assert_eq!(function.at("CodeUri"), json!(format!("../functions/{package}")));
        assert_eq!(function.at("Runtime"), json!("provided.al2023"), "{package}");
        assert_eq!(function.at("Handler"), json!("bootstrap"), "{package}");
        assert_eq!(function.at("Architectures"), json!([{"Ref": "Architecture"}]), "{package}");
        assert_eq!(function.at("MemorySize"), json!(256), "{package}");
    }
    Ok(())
}

#[test]
fn nothing_deployed_may_talk_to_insecure_origins() -> Result<()> {
    for file in ["infra/template.yaml", "samconfig.toml"] {
        let text = read(file)?.to_lowercase();
        ensure!(!text.contains("emulated") && !text.contains("insecure"), "{file} names it");
    }
    for row in ROWS {
        let manifest = read(&format!("functions/{}/Cargo.toml", row.package))?;
        let has_default = manifest.lines().any(|line| line.replace(' ', "").starts_with("default="));
        ensure!(!has_default, "{}: a default feature would be part of the deployed build", row.package);
    }
    Ok(())
}

#[test]
fn each_function_may_do_exactly_what_its_row_says() -> Result<()> {
    let functions = functions()?;
    for row in ROWS {
        let function = functions.get(row.package).with_context(|| format!("{} is missing", row.package))?;
        let mut expected = BTreeSet::from([("secretsmanager:GetSecretValue".to_owned(), ROOT_KEY.to_owned())]);
        for (service, actions, resource) in [
            ("dynamodb", row.table, TABLE),
            ("dynamodb", row.due_index, DUE_INDEX),
            ("secretsmanager", row.secrets, SECRETS),
            ("sqs", row.queues, QUEUES[0]),
            ("sqs", row.queues, QUEUES[1]),
        ] {
            expected.extend(actions.iter().map(|action| (format!("{service}:{action}"), resource.to_owned())));
        }
        let mut granted = BTreeSet::new();
        for policy in items(&function.at("Policies")) {
            granted.extend(grants(&policy).with_context(|| row.package)?);
        }
        assert_eq!(granted, expected, "{}", row.package);
        // Each of these would add permissions that no table shows.
        for property in ["Role", "Events", "Connectors", "VpcConfig", "Tracing", "DeadLetterQueue"] {
            assert_eq!(function.at(property), Value::Null, "{} has {property}", row.package);
        }
    }
    Ok(())
}

#[test]
fn the_only_other_role_lets_the_scheduler_invoke_token_refresh() -> Result<()> {
    for (name, resource) in resources()? {
        let kind = resource.pointer("/Type").and_then(Value::as_str).unwrap_or_default();
        let grants_something = kind.starts_with("AWS::IAM::") || kind == "AWS::Serverless::Connector";
        ensure!(!grants_something || name == "RefreshTickRole", "{name} is a {kind}");
    }
    let role = properties("RefreshTickRole")?;
    assert_eq!(role.pointer("/ManagedPolicyArns"), None);
    let trust = items(&at(&role, "/AssumeRolePolicyDocument/Statement"));
    assert_eq!(
        trust,
        [json!({
            "Effect": "Allow",
            "Principal": {"Service": "scheduler.amazonaws.com"},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}},
        })]
    );
    let policies = items(&at(&role, "/Policies"));
    assert_eq!(policies.len(), 1);
    let granted = grants(&at(&role, "/Policies/0/PolicyDocument"))?;
    assert_eq!(granted, BTreeSet::from([("lambda:InvokeFunction".to_owned(), "TokenRefresh.Arn".to_owned())]));
    Ok(())
}

#[test]
fn no_permission_has_a_wildcard_except_the_secrets_under_the_prefix() -> Result<()> {
    fn check(value: &Value) -> Result<()> {
        match value {
            Value::Array(list) => list.iter().try_for_each(check),
            Value::Object(map) => map.iter().try_for_each(|(key, inner)| {
                let is_open =
                    matches!(key.as_str(), "Action" | "Resource" | "Principal") && inner.to_string().contains('*');
                ensure!(!is_open || *inner == json!({ "Fn::Sub": SECRETS }), "{key}: {inner}");
                ensure!(!matches!(key.as_str(), "NotAction" | "NotResource" | "NotPrincipal"), "{key}: {inner}");
                check(inner)
            }),
            _ => Ok(()),
        }
    }
    check(template()?)?;
    // The prefix is part of that resource, so it must not bring a wildcard or a slash of its own.
    assert_eq!(at(template()?, "/Parameters/SecretPrefix/AllowedPattern"), json!("^[a-z][a-z0-9-]{0,31}$"));
    Ok(())
}

#[test]
fn each_function_gets_exactly_the_variables_of_its_row() -> Result<()> {
    let own_url = json!({"Fn::Sub": "https://${HttpApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}"});
    let domain_url = json!({"Fn::If": ["HasDomain", {"Fn::Sub": "https://${DomainName}"}, own_url]});
    let public_url = json!({"Fn::If": ["HasPublicUrl", {"Ref": "PublicUrl"}, domain_url]});
    assert_eq!(at(template()?, "/Outputs/PublicUrl/Value"), public_url);
    let functions = functions()?;
    let config = read("shared/src/config.rs")?;
    for row in ROWS {
        let mut expected = json!({
            "GRANTKEEPER_PUBLIC_URL": public_url,
            "GRANTKEEPER_TABLE": {"Ref": "Table"},
            "GRANTKEEPER_ROOT_KEY": {"Ref": "RootKey"},
            "GRANTKEEPER_SECRET_PREFIX": {"Ref": "SecretPrefix"},
            "GRANTKEEPER_VAULT": {"Ref": "Vault"},
            "GRANTKEEPER_LOG": {"Ref": "LogLevel"},
        });
        let expected = expected.as_object_mut().context("an object")?;
        for &variable in row.variables {
            let source = match variable {
                "GRANTKEEPER_REFRESH_QUEUE_URL" => "RefreshQueue",
                "GRANTKEEPER_APART_QUEUE_URL" => "ApartQueue",
                "GRANTKEEPER_BOOTSTRAP_KEY_SHA256" => "BootstrapKeySha256",
                "GRANTKEEPER_PRIVATE_ORIGINS" => "PrivateOrigins",
                "GRANTKEEPER_PROXY" => "OutboundProxy",
                "GRANTKEEPER_CA_BUNDLE" => "CaBundle",
                "GRANTKEEPER_PROVIDERS_DIR" => "ProvidersDir",
                other => bail!("{other} has no known source"),
            };
            expected.insert(variable.to_owned(), json!({"Ref": source}));
        }
        let function = functions.get(row.package).with_context(|| format!("{} is missing", row.package))?;
        assert_eq!(&function.variables, expected, "{}", row.package);
        for name in function.variables.keys() {
            ensure!(config.contains(&format!("\"{name}\"")), "shared/src/config.rs reads no {name}");
        }
    }
    Ok(())
}

#[test]
fn the_way_out_is_open_by_default_and_the_proxys_password_is_not_echoed() -> Result<()> {
    for name in ["PrivateOrigins", "OutboundProxy", "CaBundle", "ProvidersDir"] {
        let parameter = at(template()?, &format!("/Parameters/{name}"));
        assert_eq!(at(&parameter, "/Default"), json!(""), "{name}");
        assert_eq!(at(&parameter, "/NoEcho") == json!(true), name == "OutboundProxy", "{name}");
    }
    Ok(())
}

#[test]
fn the_vaults_to_choose_from_are_those_that_the_configuration_knows() -> Result<()> {
    let parameter = at(template()?, "/Parameters/Vault");
    let names: Vec<_> = [VaultKind::default(), VaultKind::Sealed].map(VaultKind::as_str).into();
    assert_eq!(at(&parameter, "/AllowedValues"), json!(names));
    assert_eq!(at(&parameter, "/Default"), json!(VaultKind::default().as_str()));
    Ok(())
}

#[test]
fn each_route_goes_to_the_function_of_its_row_and_there_is_no_other() -> Result<()> {
    let mut found = BTreeSet::new();
    let mut served = BTreeSet::new();
    for (name, route) in resources_of("AWS::ApiGatewayV2::Route")? {
        let target = text(&route, "/Target/Fn::Sub")?;
        let integration = target.strip_prefix("integrations/${").and_then(|rest| rest.strip_suffix('}'));
        let integration = properties(integration.with_context(|| format!("{name}: {target}"))?)?;
        assert_eq!(at(&integration, "/IntegrationType"), json!("AWS_PROXY"), "{name}");
        assert_eq!(at(&integration, "/PayloadFormatVersion"), json!("2.0"), "{name}");
        let function = text(&integration, "/IntegrationUri/Fn::GetAtt/0")?;
        let package = properties(&function)?.pointer("/CodeUri").and_then(Value::as_str).map(str::to_owned);
        let package = package.with_context(|| function.clone())?.replace("../functions/", "");
        served.insert(function);
        ensure!(found.insert((text(&route, "/RouteKey")?, package)), "{name} is there twice");
    }
    let expected: BTreeSet<_> = ROWS
        .iter()
        .flat_map(|row| row.routes.iter().map(|path| (format!("ANY {path}"), row.package.to_owned())))
        .collect();
    assert_eq!(found, expected);

    let mut invoked = BTreeSet::new();
    for (name, permission) in resources_of("AWS::Lambda::Permission")? {
        assert_eq!(at(&permission, "/Principal"), json!("apigateway.amazonaws.com"), "{name}");
        assert_eq!(at(&permission, "/Action"), json!("lambda:InvokeFunction"), "{name}");
        let source = "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${HttpApi}/*";
        assert_eq!(at(&permission, "/SourceArn"), json!({"Fn::Sub": source}), "{name}");
        invoked.insert(text(&permission, "/FunctionName/Ref")?);
    }
    assert_eq!(invoked, served);
    Ok(())
}

#[test]
fn time_limits_fit_the_lease_the_gateway_and_the_queue() -> Result<()> {
    let functions = functions()?;
    for row in ROWS {
        let function = functions.get(row.package).with_context(|| format!("{} is missing", row.package))?;
        assert_eq!(function.at("Timeout"), json!(row.timeout), "{}", row.package);
        ensure!(row.timeout < 30, "{}: HTTP API answers for it after 30 seconds", row.package);
        ensure!(row.timeout <= 20, "{}: a lease is made for 20 seconds", row.package);
    }
    let refresh = ROWS.iter().find(|row| row.package == "token-refresh").context("token-refresh")?;
    for queue in ["RefreshQueue", "ApartQueue"] {
        let visibility = at(&properties(queue)?, "/VisibilityTimeout").as_u64().context("a number")?;
        ensure!(
            visibility >= 6 * refresh.timeout,
            "{queue}: {visibility} s is less than six times {} s",
            refresh.timeout
        );
    }
    Ok(())
}

#[test]
fn the_table_is_kept_can_be_restored_and_expires_items_by_delete_after_only() -> Result<()> {
    let expected = json!({
        "Type": "AWS::DynamoDB::Table",
        "DeletionPolicy": "Retain",
        "UpdateReplacePolicy": "Retain",
        "Properties": {
            "BillingMode": "PAY_PER_REQUEST",
            "DeletionProtectionEnabled": {"Ref": "DeletionProtection"},
            "AttributeDefinitions": [
                {"AttributeName": "pk", "AttributeType": "S"},
                {"AttributeName": "sk", "AttributeType": "S"},
                {"AttributeName": "due_shard", "AttributeType": "S"},
                {"AttributeName": "due_at", "AttributeType": "N"},
            ],
            "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            "GlobalSecondaryIndexes": [{
                "IndexName": "due",
                "KeySchema": [
                    {"AttributeName": "due_shard", "KeyType": "HASH"},
                    {"AttributeName": "due_at", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["gen", "client"]},
            }],
            "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": true},
            "SSESpecification": {"SSEEnabled": true},
            "TimeToLiveSpecification": {"AttributeName": "delete_after", "Enabled": true},
        },
    });
    assert_eq!(resources()?.get("Table"), Some(&expected));
    let protection = at(template()?, "/Parameters/DeletionProtection/Default");
    assert_eq!(protection, json!("true"));
    Ok(())
}

#[test]
fn the_root_key_is_generated_kept_and_outside_the_prefix() -> Result<()> {
    // Without `Name` CloudFormation makes one, which has no slash and so is never under the prefix.
    let expected = json!({
        "Type": "AWS::SecretsManager::Secret",
        "DeletionPolicy": "Retain",
        "UpdateReplacePolicy": "Retain",
        "Properties": {
            "Description": "Grantkeeper root key, from which all others are derived",
            "GenerateSecretString": {"PasswordLength": 64, "ExcludePunctuation": true},
        },
    });
    assert_eq!(resources()?.get("RootKey"), Some(&expected));
    Ok(())
}

#[test]
fn refresh_work_is_retried_five_times_then_kept_for_two_weeks() -> Result<()> {
    let queue = json!({
        "SqsManagedSseEnabled": true,
        "VisibilityTimeout": 120,
        "RedrivePolicy": {"deadLetterTargetArn": {"Fn::GetAtt": ["RefreshDeadLetters", "Arn"]}, "maxReceiveCount": 5},
    });
    assert_eq!(properties("RefreshQueue")?, queue);
    assert_eq!(properties("ApartQueue")?, queue);
    let dead_letters = json!({"SqsManagedSseEnabled": true, "MessageRetentionPeriod": 14 * 24 * 3600});
    assert_eq!(properties("RefreshDeadLetters")?, dead_letters);
    // Each queue has workers of its own, so that slow providers hold up only each other.
    let mapping = |queue: &str, concurrency: &str| {
        json!({
            "EventSourceArn": {"Fn::GetAtt": [queue, "Arn"]},
            "FunctionName": {"Ref": "TokenRefresh"},
            "BatchSize": 10,
            "MaximumBatchingWindowInSeconds": 0,
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
            "ScalingConfig": {"MaximumConcurrency": {"Ref": concurrency}},
        })
    };
    let mut mappings = resources_of("AWS::Lambda::EventSourceMapping")?;
    mappings.sort_by(|a, b| a.0.cmp(&b.0));
    let expected = [
        ("ApartQueueMapping".to_owned(), mapping("ApartQueue", "ApartConcurrency")),
        ("RefreshQueueMapping".to_owned(), mapping("RefreshQueue", "RefreshConcurrency")),
    ];
    assert_eq!(mappings, expected);
    for (parameter, usual) in [("RefreshConcurrency", 50), ("ApartConcurrency", 10)] {
        let parameter = at(template()?, &format!("/Parameters/{parameter}"));
        // Fewer than two are refused by AWS.
        assert_eq!((at(&parameter, "/Default"), at(&parameter, "/MinValue")), (json!(usual), json!(2)));
    }
    assert_eq!(at(template()?, "/Outputs/QueueUrl/Value"), json!({"Ref": "RefreshQueue"}));
    assert_eq!(at(template()?, "/Outputs/ApartQueueUrl/Value"), json!({"Ref": "ApartQueue"}));
    Ok(())
}

#[test]
fn the_tick_comes_every_minute_and_is_not_repeated_after_the_next_one() -> Result<()> {
    let tick = json!({
        "Description": "Grantkeeper - find the credentials that are due for refresh",
        "ScheduleExpression": "rate(1 minute)",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {
            "Arn": {"Fn::GetAtt": ["TokenRefresh", "Arn"]},
            "RoleArn": {"Fn::GetAtt": ["RefreshTickRole", "Arn"]},
            "Input": "{\"tick\": true}",
            "RetryPolicy": {"MaximumEventAgeInSeconds": 60},
        },
    });
    assert_eq!(properties("RefreshTick")?, tick);
    // The scheduler invokes asynchronously, and Lambda keeps a retry queue of its own for that.
    let retries = json!({"MaximumEventAgeInSeconds": 60, "MaximumRetryAttempts": 0});
    assert_eq!(at(&properties("TokenRefresh")?, "/EventInvokeConfig"), retries);
    Ok(())
}

#[test]
fn the_access_log_has_the_route_and_never_the_path_or_the_query() -> Result<()> {
    let stages = resources_of("AWS::ApiGatewayV2::Stage")?;
    let [(_, stage)] = stages.as_slice() else { bail!("one stage, {} found", stages.len()) };
    // lambda_http prefixes the name of any other stage to the path.
    assert_eq!(at(stage, "/StageName"), json!("$default"));
    let format = text(stage, "/AccessLogSettings/Format")?;
    let expected = json!({
        "requestId": "$context.requestId",
        "requestTimeEpoch": "$context.requestTimeEpoch",
        "method": "$context.httpMethod",
        "routeKey": "$context.routeKey",
        "status": "$context.status",
        "responseLength": "$context.responseLength",
        "responseLatency": "$context.responseLatency",
        "integrationLatency": "$context.integrationLatency",
        "integrationStatus": "$context.integrationStatus",
        "sourceIp": "$context.identity.sourceIp",
    });
    assert_eq!(serde_json::from_str::<Value>(&format)?, expected);
    let group = "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:${AccessLogs}";
    let destination = at(stage, "/AccessLogSettings/DestinationArn");
    assert_eq!(destination, json!({ "Fn::Sub": group }));
    Ok(())
}

#[test]
fn each_function_and_the_api_log_to_a_group_of_their_own_with_a_retention() -> Result<()> {
    let mut groups = BTreeSet::new();
    for (name, group) in resources_of("AWS::Logs::LogGroup")? {
        assert_eq!(at(&group, "/RetentionInDays"), json!({"Ref": "LogRetentionDays"}), "{name}");
        groups.insert(name);
    }
    let mut used = BTreeSet::from(["AccessLogs".to_owned()]);
    for (package, function) in functions()? {
        let group = text(&function.at("LoggingConfig"), "/LogGroup/Ref")?;
        let name = at(&properties(&group)?, "/LogGroupName");
        assert_eq!(name, json!({"Fn::Sub": format!("/aws/lambda/${{AWS::StackName}}-{package}")}));
        assert_eq!(function.at("FunctionName"), json!({"Fn::Sub": format!("${{AWS::StackName}}-{package}")}));
        ensure!(used.insert(group), "{package} shares its log group");
    }
    assert_eq!(groups, used);
    Ok(())
}

#[test]
fn dev_and_prod_are_two_stacks_that_share_no_secret() -> Result<()> {
    let script = "import json, sys, tomlkit; print(json.dumps(tomlkit.load(sys.stdin).unwrap()))";
    let config = python(script, "samconfig.toml")?;
    assert_eq!(at(&config, "/default/build/parameters/cached"), json!(false), "SAM would miss changes in shared/");
    let mut stacks = BTreeSet::new();
    let mut prefixes = BTreeSet::new();
    for stack in ["dev", "prod"] {
        let deploy = at(&config, &format!("/{stack}/deploy/parameters"));
        assert_eq!(at(&deploy, "/capabilities"), json!("CAPABILITY_IAM"), "{stack}");
        assert_eq!(at(&deploy, "/confirm_changeset"), json!(true), "{stack}");
        stacks.insert(text(&deploy, "/stack_name")?);
        let overrides = text(&deploy, "/parameter_overrides")?;
        let prefix = overrides.split(' ').find_map(|pair| pair.strip_prefix("SecretPrefix="));
        prefixes.insert(prefix.with_context(|| format!("{stack} has no SecretPrefix"))?.to_owned());
    }
    assert_eq!((stacks.len(), prefixes.len()), (2, 2));
    Ok(())
}
