//! Pages carry no script, take nothing from elsewhere, and write no name as markup.

use grantkeeper_sandbox::ClientSettings;
use grantkeeper_tests::{Browser, Page, World};
use http::StatusCode;
use serde_json::json;

use super::Outcome;

fn assert_is_safe(page: &Page, world: &World) {
    let header =
        |name: &str| page.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    assert_eq!(header("content-type"), "text/html; charset=utf-8");
    let policy = header("content-security-policy");
    let directives: Vec<_> = policy.split(';').map(str::trim).collect();
    for directive in ["default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"] {
        assert!(directives.contains(&directive), "{directive}: {policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains('*') && !policy.contains("script-src"), "{policy}");
    let style = directives.iter().find(|directive| directive.starts_with("style-src")).unwrap();
    assert!(style.starts_with("style-src 'sha256-"), "{style}");
    let form = directives.iter().find(|directive| directive.starts_with("form-action")).unwrap();
    let targets: Vec<_> = form.split(' ').skip(1).collect();
    assert!(targets == ["'self'", "https:"] || targets == ["'self'", "https:", world.sandbox_url()], "{form}");
    assert_eq!(header("x-frame-options"), "DENY");
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert_eq!(header("cache-control"), "no-store");
    assert_eq!(header("cross-origin-opener-policy"), "same-origin");
    assert!(["no-referrer", "same-origin"].contains(&header("referrer-policy").as_str()));
    let text = page.text.to_lowercase();
    for never in ["<script", "javascript:", " on", "<iframe", "<img", "<link", "src=", "http-equiv", "style=\""] {
        let found = match never {
            // Event handlers: an attribute, not a word of a sentence.
            " on" => ["onclick", "onload", "onerror", "onfocus", "onsubmit", "onmouseover"]
                .iter()
                .any(|name| text.contains(&format!(" {name}="))),
            _ => text.contains(never),
        };
        assert!(!found, "{never}: {}", page.text);
    }
}

#[tokio::test]
async fn every_page_is_safe() -> Outcome {
    let world = World::new().await?;
    let browser = Browser::new();
    let url = &world.stack.url;
    let session = world.open_session(json!({ "return_url": null })).await?;
    let link = session.text("/connect_url");
    let page = browser.get(&link).await?;
    assert_eq!(page.status, StatusCode::OK);
    let form_action = page.headers["content-security-policy"].to_str()?.to_owned();
    assert!(form_action.contains(world.sandbox_url()), "the local form may lead to the sandbox: {form_action}");
    let mut pages = vec![
        (page, 200),
        (browser.get(&format!("{url}/connect/{}", "x".repeat(43))).await?, 404),
        (browser.get(&format!("{url}/connect/%3Cscript%3E")).await?, 404),
        (browser.get(&format!("{url}/callback/none?state=x&code=y")).await?, 400),
        (browser.get(&format!("{url}/callback/%3Cscript%3E?state=%3Cscript%3E&error=%22onload=")).await?, 400),
        (browser.post(&link, &[("scope", "<script>")]).await?, 422),
    ];
    let denied = browser.decide(&browser.start(&link, &[]).await?, "ada", "deny").await?;
    pages.push((browser.get(denied.as_str()).await?, 200));
    pages.push((browser.get(&link).await?, 200));
    let callback = browser.consent(&browser.start(&link, &[]).await?, "ada").await?;
    pages.push((Browser::new().get(callback.as_str()).await?, 403));
    pages.push((browser.get(callback.as_str()).await?, 200));
    pages.push((browser.get(&link).await?, 409));
    for (page, status) in pages {
        assert_eq!(page.status.as_u16(), status, "{}", page.text);
        assert_is_safe(&page, &world);
    }
    Ok(())
}

#[tokio::test]
async fn names_that_people_gave_are_text_and_never_markup() -> Outcome {
    let world = World::new().await?;
    let browser = Browser::new();
    for (number, hostile) in [
        "<script>alert(1)</script>",
        "\" onfocus=\"alert(1)\" autofocus=\"",
        "' onload='alert(1)",
        "</title><img src=x onerror=alert(1)>",
        "{{ 7 * 7 }}",
        "&lt;script&gt;",
        "</style><script>",
    ]
    .into_iter()
    .enumerate()
    {
        let settings = ClientSettings {
            client_id: format!("hostile-{number}"),
            client_secret: Some("s".into()),
            ..Default::default()
        };
        let scopes = json!({ "required": ["read"], "optional": [{ "value": "write", "label": hostile }] });
        let client = world.register(settings, json!({ "name": hostile, "scopes": scopes })).await?;
        let session = world.open_session(json!({ "clients": [client] })).await?;
        let page = browser.get(&session.text("/connect_url")).await?;
        assert_eq!(page.status, StatusCode::OK);
        let written: String = hostile.chars().map(escaped).collect();
        assert!(page.text.matches(&written).count() >= 4, "{written} in {}", page.text);
        if written != hostile {
            assert!(!page.text.contains(hostile), "{}", page.text);
        }
        let mut plain = page.clone();
        plain.text = plain.text.replace(&written, "");
        assert_is_safe(&plain, &world);
    }
    // The name that a person chose comes back on the page that says "Connected".
    let name = "<b>x</b>\" onload=\"y";
    let session = world.open_session(json!({ "return_url": null, "binding": "browser" })).await?;
    let started = browser.start(&session.text("/connect_url"), &[("name", name)]).await?;
    let connected = browser.get(browser.consent(&started, "ada").await?.as_str()).await?;
    assert_eq!(connected.status, StatusCode::OK);
    assert!(connected.text.contains("crd_") && !connected.text.contains("<b>"), "{}", connected.text);
    Ok(())
}

/// As the template engine writes it.
fn escaped(character: char) -> String {
    match character {
        '<' => "&#60;".to_owned(),
        '>' => "&#62;".to_owned(),
        '&' => "&#38;".to_owned(),
        '"' => "&#34;".to_owned(),
        '\'' => "&#39;".to_owned(),
        other => other.to_string(),
    }
}

#[tokio::test]
async fn a_page_of_several_clients_lets_the_person_choose() -> Outcome {
    let world = World::new().await?;
    let settings = ClientSettings { client_id: "second".into(), client_secret: Some("s".into()), ..Default::default() };
    let second = world.register(settings, json!({ "name": "Second" })).await?;
    let session = world.open_session(json!({ "clients": [world.client(), second] })).await?;
    let (link, browser) = (session.text("/connect_url"), Browser::new());
    let page = browser.get(&link).await?;
    assert_is_safe(&page, &world);
    for client in [&world.client(), &second] {
        assert!(page.text.contains(&format!("name=\"client\" value=\"{client}\"")), "{}", page.text);
    }
    let unknown = "clt_01ARZ3NDEKTSV4RRFFQ69G5FAV";
    for form in [
        vec![],
        vec![("client", unknown)],
        vec![("client", "")],
        vec![("client", second.as_str()), ("client", second.as_str())],
    ] {
        let refused = browser.post(&link, &form).await?;
        assert_eq!((refused.status, refused.code()), (StatusCode::UNPROCESSABLE_ENTITY, "bad_form"), "{form:?}");
    }
    let started = browser.start(&link, &[("client", &second), ("name", "")]).await?;
    assert_eq!(grantkeeper_tests::parameters(&started)["client_id"], "second");
    Ok(())
}
