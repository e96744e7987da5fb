//! What a test leaves out of its configuration.

/// The text with the version and, where it does not say itself, listeners and threads that suit a test: ports that the
/// system chooses, and two threads, so that what threads share is shared.
pub(crate) fn complete(text: &str) -> String {
    // What is no TOML is a test's bad file: it goes to the gateway as it is.
    let Ok(table) = text.parse::<toml::Table>() else {
        return text.to_owned();
    };
    let mut complete = String::new();
    if !table.contains_key("version") {
        complete.push_str("version = 1\n");
    }
    let server = table.get("server").and_then(toml::Value::as_table);
    let missing = [
        "listen = [\"127.0.0.1:0\"]\n",
        "admin = \"127.0.0.1:0\"\n",
        "threads = 2\n",
    ]
    .into_iter()
    .filter(|line| !(line.starts_with("listen") && table.contains_key("listener")))
    .filter(|line| !server.is_some_and(|server| server.contains_key(line.split(' ').next().unwrap_or(line))))
    .collect::<String>();
    match text.split_once("[server]\n") {
        Some((before, after)) => complete.push_str(&format!("{before}[server]\n{missing}{after}")),
        None => complete.push_str(&format!("{text}\n[server]\n{missing}")),
    }
    complete
}
