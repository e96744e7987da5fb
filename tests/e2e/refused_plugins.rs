//! Files that are no good plugins are refused by `check` and by `run`, with the place and the mend.

use portcullis_tests::{Component, Folder, Gateway, misbehaving, standard};

/// What `check` and `run` say of a configuration that uses this file as a plugin.
async fn said_of(component: Component) -> String {
    let folder = Folder::new();
    let configuration = using(component.write(&folder).to_str().expect("a path in UTF-8"), "");
    let ran = Gateway::checked(&configuration);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("portcullis.toml:"), "no place in {}", ran.stderr);
    Gateway::refused(&configuration).await + &ran.stderr
}

fn using(source: &str, rules: &str) -> String {
    format!(
        "[plugin.own]\nsource = '{source}'\n{rules}\n[[route]]\nmatch = '/'\nrespond = {{}}\nfilters = [{{ use = 'own' }}]\n"
    )
}

#[tokio::test]
async fn a_file_that_is_no_webassembly_is_refused() {
    for component in [Component::NoWebAssembly, Component::Truncated] {
        let said = said_of(component).await;
        assert!(said.contains("plugin.wasm"), "{said}");
    }
}

#[tokio::test]
async fn a_core_module_is_refused_with_what_to_build_instead() {
    let said = said_of(Component::CoreModule).await;
    assert!(said.contains("component") && said.contains("wasm32-wasip2"), "{said}");
}

#[tokio::test]
async fn a_component_without_the_filter_interface_is_refused() {
    let said = said_of(Component::ExportingNothing).await;
    assert!(said.contains("portcullis:filter/filter"), "{said}");
}

#[tokio::test]
async fn a_component_for_another_version_is_refused_with_both_versions() {
    let said = said_of(Component::OfAnotherVersion).await;
    assert!(said.contains("0.9.0") && said.contains("0.1"), "{said}");
}

#[tokio::test]
async fn a_component_that_wants_what_no_filter_gets_is_refused_by_name() {
    let said = said_of(Component::WantingHttp).await;
    assert!(said.contains("wasi:http/outgoing-handler"), "{said}");
    let said = said_of(Component::WantingTheUnknown).await;
    assert!(said.contains("example:secrets/vault"), "{said}");
}

#[tokio::test]
async fn a_file_that_is_not_there_is_refused() {
    let said = Gateway::refused(using("nowhere.wasm", "")).await;
    assert!(said.contains("nowhere.wasm"), "{said}");
}

#[tokio::test]
async fn a_plugin_that_nobody_knows_is_refused_with_a_guess() {
    let said = Gateway::refused("[[route]]\nmatch = '/'\nrespond = {}\nfilters = [{ use = 'tokn-auth' }]\n").await;
    assert!(said.contains("tokn-auth") && said.contains("token-auth"), "{said}");
}

#[tokio::test]
async fn settings_that_the_schema_refuses_are_shown_with_their_place() {
    let configuration = format!(
        "[plugin.own]\nsource = '{}'\n[[route]]\nmatch = '/'\nrespond = {{}}\n\
         filters = [{{ use = 'own', settings = {{ act = 'dance' }} }}]\n",
        misbehaving()
    );
    let ran = Gateway::checked(&configuration);

    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.stderr.contains("act") && ran.stderr.contains("dance"),
        "{}",
        ran.stderr
    );
}

#[tokio::test]
async fn a_capability_that_is_not_granted_is_refused_with_the_words_that_grant_it() {
    let folder = Folder::new();
    let file = folder.write("limit.wasm", standard("rate-limit"));
    let with = |grant: &str| {
        let settings = "settings = { rate = '1/hour' }";
        let configuration = using(file.to_str().expect("a path in UTF-8"), grant);
        configuration.replace("{ use = 'own' }", &format!("{{ use = 'own', {settings} }}"))
    };
    let help = "`grant = { rate-limit = true }` in `[plugin.own]`";

    for grant in ["", "grant = { jwt = true }", "grant = { rate-limit = false }"] {
        let ran = Gateway::checked(with(grant));
        assert_eq!(ran.code, 1, "{ran:?}");
        let said = Gateway::refused(with(grant)).await;
        for said in [&ran.stderr, &said] {
            assert!(said.contains("portcullis.toml:") && said.contains(help), "{said}");
        }
    }

    let gateway = Gateway::start(with("grant = { rate-limit = true }")).await;
    assert_eq!(
        (gateway.get("/").await.status(), gateway.get("/").await.status()),
        (200, 429)
    );
}
